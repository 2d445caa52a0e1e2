"""What the boot files can do: updates do not replace them, so those of a board can be older than its application."""

import clock
import machine
import slot
import starts
from micropython import const

NUMBER = getattr(slot, "BOOT_FILES", 1)  # of their interface. 1: nothing can be noted, and they feed no REPL
_HEAL_SECONDS = const(600)


def restart():
    """Reset, because somebody has asked for it."""
    if NUMBER > 1:
        starts.note(starts.RESTART)
    machine.reset()


def heal():
    """Reset a board that no client reaches any more; return where it did that less than ten minutes ago."""
    if NUMBER > 1 and (starts.previous != starts.DEAF or clock.seconds() >= _HEAL_SECONDS):
        starts.note(starts.DEAF)
        print("No client reaches this board any more. Restarting.")
        machine.reset()
