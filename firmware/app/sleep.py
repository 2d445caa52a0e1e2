"""Deep sleep that loses no update. Nothing here calls this: it is for applications that live on a battery."""

import asyncio

import boot_files
import machine
import slot
import web


async def deep(seconds):
    """Sleep as soon as it does no harm, and start anew after so many seconds.

    A version on probation would lose its place: to the bootloader each wake-up is a start, and one that nobody has
    confirmed is not started twice. So it waits for its self-test; and an update that runs comes to its end.
    """
    while slot.is_unconfirmed() or web.ota.is_busy():
        await asyncio.sleep(0.1)
    boot_files.flush(True)  # its memory is lost
    machine.deepsleep(int(seconds * 1000))
