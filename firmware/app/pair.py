"""Bytes in NVS that a power cut leaves as they were or as they shall be. Loaded when they are needed.

ESP-IDF can lose a blob that it replaces. So there are two, "<name>1" and "<name>2", and the number "<name>" names one.
"""

import settings
from esp32 import NVS


def _number(name):
    try:
        return NVS("kit").get_i32(name)
    except OSError:
        return 2  # there is none yet


def read(name):
    """Return the bytes under a name of up to 14 characters, None where there are none."""
    return settings.blob(f"{name}{_number(name)}")


def write(name, data):
    """Store up to 512 bytes. Raises OSError, and then those before are still there."""
    number = 3 - _number(name)
    settings.store(f"{name}{number}", data)
    nvs = NVS("kit")
    nvs.set_i32(name, number)
    nvs.commit()
