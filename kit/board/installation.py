"""The settings of a board, as `board.install()` writes them into its NVS."""

import os

from kit.errors import SettingsError
from kit.settings import hash_password, settings

SALT_SIZE = 16
DEFAULT_PASSWORD, PASSWORD_LENGTHS = "admin123", range(8, 65)  # as firmware/app/auth.py takes them

# The settings go to NVS, which survives updates; esp32.NVS has blobs and 32-bit numbers only.
STORE_SETTINGS = """
from esp32 import NVS
nvs = NVS("kit")
for key, value in {blobs!r}.items():
    nvs.set_blob(key, value)
nvs.set_i32("config", 0)  # settings that came over the air, and those on trial: firmware/app/config.py
nvs.commit()
"""


def store_settings(virtual: bool) -> str:
    """Return the MicroPython code that stores the settings in force.

    Raises:
        SettingsError: a setting for a real board is missing, or the OTA password is no good one.
    """
    chosen = settings(virtual)
    if chosen.password == DEFAULT_PASSWORD or len(chosen.password) not in PASSWORD_LENGTHS:
        raise SettingsError(
            "The OTA password is too short, too long, or the one that everybody knows.",
            "Choose one of your own, 8 to 64 characters long, in lab.toml or KIT_PASSWORD.",
        )
    salt = os.urandom(SALT_SIZE)
    blobs = {
        "wifi_ssid": chosen.wifi_ssid.encode(),
        "wifi_password": chosen.wifi_password.encode(),
        "password": salt + hash_password(chosen.password, salt),
    }
    return STORE_SETTINGS.format(blobs=blobs)
