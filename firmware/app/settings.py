"""What NVS holds in the namespace "kit": settings, which board.install() and config.py write."""

from esp32 import NVS
from micropython import const

_LONGEST = const(512)  # bytes: a set of all settings, see config.py


def blob(key):
    """Return the bytes stored under a key, None where there are none."""
    buffer = bytearray(_LONGEST)
    try:
        length = NVS("kit").get_blob(key, buffer)
    except OSError:
        return None
    return bytes(buffer[:length])


def store(key, value):
    """Store bytes under a key."""
    nvs = NVS("kit")
    nvs.set_blob(key, value)
    nvs.commit()
