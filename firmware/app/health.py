"""Notice that no client reaches the board any more, and heal that: first by closing all connections, then by a reset.

What clients, or a program, take of the memory is missing to the system under MicroPython. Without any, Wi-Fi receives
nothing more, and no error says so. Loaded once the board serves.
"""

import asyncio
import gc

import boot_files
import esp32
import web
import wifi
from micropython import const
from seldom import load

LOOK_SECONDS = 20
_TRIES = const(3)  # looks in a row
_LEAST = const(2048)  # bytes of the system's memory in one piece: a frame of Wi-Fi takes 1.6 kB
ARRIVAL_SECONDS = 5
_FAILURES = (OSError, MemoryError, asyncio.TimeoutError)  # MicroPython has no builtin TimeoutError


async def watch(port):
    """Look after the board for good. An update is left alone, and without Wi-Fi there is nothing to be heard."""
    failed, is_new = 0, True
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        failed = failed + 1 if wifi.is_up() and not web.ota.is_busy() and await _is_deaf(port) else 0
        if not failed:
            is_new = True
        if failed == _TRIES:
            failed = 0
            _heal(is_new)
            is_new = False


def _heal(is_new):
    if is_new:
        print("No client reaches this board any more. Closing all connections.")
        web.app.stop()  # it starts again by itself
    else:
        load("guesses").keep()
        boot_files.heal()


async def _is_deaf(port):
    gc.collect()
    try:
        pieces = [piece for _, _, piece, _ in esp32.idf_heap_info(esp32.HEAP_DATA)]
        return max(pieces) < _LEAST or not await asyncio.wait_for(_arrives(port), ARRIVAL_SECONDS)
    except _FAILURES:
        return True


# A connection that the server sends away for want of a place has arrived, too.
async def _arrives(port):
    """Return True once the server has seen a connection of the board's own."""
    before = web.app.arrivals
    _, writer = await asyncio.open_connection(wifi.ip(), port)
    try:
        while web.app.arrivals == before:
            await asyncio.sleep(0.1)
        return True
    finally:
        writer.close()
        await writer.wait_closed()
