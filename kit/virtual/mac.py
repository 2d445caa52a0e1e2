"""The MAC address of a virtual board, by which programs call it, and the flash file that the lessons keep."""

import hashlib
import os
from pathlib import Path

import platformdirs

OWN_FILE = platformdirs.user_data_path("esp32-ota-kit") / "virtual-board.bin"
MAC = bytes.fromhex("240ac4000110")  # from Espressif's range, as in MicroPython on an emulator


def mac_of(flash_file: Path) -> bytes:
    """Return the MAC of the board with this flash file, the same each time: a chip's is in no flash that one can erase.

    The board of the lessons has the same one on every computer, and so the same name in what their cells print. The
    others have one by the place of their file.
    """
    place = os.path.abspath(flash_file)
    if place == str(OWN_FILE):
        return MAC
    return MAC[:3] + hashlib.sha256(os.fsencode(place)).digest()[:3]
