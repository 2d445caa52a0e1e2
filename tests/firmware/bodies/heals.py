# Runs on CPython and on MicroPython.
"""What a board does that no client reaches any more."""

import _chip
import boot_files
import clock
import starts
from _expect import error_of
from _time import Time


def start(cause):
    """Begin a start after a reset of this cause."""
    clock.time = Time()
    clock._seconds, clock._rest, clock._mark = 0, 0, clock.time.ticks_ms()
    _chip.reset_cause = cause
    starts.count()


def resets_once_in_ten_minutes():
    """The first time at once. What led to a start is known even though the clock begins anew."""
    start(1)
    for _ in range(3):
        error_of(_chip.Reset, boot_files.heal)
        start(2)
        boot_files.heal()
        clock.time.ms += 599_000
        starts.forget()  # it has lived for five minutes
        boot_files.heal()
        clock.time.ms += 1_000
    error_of(_chip.Reset, boot_files.restart)
    start(2)
    error_of(_chip.Reset, boot_files.heal)


def goes_on():
    """Boot files that note nothing: there might be no end to it."""
    start(1)
    boot_files.heal()
    error_of(_chip.Reset, boot_files.restart)
