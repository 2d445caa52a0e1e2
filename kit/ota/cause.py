"""What became of the last update, and why, in words."""

from collections.abc import Mapping

from kit.ota.answer import fits

# What an update can come to
PROBATION, CONFIRMED, ROLLED_BACK = "on probation", "confirmed", "rolled back"
REFUSED, INTERRUPTED = "refused", "interrupted"
LAST = {"version": str, "slot": str, "outcome": str, "step": str}
UNKNOWN = "the board does not know why"
SELF_TEST = "its self-test failed"  # says when, too
LONGEST = 150  # characters of a cause; a board notes fewer
DURING = {  # when a version was given up, by the last step that it reached
    "committed": "before its first step",
    "booted": "while its application was looked for",
    "found": "while importing",
    "imported": "while it joined the Wi-Fi",
    "wifi": "while its server started",
    "server": "in its self-test",
    "answered": "before it confirmed itself",
    "confirmed": "after it had been confirmed",
}


def last_update(info: Mapping) -> Mapping[str, str | None] | None:
    """Return what a board says of its last update: version, slot, outcome, step, cause; None where that is nonsense."""
    last = info.get("last_update")
    is_ours = fits(last, LAST) and (last.get("cause") is None or fits(last["cause"], str))
    return last if is_ours else None


def why(last: Mapping[str, str | None]) -> str:
    """Return why a version was given up, and when, as in "NameError in main.py, line 12, while importing"."""
    cause, during = last.get("cause") or UNKNOWN, DURING.get(last["step"])
    return cause[:LONGEST] + (f", {during}" if during and not cause.startswith(SELF_TEST) else "")


def outcome_text(last: Mapping[str, str | None]) -> str:
    """Return what became of the last update as one line."""
    cause = why(last) if last["outcome"] == ROLLED_BACK else last.get("cause")
    return f"{last['version']} in {last['slot']}: {last['outcome']}" + (f", {cause}" if cause else "")
