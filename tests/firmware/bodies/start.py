# Runs on MicroPython.
"""A start as on a board: the boot files begin, and everything else comes out of the slot."""

import asyncio
import sys

import _chip
from esp32 import NVS


def serve(port, stored_password, running):
    """Start what the slot at `running` holds; its port 80 is `port`. The machine is a real chip."""
    _chip.running = int(running)
    _chip.machine = "Generic ESP32 module with OTA with ESP32"
    nvs = NVS("kit")
    nvs.set_blob("wifi_ssid", b"virtual-wifi")
    nvs.set_blob("wifi_password", b"virtual-password")
    nvs.set_blob("password", bytes.fromhex(stored_password))
    nvs.commit()
    run = asyncio.run

    def run_on_port(main):
        sys.modules["main"].PORT = int(port)
        run(main)

    asyncio.run = run_on_port
    __import__("boot_main")
