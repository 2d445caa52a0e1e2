"""How far a version on probation came, and why it was given up: notes in NVS for the version that comes after it.

What is not noted the cause of the next reset has to tell, and it tells little (machine_reset_cause in
ports/esp32/modmachine.c of MicroPython 1.26): a power-on, EN and a brown-out are one, and so are machine.reset and a
crash below Python. Nothing here is needed to start, so whoever calls it goes on whatever happens: see starts.quietly.
"""

import io
import sys

import machine
import slot
import starts
from esp32 import NVS, Partition
from micropython import const

_TRIED = "tried"  # the slot that was written last, and the version in it
_WHY, _CRASH = "why", "crash"  # why that one ended; the last exception of a version that is confirmed
# What it came to, under starts.STEP: 4 bits for the step, 4 for the outcome, 4 for the cause, 19 for the starts so far
STEPS = ("writing", "committed", "booted", "found", "imported", "wifi", "server", "answered", "confirmed")
_WRITING, _COMMITTED, _BOOTED, _CONFIRMED = const(0), const(1), const(2), const(8)
OUTCOMES = ("on probation", "confirmed", "rolled back", "refused", "interrupted")
_OPEN, _GOOD, _BACK, REFUSED, _CUT = const(0), const(1), const(2), const(3), const(4)
_FORGOTTEN = const(5)  # something else was written there by cable
_CAUSES = (  # by machine.reset_cause()
    "the chip does not tell why",
    "the power went, or EN was pressed",
    "machine.reset, or a crash below Python",
    "the watchdog: it was not fed for a minute",
    "it went to deep sleep",
    "the chip does not tell why",
    "the bootloader refused it",
)
_BOOTLOADER, _NOTED = const(6), const(7)
_STARTS = const(0x7FFFF)
_LONGEST = const(120)  # bytes of a reason
_VERSION, _END = const(0x30), const(0x50)  # in esp_app_desc_t

_new = 0  # 1 where this start is not counted yet


def begin():
    """Count this start, note that it is on probation, or judge how the probation of another version has ended."""
    global _new
    _new = 1
    if machine.reset_cause() != machine.SOFT_RESET:
        _look_back()
    if _new:
        _put(*_state())


def _look_back():
    here = _describe(Partition(Partition.RUNNING))
    step, outcome, _ = _state()
    tried = _blob(_TRIED)
    if slot.is_unconfirmed():
        if outcome == _BACK and tried.split()[0] != here.split()[0]:
            return  # the other slot comes in for a version that was confirmed and had to be left
        if tried != here or outcome != _OPEN:
            note_update(here)
        _put(_BOOTED)
    elif tried and outcome == _OPEN:
        _judge(tried, here, step)


def _judge(tried, here, step):
    label, cause = tried.split()[0].decode(), machine.reset_cause()
    state = slot.state(Partition.find(Partition.TYPE_APP, label=label)[0])
    if tried == here:
        _put(_CONFIRMED, _GOOD)  # the power went before that was noted
        _log("CONFIRMED", (("version", last()["version"]), ("slot", label)))
    elif label == here.split()[0].decode():
        _put(step, _FORGOTTEN)
    elif step == _WRITING:
        _put(step, _CUT, _NOTED if _take_crash() else cause)
        _tell("UPDATE_REFUSED", ("error", "UPDATE_ERROR_ABORT"))
    elif state != slot.VALID:  # blank, where the power went while the bootloader wrote the record anew
        if _blob(_WHY):
            cause = _NOTED
        elif state == slot.PENDING_VERIFY:  # of this very start
            cause = _BOOTLOADER
        _put(step, _BACK, cause)
        _tell("ROLLED_BACK")
    else:
        _put(step, _FORGOTTEN)


def give_up(reason):
    """Note that the running version, once confirmed, is left for the other slot."""
    note_update(_describe(Partition(Partition.RUNNING)))
    if not _take_crash():
        _store(_WHY, reason)
    _put(_CONFIRMED, _BACK, _NOTED)
    _tell("ROLLED_BACK")


def _take_crash():
    """Take what ended the start before for the reason, if that was an exception, and tell whether it was."""
    if starts.previous == starts.EXCEPTION and _blob(_CRASH):
        _store(_WHY, _blob(_CRASH).decode())
        return True
    return False


