"""Count the starts that fail, and leave a slot whose application does not start.

The rule. A start fails if a crash, the watchdog or a reset of its own ends it before its self-test begins, or if an
exception, the watchdog or deafness ends it within five minutes from there. Three failures in a row, and the other slot
is started if it can be; else the REPL stays. All failures are forgotten after five minutes of life from the beginning
of the self-test (waiting for Wi-Fi is life), when a version on probation confirms itself, and by Ctrl-C. What is no
failure and forgets none: power that goes and the EN button, at any time (to the chip they are one); after the self-test
has begun, a reset that the application asked for and a crash below Python (to the chip they are one, too); a soft
reset; a start on probation, which the bootloader ends.

All of it is one number in NVS, so that a power cut leaves the old one or the new one. Where NVS cannot be used nothing
is counted, and the application starts all the same.
"""

import sys
import time

import machine
import slot
from esp32 import NVS, Partition
from micropython import const

_MOST = const(3)  # failures in a row that a slot may have
_TRUST = const(300_000)  # ms of life that a start needs to be trusted
STEP = "step"  # key in NVS: in 4 bits how far a version on probation came, then what came of it, see probation.py
_KEY = "starts"  # 24 bits for the application, 4 for how far the start came or why it ended, 3 for the failures

# How far a start came
_GOOD = const(0)  # it is trusted, on probation, or nothing is known of it
_BEGAN = const(1)
_TESTS = const(2)
# Why it ended: what the application or these files note before they reset
EXCEPTION = const(3)
DEAF = const(4)  # no client could reach it any more
RESTART = const(5)  # it was asked for

previous = _GOOD  # how far the start before this one came, or why it ended
_stage = None  # of this start; None where nothing is noted: after a soft reset, and without NVS
_since = None  # ticks at which its self-test began


def _load():
    """Return the mark of the application that is counted, the stage of its last start, and its failures."""
    try:
        value = NVS("kit").get_i32(_KEY)
    except OSError:
        value = 0
    return value >> 7, value >> 3 & 15, value & 7


def _store(mark, stage, failures):
    """Store all three, and tell whether that was possible."""
    try:
        nvs = NVS("kit")
        nvs.set_i32(_KEY, mark << 7 | stage << 3 | min(failures, 7))
        nvs.commit()
        return True
    except OSError:
        return False


def _mark():
    """Return 24 bits that stand for the running slot and the hash of its application."""
    running = Partition(Partition.RUNNING)
    address, size = running.info()[2:4]
    try:
        return int.from_bytes(slot.find(slot.reader(running), size)[2][:3], "little") ^ address >> 16
    except slot.SlotError:
        return address >> 16


# A start on probation leaves the failures of the slot that it came from as they are.
def count():
    """Begin a start, and count the one before it if it failed. Raises SlotError after three failures."""
    global previous, _stage
    mark, previous, failures = _load()
    cause = machine.reset_cause()
    if cause == machine.SOFT_RESET:
        return
    hard, bitten = machine.HARD_RESET, machine.WDT_RESET
    failures += (previous, cause) in ((_BEGAN, hard), (_BEGAN, bitten), (_TESTS, bitten))
    stage = _GOOD
    if not slot.is_unconfirmed():
        stage, here = _BEGAN, _mark()
        if mark != here:  # another application, as after board.flash
            mark, failures = here, 0
    if _store(mark, stage, failures):
        _stage = stage
    if stage == _BEGAN and failures >= _MOST:
        raise slot.SlotError(f"its last {_MOST} starts failed")


def clear():
    """Note that the self-test begins. Every application calls this, also where it has nothing to test."""
    global _stage, _since
    _since = time.ticks_ms()
    if _stage == _BEGAN:
        mark, _, failures = _load()
        _stage = _TESTS
        _store(mark, _TESTS, failures)


def go_on():
    """Forget all failures once this start is trusted. Whoever feeds the watchdog calls this."""
    if _since is None:
        return
    is_old = time.ticks_diff(time.ticks_ms(), _since) >= _TRUST
    if (is_old or _stage == _GOOD) and not slot.is_unconfirmed():
        forget()


def forget():
    """Forget all failures: this start is good, or somebody is here."""
    global _stage, _since
    _stage, _since = _GOOD, None
    _store(0, _GOOD, 0)


def note(reason):
    """Note why the board is about to be reset; that can be a failure. Tell whether it was possible."""
    mark, _, failures = _load()
    if reason != RESTART and _stage:
        failures += 1
    return _store(mark, reason, failures)


def again(error):
    """Reset after an exception, so that the application starts anew; return where nothing could put an end to that."""
    quietly("probation", "fail", error)
    is_noted = _stage is not None and note(EXCEPTION)
    slot.roll_back()
    if is_noted or _stage == _GOOD:
        print("Restarting.")
        machine.reset()


def leave(reason):
    """Reset into the other slot if the running one is unconfirmed or the other can be started; else return."""
    quietly("probation", "note", reason)
    slot.roll_back()
    mark, _, failures = _load()
    failures = max(failures, _MOST) + 1
    # When the other had its starts too there is no point in going on; and without a count there would be no end.
    if failures <= 2 * _MOST and _store(mark, _GOOD, failures) and _set_boot_other():
        quietly("probation", "give_up", reason)
        print("Restarting into the other slot.")
        machine.reset()
    forget()
    print("Flash one: board.flash(kit.build('1.0.0')).")


def _set_boot_other():
    """Make the other slot the boot slot if its application is whole, and tell whether that was possible."""
    other = slot.other(Partition(Partition.RUNNING))
    try:
        if other:
            slot.check(slot.reader(other), other.info()[3], bytearray(slot.SECTOR))
            other.set_boot()  # it looks at the app image too
        return bool(other)
    except (OSError, slot.SlotError):
        return False


def reach(step):
    """Note how far a version on probation has come; a number of probation.STEPS."""
    try:
        nvs = NVS("kit")
        value = nvs.get_i32(STEP)
        if not value & 0xFF0 and slot.is_unconfirmed():
            nvs.set_i32(STEP, value & ~15 | step)
            nvs.commit()
    except OSError:
        pass  # NVS is full, or there is none


def quietly(module, function, *arguments):
    """Call a function that only takes notes, in a boot file that is forgotten again; None where anything goes wrong."""
    try:
        found = __import__(module)
        del sys.modules[module]
        return getattr(found, function)(*arguments)
    except Exception as error:
        print(f"{module}.{function} failed: {error}")
        return None
