"""What NVS holds in the namespace "kit": settings, which board.install() and config.py write."""

from esp32 import NVS
from micropython import const

NEXT = "password2"  # it stands there too while it is replaced
_LONGEST = const(512)  # bytes: a set of all settings, see config.py


def blob(key):
    """Return the bytes stored under a key, None where there are none."""
    buffer = bytearray(_LONGEST)
    try:
        length = NVS("kit").get_blob(key, buffer)
    except OSError:
        return None
    return bytes(buffer[:length])


# ESP-IDF can lose a blob that it replaces, where the power goes then; and without a password the default one opens.
def password():
    """Return what is kept of the OTA password, None where none was set."""
    return blob("password") or blob(NEXT)


def store(key, value):
    """Store bytes under a key."""
    nvs = NVS("kit")
    nvs.set_blob(key, value)
    nvs.commit()


def store_password(value):
    """Store what is kept of the OTA password: the power can go at any time, and again."""
    kept = password()
    if kept:
        store("password", kept)  # it can stand under NEXT alone, which is replaced now
    store(NEXT, value)
    store("password", value)
    nvs = NVS("kit")
    nvs.erase_key(NEXT)
    nvs.commit()
