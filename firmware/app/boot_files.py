"""What the boot files can do: updates do not replace them, so those of a board can be older than its application."""

import clock
import machine
import slot
import starts
from micropython import const

# Number of their interface. 1: nothing can be noted, and they feed no REPL. 2: no log, and no notes of a probation
NUMBER = getattr(slot, "BOOT_FILES", 1)
WIFI, SERVER, ANSWERED = const(5), const(6), const(7)  # steps, see probation.py
_HEAL_SECONDS = const(600)


if NUMBER > 2:
    import events


def log(event, address=None, **facts):
    """Put an event into the audit log: from which address, and facts that are no secrets and no client's own words."""
    if NUMBER > 2:
        events.add(clock.seconds(), event, address, tuple(sorted(facts.items())))
        if "version" in facts and event != "UPDATE_START":  # what became of an update is written at once
            flush()


def flush(everything=False):
    """Write what waits for the log; `everything`: also what is only counted so far."""
    if NUMBER > 2:
        events.flush(clock.seconds(), everything)


def read_log():
    """Return the log as an open file, None where there is none or it cannot be read."""
    flush(True)
    return starts.quietly("audit", "Log") if NUMBER > 2 else None


def note(function, *arguments):
    """Call a function of probation.py, and return what it does."""
    return starts.quietly("probation", function, *arguments) if NUMBER > 2 else None


def reach(step):
    """Note how far a version on probation has come."""
    if NUMBER > 2:
        starts.reach(step)


def restart():
    """Reset, because somebody has asked for it."""
    note("note", "it was asked to restart")
    flush(True)
    if NUMBER > 1:
        starts.note(starts.RESTART)
    machine.reset()


def heal():
    """Reset a board that no client reaches any more; return where it did that less than ten minutes ago."""
    if NUMBER > 1 and (starts.previous != starts.DEAF or clock.seconds() >= _HEAL_SECONDS):
        log("RESTART", cause="no client reached the board")
        flush(True)
        starts.note(starts.DEAF)
        print("No client reaches this board any more. Restarting.")
        machine.reset()
