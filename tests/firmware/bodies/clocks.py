# Runs on CPython and on MicroPython.
"""clock.py: seconds that nobody sets."""

import clock
from _time import Time

DAY = 86_400


def start():
    """Begin anew with a time of our own."""
    clock.time = Time()
    clock._seconds, clock._rest, clock._mark = 0, 0, clock.time.ticks_ms()
    return clock.time


def test_counts_seconds():
    time = start()
    assert clock.seconds() == 0
    for ms, seconds in ((999, 0), (1, 1), (59_000, 60), (1, 60)):
        time.ms += ms
        assert clock.seconds() == seconds


def test_loses_nothing_to_those_who_ask_often():
    time = start()
    for _ in range(10_000):
        time.ms += 7
        clock.seconds()
    assert clock.seconds() == 70


def test_goes_on_for_a_hundred_years():
    """Ticks wrap after 12.4 days; who asks every six days is right, and so is who asks every few seconds."""
    time = start()
    for step in (6 * DAY, 5):
        before = clock.seconds()
        for n in range(1, 6_000):
            time.ms += step * 1000
            assert clock.seconds() == before + n * step
