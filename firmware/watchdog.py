"""The watchdog of every start: unfed for a minute it resets the board.

Once started it cannot be stopped, and it outlives a soft reset. The application's loop feeds it, so that a loop that
hangs does not. Where the application has ended a timer does, so that a session in the REPL is not reset.
"""

import machine
import starts
from micropython import const

_TIMEOUT = const(60_000)  # ms; checking an application and set_boot fit inside it
_PERIOD = const(5_000)  # ms
_TIMER = const(3)  # of 0 to 3: examples begin with 0

_wdt = _timer = None


def start():
    """Start the watchdog, or take hold of the one that runs since before a soft reset. No timer feeds it."""
    global _wdt
    if _timer:
        _timer.deinit()
    _wdt = machine.WDT(timeout=_TIMEOUT)


def feed(timer=None):
    """Put the reset off by a minute, where a watchdog was started."""
    if _wdt:
        _wdt.feed()
    starts.go_on()


def feed_by_timer():
    """Feed from now on whatever runs. A soft reset ends this."""
    global _timer
    _timer = machine.Timer(_TIMER, period=_PERIOD, callback=feed)
