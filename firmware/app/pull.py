"""Where updates are fetched from and when: GET, PUT and POST /pull. Loaded when it is needed; look.py fetches.

NVS keeps the settings as "pull" and what came of the last look as "pulled", each as JSON.
"""

import binascii
import json

import boot_files
import clock
import judge
import machine
import pair
import slot
import web
import window
from errors import HttpError, UpdateError
from micropython import const
from plain import is_plain
from seldom import load

_SETTINGS, _STATE = const("pull"), const("pulled")
_SPACE = const(512)  # bytes of either
_HEX = const("0123456789abcdefABCDEF")
_LONGEST = const(200)  # characters of an address
_HOUR = const(3600)
_PACE, _MOST_PACE = const(4), const(24)  # hours between two looks, so many more after each failure, and at most
_FIRST = const(60)  # s after a start
_TRIES = const(3)  # looks that a reset ended, after which one more counts as a failure
GIVEN_UP = "rolled back"  # an outcome of probation.py


# Settings


def settings():
    """Return all settings, the secret one too."""
    chosen = {
        "url": None,
        "certificate": None,
        "token": None,
        "window": None,
        "days": None,
        "zone": "UTC0",
        "ntp": "pool.ntp.org",
        "version": None,
        "hold": False,
    }
    chosen.update(_stored(_SETTINGS))
    return chosen


def _stored(name):
    """Return what NVS keeps, nothing where that is damaged: a board that cannot read it serves all the same."""
    try:
        found = json.loads(pair.read(name) or b"{}")
    except ValueError:
        return {}
    return found if type(found) is dict else {}


def _told(state):
    """Return what became of the last look, also after the restart that followed it."""
    last = web.ota.last or {"outcome": None}
    if state["outcome"] == "installed" and last["outcome"] == GIVEN_UP and last["version"] == state["version"]:
        return {"outcome": "given up", "cause": last["cause"], "version": state["version"]}
    return {name: state[name] for name in ("outcome", "cause", "version")}


async def answer(request):
    """Return the answer to a request."""
    if request.method == "POST":
        _ask()
        return {"message": "The board looks for an update."}, 202
    if request.method == "PUT":
        _put(await request.fields(only_json=True))
        boot_files.log("CONFIG", request.client.address, settings="pull")
    return _show()


def _show():
    chosen, state = settings(), outcome()
    chosen["has_token"] = chosen.pop("token") is not None
    for name in ("begun", "bad", "taken"):
        del state[name]
    state.update(_told(state))
    zone, now = window.zone(chosen["zone"]), (web.fetching or load("fetching")).utc()
    tried = state["tried"]
    state["tried"] = window.iso(zone, tried) if tried else None
    state["now"] = None if now is None else window.iso(zone, now)
    if web.fetching:
        web.fetching.heed_clock()
    seconds = web.fetching.left() if web.fetching else None
    state["next"] = None if now is None or seconds is None else window.iso(zone, now + seconds)
    state["phase"] = _phase()
    chosen["state"] = state
    return chosen


def _put(asked):
    chosen = settings()
    before = _origin(chosen)
    _need(type(asked) is dict and asked, "body", "Send a JSON object of up to 1 kB, with settings in it.")
    for name, value in asked.items():
        _need(name in chosen, name, "GET /pull shows which settings there are.")
        is_right, advice = _KINDS[name]
        try:
            _need((value is None and name not in ("zone", "hold")) or is_right(value), name, advice)
        except ValueError:
            _need(False, name, advice)
        chosen[name] = value
    if "token" not in asked and _origin(chosen) != before:  # else who is logged in could have it sent to himself
        chosen["token"] = None
    _need(chosen["window"] or not chosen["days"], "days", "Send a window too.")
    data = json.dumps(chosen, separators=(",", ":")).encode()
    _need(len(data) <= _SPACE, "body", "Send shorter texts.")
    try:
        pair.write(_SETTINGS, data)
    except OSError:
        raise HttpError(500, "NOT_STORED", "The flash does not take the settings.", "Restart the board, and try again.")
    load("fetching").start()


def _origin(chosen):
    """Return whom the token is for: scheme, host and port, and the certificate."""
    return str(chosen["url"]).split("/")[:3], chosen["certificate"]


def _phase():
    ours = web.fetching
    return "idle" if ours is None else "looking" if ours.is_asked else ours.phase


def _need(is_right, name, advice):
    if not is_right:
        name = name if is_plain(name) else "setting"
        raise HttpError(400, "BAD_SETTING", f"The board cannot take this {name}.", advice)


