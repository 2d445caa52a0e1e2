"""The certificate of this board and its key, EC P-256 in DER. Loaded when they are needed.

Both are one blob in NVS, "cert1" or "cert2", and the number "cert" names which: a power cut leaves the old pair or the
new one. A blob is never replaced, as ESP-IDF can lose it then.
"""

import binascii
import hashlib

import tls
from errors import HttpError
from esp32 import NVS
from micropython import const

_LONGEST = const(1024)  # bytes of both
# prime256v1, and the first byte of an uncompressed point (RFC 5480); in the key version 1, and the private number after
_POINT, _PRIVATE = const(b"\x06\x08*\x86H\xce=\x03\x01\x07\x03B\x00\x04"), const(b"\x02\x01\x01\x04\x20")  # RFC 5915
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1  # FIPS 186-4, D.1.2.3
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_G = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296


def read():
    """Return certificate and key. Raises OSError where there are none."""
    nvs, buffer = NVS("kit"), bytearray(_LONGEST + 2)
    end = nvs.get_blob("cert{}".format(nvs.get_i32("cert")), buffer)
    middle = 2 + int.from_bytes(buffer[:2], "little")
    return bytes(buffer[2:middle]), bytes(buffer[middle:end])


def is_there():
    """Tell whether there are a certificate and a key."""
    try:
        return bool(read())
    except OSError:
        return False


def context():
    """Return the TLS context of a server that has them. Raises OSError where they are missing or bad."""
    try:
        return _load(*read())
    except (OSError, ValueError):
        raise OSError("there is no good certificate")


def pin():
    """Return the SHA-256 of the certificate as a text, two hex digits a byte."""
    digest = binascii.hexlify(hashlib.sha256(read()[0]).digest()).decode().upper()
    return ":".join([digest[at : at + 2] for at in range(0, 64, 2)])


def put(asked):
    """Store what came as JSON. Raises HttpError, and then nothing has changed."""
    try:
        pair = [binascii.a2b_base64(asked[name]) for name in ("certificate", "key")]
        _load(*pair)
        if sum(map(len, pair)) > _LONGEST:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        advice = "Send certificate and key, EC P-256, in DER as base64."
        raise HttpError(400, "BAD_CERTIFICATE", "These are no certificate and the key that belongs to it.", advice)
    try:
        _store(*pair)
    except OSError:
        raise HttpError(500, "NOT_STORED", "The flash does not take them.", "Restart the board, and try again.")


def _store(certificate, key):
    nvs = NVS("kit")
    try:
        old = nvs.get_i32("cert")
    except OSError:
        old = 2
    nvs.set_blob(f"cert{3 - old}", len(certificate).to_bytes(2, "little") + certificate + key)
    nvs.set_i32("cert", 3 - old)
    nvs.commit()
    try:
        nvs.erase_key(f"cert{old}")
        nvs.commit()
    except OSError:
        pass  # there is none


# mbedtls loads a key that belongs to another certificate, too, and then no handshake succeeds.
def _load(certificate, key):
    made = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, key)
    at = key.find(_PRIVATE) + len(_PRIVATE)
    if _POINT + _public(int.from_bytes(key[at : at + 32], "big")).to_bytes(32, "big") not in certificate:
        raise ValueError
    return made


# A ladder on x alone, X / Z (Brier and Joye, "Weierstrass Elliptic Curves and Side-Channel Attacks", 2002). Two keys
# with this x differ in the sign only.
def _public(private):
    """Return x of the public point of a private number."""
    x, z, x1, z1 = 1, 0, _G, 1
    for bit in range(255, -1, -1):
        is_one = private >> bit & 1
        if is_one:
            x, z, x1, z1 = x1, z1, x, z
        a, b, zz = x * z1 % _P, x1 * z % _P, z * z1 % _P
        sum_x, sum_z = (x * x1 + 3 * zz) ** 2 - 4 * _B * zz * (a + b), _G * (a - b) ** 2
        xx, zz = x * x % _P, z * z % _P
        xz = x * z % _P * zz % _P
        x, z = ((xx + 3 * zz) ** 2 - 8 * _B * xz) % _P, 4 * (x * z % _P * (xx - 3 * zz) + _B * zz * zz) % _P
        x1, z1 = sum_x % _P, sum_z % _P
        if is_one:
            x, z, x1, z1 = x1, z1, x, z
    return x * pow(z, _P - 2, _P) % _P
