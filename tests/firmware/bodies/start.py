# Runs on MicroPython.
"""A start as on a board: the boot files begin, and everything else comes out of the slot."""

import asyncio
import gc
import sys

import _chip
import esp32
import machine  # noqa: F401 - stand-ins do not count as the application's
import network  # noqa: F401
from esp32 import NVS

BLOCK = 512  # of littlefs

_shown = 0  # times that the heap was shown


def serve(port, stored_password, running, restarts=1):
    """Start what the slot at `running` holds; its port 80 is `port`. The machine is a real chip.

    With restarts=0 the board goes on after an update.
    """
    _chip.running = int(running)
    _chip.machine = "Generic ESP32 module with OTA with ESP32"
    esp32.idf_heap_info = lambda kind: [(100_000, 40_000, 30_000, 0)]  # a slow computer comes to the look at health
    nvs = NVS("kit")
    nvs.set_blob("wifi_ssid", b"virtual-wifi")
    nvs.set_blob("wifi_password", b"virtual-password")
    nvs.set_blob("password", bytes.fromhex(stored_password))
    nvs.commit()
    reads, read_into = 0, _chip.read_into

    def count(address, view):
        nonlocal reads
        reads += len(view) == BLOCK
        read_into(address, view)

    _chip.read_into = count
    run = asyncio.run
    before = _allocated()

    def run_on_port(main):
        _chip.read_into = read_into
        print("READS", reads)
        web = sys.modules["web"]
        sys.modules["main"]._self_test.PORT = int(port)
        if not int(restarts):
            web.restart_soon = lambda: web.ota.progress.update({"phase": "idle"})

        async def show():
            while web.app._clients:
                await asyncio.sleep(0.01)
            if "events" in sys.modules:  # as the loop does every five seconds
                sys.modules["boot_files"].flush()
            global _shown
            print("HEAP", _shown, _allocated() - before)
            _shown += 1

        @web.app.on("GET /heap", sys.modules["server"].ANYONE)
        async def heap(request):
            """Print, once nobody is served, how many bytes of the heap boot files, file system and application take."""
            web.showing = asyncio.create_task(show())
            return ""

        run(main)

    asyncio.run = run_on_port
    __import__("boot_main")


def _allocated():
    gc.collect()
    return gc.mem_alloc()