def _is_text(value, most=_LONGEST):
    return type(value) is str and 0 < len(value) <= most and min(value) > " " and max(value) <= "~"


def _is_url(value):
    scheme, _, rest = value.partition("://") if _is_text(value) else ("", "", "")
    is_secret = "@" in rest.partition("/")[0]
    return scheme in ("http", "https") and rest[:1] not in ("", "/") and not is_secret and "#" not in value


def _is_server(value):
    host, colon, port = value.partition(":") if _is_text(value, 64) else ("", "", "")
    return host != "" and (not colon or (port != "" and not port.strip("0123456789") and 0 < int(port) < 65536))


def _are_days(value):
    return type(value) is list and 0 < len(value) <= 7 and all([day in window.DAYS for day in value])  # noqa: C419


def _is_version(value):
    return type(value) is str and judge.is_version(value)


_KINDS = {
    "url": (_is_url, "Send the address of a manifest, or https://api.github.com/repos/OWNER/NAME, without a password."),
    "certificate": (lambda it: _is_text(it, 64) and len(it) == 64 and not it.strip(_HEX), "Send 64 hex digits."),
    "token": (lambda it: _is_text(it, 100), "Send up to 100 characters of ASCII."),
    "window": (lambda it: type(it) is str and window.parse(it), 'Send one such as "02:00-04:00".'),
    "days": (_are_days, "Send a list of mon, tue, wed, thu, fri, sat, sun."),
    "zone": (lambda it: type(it) is str and window.zone(it), 'Send one such as "CET-1CEST,M3.5.0,M10.5.0/3".'),
    "ntp": (_is_server, 'Send a name such as "pool.ntp.org", or null.'),
    "version": (_is_version, "Send one such as 1.2.0."),
    "hold": (lambda it: type(it) is bool, "Send true or false."),
}


# When


def outcome():
    """Return what came of the last look."""
    state = {"tried": None, "failures": 0, "outcome": None, "cause": None, "version": None}  # shown, and the rest not
    state.update({"begun": 0, "bad": None, "taken": None})  # looks; SHA-256 of a bad file; the last version installed
    state.update(_stored(_STATE))
    return state


def keep(state):
    """Note what came of a look."""
    try:
        pair.write(_STATE, json.dumps(state, separators=(",", ":")).encode())
    except OSError:
        pass  # NVS is full: the next look comes too early


def plan(now, looked):
    """Return the seconds until the next look, the server to ask for the time, None for none, and what _told() returns.

    Args:
        now: seconds since 2000, None where nobody has set the clock.
        looked: when this start looked last, as Fetching has it.
    """
    chosen, state = settings(), outcome()
    if not chosen["url"] or chosen["hold"]:
        return None, None, _told(state)
    pace = min(_PACE * (1 + state["failures"] + (state["begun"] >= _TRIES)), _MOST_PACE) * _HOUR
    jitter = binascii.crc32(machine.unique_id())
    at, up = looked
    tried = at or state["tried"]
    if tried is not None and now is not None and tried <= now:
        wait = max(0, tried + pace - now)
    else:  # the clock is not set, or was set back
        wait = 0 if up is None else max(0, up + pace - clock.seconds())
    if not chosen["window"]:
        return max(wait, _FIRST) + (jitter % _HOUR if wait else 0), chosen["ntp"], _told(state)
    if now is None:
        return None, chosen["ntp"], _told(state)
    zone = window.zone(chosen["zone"])
    at = window.opening(window.parse(chosen["window"]), chosen["days"], zone, now + wait, jitter)
    return at - now, chosen["ntp"], _told(state)


def _ask():
    chosen = settings()
    if _phase() != "idle" or web.ota.is_busy():
        raise UpdateError("BUSY", "An update is running.")
    if slot.is_unconfirmed():
        raise UpdateError("UNCONFIRMED", "The running version is not confirmed yet.")
    if not chosen["url"]:
        raise HttpError(409, "NO_SOURCE", "The board does not know where updates are.", "PUT a url to /pull.")
    if not load("signature").signers():
        raise HttpError(409, "NO_SIGNERS", NO_SIGNERS, "Run board.install(signers=[key]) over USB.")
    if not web.fetching:  # the board answers a moment before it begins to watch
        load("fetching").start()
    web.fetching.is_asked = True


NO_SIGNERS = "A board that fetches updates takes signed ones only, and this one knows no signers."