def note_update(what):
    """Note that another version comes. what: label of its slot and version, as b"ota_1 1.1.0"."""
    nvs = NVS("kit")
    if _blob(_WHY):
        nvs.erase_key(_WHY)
    if _blob(_TRIED) != what:
        nvs.set_blob(_TRIED, what)
    _put(_WRITING)


def end_update(error):
    """Note that what note_update announced is committed, or the error that ended it; return what last() does."""
    if error:
        _store(_WHY, error)
        _put(_WRITING, REFUSED, _NOTED)
    else:
        _put(_COMMITTED)
    return last()


def confirm():
    """Note that the running version has confirmed itself; return what last() does."""
    if _state()[1] == _OPEN:
        _put(_CONFIRMED, _GOOD)
    return last()


def note(reason):
    """Note why a version on probation is about to end; only the first reason counts."""
    if slot.is_unconfirmed() and not _blob(_WHY):
        _store(_WHY, reason)


def fail(error):
    """Note an exception: its one line, and behind that the file and the line from which it came."""
    trace = io.StringIO()
    sys.print_exception(error, trace)
    place = trace.getvalue().rpartition('File "')[2].partition("\n")[0]
    file, _, line = place.partition('", line ')
    text = f"{type(error).__name__}: {error}".split("\n")[0]
    secret = _blob("wifi_password").decode()
    if secret and secret in text:
        text = type(error).__name__ + ": (it holds a secret)"
    file = file.partition("/app/")[2] or file.rpartition("/")[2]
    place = "{}, line {}".format(file, line.split(",")[0])
    _store(_WHY if slot.is_unconfirmed() else _CRASH, text[: _LONGEST - len(place) - 1] + "\n" + place)


def last():
    """Return what GET /info says of the last update, None before the first: texts, the cause None where all is well."""
    step, outcome, _ = _state()
    tried = _blob(_TRIED)
    if not tried or outcome == _FORGOTTEN:
        return None
    label, _, version = tried.decode().partition(" ")
    return {
        "version": version,
        "slot": label,
        "outcome": OUTCOMES[outcome],
        "step": STEPS[step],
        "cause": _cause(),
    }


def _cause():
    cause = _state()[2]
    if cause != _NOTED:
        return _CAUSES[cause] if cause else None
    text, _, place = _blob(_WHY).decode().partition("\n")
    return "{} in {}".format(text.partition(":")[0], place) if place else text


def _tell(event, *facts):
    found = last()
    print("Version {version} was given up: {cause}. It had come to this step: {step}.".format(**found))
    text, _, place = _blob(_WHY).decode().partition("\n")
    facts += tuple((name, found[name]) for name in ("version", "slot", "step", "cause"))
    facts += (("exception", text),) if place and found["cause"] else ()
    _log(event, facts)


def _log(event, facts):
    starts.quietly("audit", "write", [(0, event, None, facts)], 0)


def _describe(partition):
    head = bytearray(_END)
    partition.readblocks(0, head, 0)
    version = bytes(head[_VERSION:]).split(b"\0")[0]
    return partition.info()[4].encode() + b" " + bytes(c if 32 <= c < 127 else 63 for c in version)


def _blob(key):
    buffer = bytearray(_LONGEST + 8)
    try:
        return bytes(buffer[: NVS("kit").get_blob(key, buffer)])
    except OSError:
        return b""


def _store(key, text):
    nvs = NVS("kit")
    nvs.set_blob(key, "".join(c if " " <= c <= "~" or c == "\n" else "?" for c in text[:_LONGEST]).encode())
    nvs.commit()


def _state():
    """Return the step, the outcome and the cause."""
    value = _value()
    return value & 15, value >> 4 & 15, value >> 8 & 15


def _value():
    try:
        return NVS("kit").get_i32(starts.STEP)
    except OSError:
        return _FORGOTTEN << 4


# One number, so that a start on probation is counted and noted at one go.
def _put(step, outcome=_OPEN, cause=0):
    global _new
    nvs = NVS("kit")
    nvs.set_i32(starts.STEP, ((_value() >> 12) + _new & _STARTS) << 12 | cause << 8 | outcome << 4 | step)
    nvs.commit()
    _new = 0
