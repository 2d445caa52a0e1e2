"""Settings in NVS, namespace "kit". board.install() writes them."""

from esp32 import NVS

_LONGEST = 64  # bytes: a WPA2 key


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


def wifi():
    """Return name and password of the Wi-Fi network, or (None, None)."""
    name = blob("wifi_ssid")
    return (name.decode(), (blob("wifi_password") or b"").decode()) if name else (None, None)
