"""Seconds since the start of the application, whatever is done to the clock: NTP moves that by 26 years."""

import time

_seconds = _rest = 0  # ms
_mark = time.ticks_ms()


def seconds():
    """Return whole seconds. Somebody must ask once in six days, as ticks wrap after twelve: the main loop does."""
    global _seconds, _rest, _mark
    now = time.ticks_ms()
    passed = _rest + time.ticks_diff(now, _mark)
    _seconds, _rest, _mark = _seconds + passed // 1000, passed % 1000, now
    return _seconds
