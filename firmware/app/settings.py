"""What NVS holds in the namespace "kit": settings, which board.install() and config.py write."""

from esp32 import NVS
from micropython import const

_LONGEST = const(512)  # bytes: a set of all settings, see config.py
# Unicode's controls, ends of lines and paragraphs, changes of direction, and surrogates, which JSON can hold
_NOT_PLAIN = const(((0, 0x1F), (0x7F, 0x9F), (0x200E, 0x200F), (0x2028, 0x202E), (0x2066, 0x2069), (0xD800, 0xDFFF)))


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


def is_plain(text):
    """Tell whether a text can be shown in one line, and be UTF-8."""
    return not any(low <= ord(c) <= high for c in text for low, high in _NOT_PLAIN)
