# Runs on CPython and on MicroPython.
"""The whole application on a loopback port."""

import _chip
from esp32 import NVS

SALT = b"0123456789abcdef"


def serve(port, password="", running="65536", wifi_password="virtual-password", seconds="60", stall="10"):
    """Run the application as slot.start does. `password`: the OTA password; none is set without."""
    _chip.running = int(running)
    import auth
    import main
    import server

    nvs = NVS("kit")
    nvs.set_blob("wifi_ssid", b"virtual-wifi")
    nvs.set_blob("wifi_password", wifi_password.encode())
    if password:
        nvs.set_blob("password", SALT + auth.hash_password(password, SALT))
    nvs.commit()
    main.PORT = int(port)
    main._TEST_SECONDS = float(seconds)
    server.SECONDS = float(stall)
    main.run()


def run_without_settings(running):
    """Run the application on a board where no Wi-Fi network was set."""
    _chip.running = int(running)
    import main

    main.run()
