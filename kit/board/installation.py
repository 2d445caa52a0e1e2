"""The settings of a board, as `board.install()` writes them into its NVS."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from string import hexdigits

from kit.errors import SecurityError, SettingsError
from kit.security.certificate import Certificate
from kit.security.keys import Key, read_key
from kit.settings import FILE, PLACES, hash_password, settings

SALT_SIZE = 16
DEFAULT_PASSWORD = "admin123"

# The settings go to NVS, which survives updates; esp32.NVS has blobs and 32-bit numbers only.
STORE_SETTINGS = """
from esp32 import NVS
nvs = NVS("kit")
for key, value in {blobs!r}.items():
    nvs.set_blob(key, value)
try:
    nvs.erase_key("password2")  # of a change over the air that was cut: firmware/app/settings.py
except OSError:
    pass
nvs.set_i32("config", 0)  # settings that came over the air, and those on trial: firmware/app/config.py
nvs.commit()
"""


# As firmware/app/signature.py keeps them: a set under a new name, and the number that names it, which is 0 for none.
# A security version from the time without signers may be anybody's.
STORE_SIGNERS = """
keys, signers = {signers!r}, 0
try:
    signers = nvs.get_i32("signers")
except OSError:
    pass
number = 2 if signers == 1 else 1
if keys:
    nvs.set_blob("signers" + str(number), keys)
    nvs.commit()
nvs.set_i32("signers", number if keys else 0)
nvs.commit()
gone = ["floor"] if signers == 0 or not keys else []
if not keys:
    gone += ["signers1", "signers2"]
for key in gone:
    try:
        nvs.erase_key(key)
    except OSError:
        pass
nvs.commit()
"""
MOST_SIGNERS = 3


def store_signers(signers: Sequence[Key | str | Path]) -> str:
    """Return the MicroPython code that makes a board trust these keys and no others; none: it takes what nobody signed.

    Raises:
        SecurityError: too many keys, or one that cannot be used.
    """
    if not isinstance(signers, list | tuple) or len(signers) > MOST_SIGNERS:
        raise SecurityError(f"A board trusts up to {MOST_SIGNERS} keys.", "Give a list: board.install(signers=[key]).")
    return STORE_SIGNERS.format(signers=b"".join(read_key(key).digest for key in signers))


# One blob holds both: see firmware/app/certificate.py.
STORE_CERTIFICATE = """
try:
    old = nvs.get_i32("cert")
except OSError:
    old = 2
nvs.set_blob("cert%d" % (3 - old), {blob!r})
nvs.set_i32("cert", 3 - old)
nvs.commit()
"""
# The names of the board: that which it has from the start, and that in its settings.
HOSTNAMES = """
import json, machine
from esp32 import NVS
names = ["esp32-ota-" + "".join(["%02x" % byte for byte in machine.unique_id()[-2:]])]
try:
    nvs, buffer = NVS("kit"), bytearray(512)
    size = nvs.get_blob("set%d" % (nvs.get_i32("config") // 8), buffer)
    names.append(json.loads(buffer[:size])["hostname"])
except (OSError, ValueError, KeyError):
    pass
"""


def store_certificate(certificate: Certificate) -> str:
    """Return the MicroPython code that stores a certificate and its key."""
    blob = len(certificate.der).to_bytes(2, "little") + certificate.der + certificate.key
    return STORE_CERTIFICATE.format(blob=blob)


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
