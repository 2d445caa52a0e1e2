"""Waiting for a board that restarts."""

import time
from collections.abc import Callable

from kit.errors import BoardError, RollbackError
from kit.ota.cause import ROLLED_BACK, last_update, why
from kit.ota.info import SHAPE, Info
from kit.ota.web import RETRY, Web

LOOK_TIMEOUT = 2.0  # seconds, while the board restarts
CONFIRM_TIMEOUT = 90.0  # seconds: restart, join the Wi-Fi, and the firmware's 60 s for its self-test
IDLE_TIMEOUT = 20.0  # seconds: the firmware gives an upload up after 10 s without a byte, and restarts in less than 20
PROGRESS = {"phase": str, "received": int, "written": int}
UNCONFIRMED = ("NEW", "PENDING_VERIFY")  # image states


def wait_until(
    web: Web, failure: str, is_so: Callable[[Info, float], bool], patience: float | None = None
) -> tuple[Info, float]:
    """Ask the board until its answer, and the seconds since the first question, are as wanted; return both.

    Args:
        failure: what the board did not do, for the error.
        patience: seconds; None for CONFIRM_TIMEOUT.

    Raises:
        BoardError: it was not so in time.
    """
    start = time.monotonic()
    last = "none"
    patience = patience or CONFIRM_TIMEOUT
    while (seconds := time.monotonic() - start) < patience:
        info = Info(web.look("/info", SHAPE, seconds=LOOK_TIMEOUT) or {})
        if is_so(info, seconds):
            return info, seconds
        last = info or last
        time.sleep(RETRY)
    raise BoardError(
        f"The board {failure} within {patience:.0f} s; its last answer: {last}.",
        "board.reset() restarts it and shows its address.",
    )


def await_restart(web: Web) -> Info:
    """Return what the board says once it has started anew.

    Raises:
        BoardError: it does not come back.
    """
    return wait_until(web, "did not come back", lambda info, seconds: started_within(info, seconds - 1))[0]


def await_confirmation(web: Web, version: str, slot: str) -> tuple[Info, float]:
    """Return what the board says once the new version runs and is VALID, and the seconds until then.

    Raises:
        RollbackError: the board went back to the version before.
        BoardError: the new version was not confirmed in time.
    """

    def is_confirmed(info: Info, seconds: float) -> bool:
        # The old version answers until the restart, which comes after a second. Started later than that it is back.
        if info.get("running") != slot and started_within(info, seconds - 1):
            raise given_up(info, version, slot)
        return (info.get("running"), info.get("image_state")) == (slot, "VALID")

    return wait_until(web, f"did not confirm version {version}", is_confirmed)


def what_runs(web: Web) -> str:
    """Wait until a board whose upload was broken off is idle, or has restarted, and say what runs on it."""

    def is_idle(info: Info, _: float) -> bool:
        state = web.look("/progress", PROGRESS, seconds=LOOK_TIMEOUT)  # empty: it has restarted, and forgot the token
        is_busy = state is None or state.get("phase", "idle") != "idle"
        return bool(info) and info.get("image_state") not in UNCONFIRMED and not is_busy

    try:
        info, _ = wait_until(web, "was not idle", is_idle, IDLE_TIMEOUT)
    except BoardError:
        return "The board does not answer. Once it does, ota.info() shows what runs."
    return f"{info['version']} runs in {info['running']}."


def given_up(info: Info, version: str, slot: str) -> RollbackError:
    """Return the error for a version that the board has left again."""
    last = last_update(info) or {}
    if (last.get("version"), last.get("slot"), last.get("outcome")) == (version, slot, ROLLED_BACK):
        cause = f"Version {version} was given up: {why(last)}. The board went back to {info['version']}."
        return RollbackError(cause, "`ota.login()`, then `ota.log()`: it shows what happened before.")
    return RollbackError(  # its firmware is older, and notes no cause
        f"Version {version} was given up, and the board went back to {info.get('version')}.",
        "Send it in a block `with board.listening() as log:`, and log shows why.",
    )


def started_within(info: Info, seconds: float) -> bool:
    """Tell whether the board, whose uptime is in whole seconds, started less than so many seconds ago."""
    return info.get("uptime", seconds) < seconds
