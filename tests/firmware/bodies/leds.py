# Runs on CPython and on MicroPython.
"""What the LEDs show while an update runs."""

import asyncio

import _pins
import led
import machine
from _expect import error_of

machine.PWM = _pins.PWM
SIZE = 1000
seconds = []  # that the LEDs slept


class Clock:
    """Time that passes as soon as the others have had their turn."""

    def create_task(self, coroutine):
        return asyncio.create_task(coroutine)

    async def sleep(self, s):
        seconds.append(s)
        await asyncio.sleep(0)


led.asyncio = Clock()


def show(bright, bar, update):
    """Show an update at two GPIOs; return its result."""
    progress = {"written": 0, "size": 0}

    async def run():
        try:
            return await led.show(update(progress), progress, bright, bar)
        finally:
            for _ in range(5):
                await asyncio.sleep(0)

    return asyncio.run(run())


async def good(progress):
    progress["size"] = SIZE
    for written in range(0, SIZE + 1, 100):
        progress["written"] = written
        await asyncio.sleep(0)
    return "done"


async def bad(progress):
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    raise OSError("broken off")


async def refused(progress):
    raise OSError("busy")


def test_blinks_and_goes_out():
    assert show(2, None, good) == "done"
    gpios = [gpio for gpio, _ in _pins.levels]
    levels = [level for _, level in _pins.levels]
    assert set(gpios) == {2}
    assert levels[-5:-1] in ([0, 1, 0, 1], [1, 0, 1, 0])
    assert levels[-1] == 0
    assert len(levels) > 8
    assert set(seconds) == {0.25}
    assert not _pins.pwm


def test_goes_out_after_a_failure():
    assert str(error_of(OSError, show, 4, 25, bad)) == "broken off"
    assert (4, 1) in _pins.levels
    assert _pins.levels[-1] == (4, 0)
    assert _pins.pwm[-2:] == [0, "deinit"]


def test_brightens_with_what_is_written():
    assert show(None, 25, good) == "done"
    assert not [level for gpio, level in _pins.levels if gpio != 25]
    start, *duties = _pins.pwm
    assert start[1:] == (1000, 0)
    assert duties[-2:] == [0, "deinit"]
    assert duties[:-2] == sorted(duties[:-2])
    assert max(duties[:-1]) > 60_000
    assert len(set(duties)) > 8


def test_without_leds():
    assert show(None, None, good) == "done"
    assert not _pins.levels
    assert not _pins.pwm


def test_a_refusal_lights_nothing():
    """A second update, while the LEDs show the first one."""
    error_of(OSError, show, 2, 25, refused)
    assert not _pins.levels
    assert not _pins.pwm
