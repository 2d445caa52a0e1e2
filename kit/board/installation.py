"""The settings of a board, as `board.install()` writes them into its NVS."""

import os
import re
from string import hexdigits

from kit.errors import SettingsError
from kit.settings import FILE, PLACES, hash_password, settings

SALT_SIZE = 16
DEFAULT_PASSWORD = "admin123"

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
        SettingsError: a setting for a real board is missing, or one that a board does not take.
    """
    chosen = settings(virtual)
    for name, (is_right, wrong, right) in RULES.items():
        if not is_right(getattr(chosen, name)):
            variable, *_, what = PLACES[name]
            raise SettingsError(f"The {what} {wrong}.", f"Write {right} into {FILE}, or set {variable}.")
    salt = os.urandom(SALT_SIZE)
    blobs = {
        "wifi_ssid": chosen.wifi_ssid.encode(),
        "wifi_password": chosen.wifi_password.encode(),
        "password": salt + hash_password(chosen.password, salt),
    }
    return STORE_SETTINGS.format(blobs=blobs)


# As firmware/app/config.py and password.py take them over the air; tests/settings.json holds both to it.
# Controls, ends of lines and paragraphs, changes of direction: as firmware/app/plain.py has them
NOT_PLAIN = re.compile("[\0-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def _is_wifi_name(text: str) -> bool:
    return 0 < len(text.encode()) <= 32 and not NOT_PLAIN.search(text)


def _is_wifi_password(text: str) -> bool:
    is_key = len(text) == 64 and not text.strip(hexdigits)
    return not text or is_key or (8 <= len(text) <= 63 and min(text) >= " " and max(text) <= "~")


def _is_password(text: str) -> bool:
    return 8 <= len(text) <= 64 and text != DEFAULT_PASSWORD and not NOT_PLAIN.search(text)


WIFI_PASSWORD = "8 to 63 ASCII characters, 64 hex digits, or for an open network nothing between the quotes"
RULES = {  # what is wrong with others, and what to write
    "wifi_ssid": (_is_wifi_name, "is too long or has control characters in it", "1 to 32 bytes of text"),
    "wifi_password": (_is_wifi_password, "is none that a network can have", WIFI_PASSWORD),
    "password": (
        _is_password,
        "is too short, too long, the one all know, or not in plain text",
        "8 to 64 characters of your own",
    ),
}
