"""What LEDs show of an update: one blinks, and another one brightens. Loaded when it is needed."""

import asyncio

import machine
from micropython import const

_BLINK = const(0.25)  # seconds
_FULL = const(65535)


async def show(update, progress, led, bar):
    """Await the update while the LEDs show it, and return its result.

    Args:
        progress: dict with the bytes `written` of the `size`.
        led, bar: GPIO of the LED that blinks, and of the one that brightens; None for none.
    """
    task = asyncio.create_task(_drive(progress, led, bar))
    try:
        return await update
    finally:
        task.cancel()


async def _drive(progress, led, bar):
    led = led is not None and machine.Pin(led, machine.Pin.OUT)
    bar = bar is not None and machine.PWM(machine.Pin(bar), freq=1000, duty_u16=0)
    is_on = True
    try:
        while True:
            if led:
                led.value(is_on)
            if bar:
                bar.duty_u16(_FULL * progress["written"] // max(progress["size"], 1))
            is_on = not is_on
            await asyncio.sleep(_BLINK)
    finally:
        if led:
            led.value(0)
        if bar:
            bar.duty_u16(0)
            bar.deinit()
