"""The certificate of this board and its key, EC P-256 in DER. Loaded when they are needed.

Both are one blob in NVS, "cert1" or "cert2", and the number "cert" names which: a power cut leaves the old pair or the
new one. The blob in use is never replaced, as ESP-IDF can lose it then.
"""

import binascii
import hashlib

import boot_files
import settings
import tls
from errors import HttpError
from esp32 import NVS
from micropython import const

_LONGEST = const(1024)  # bytes of both
_P256 = const(b"\x06\x08*\x86H\xce=\x03\x01\x07\x03B\x00\x04")  # in front of a certificate's public point (RFC 5480)
_POINT = const(64)  # bytes of it, with which a key ends (RFC 5915)


def read():
    """Return certificate and key. Raises OSError where there are none."""
    nvs, buffer = NVS("kit"), bytearray(_LONGEST + 2)
    end = nvs.get_blob("cert{}".format(nvs.get_i32("cert")), buffer)
    middle = 2 + int.from_bytes(buffer[:2], "little")
    return bytes(buffer[2:middle]), bytes(buffer[middle:end])


def is_there():
    """Tell whether there are any."""
    try:
        return bool(read())
    except OSError:
        return False


def context(pair=None):
    """Return the TLS context of a server that has them. Raises OSError where they are missing or bad.

    mbedtls also loads a key that belongs to another certificate, and then no handshake succeeds.
    """
    certificate, key = pair or read()
    made = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
    try:
        made.load_cert_chain(certificate, key)
    except ValueError:
        key = b""
    if len(key) < _POINT or _P256 + key[-_POINT:] not in certificate:
        raise OSError("the certificate or its key is bad")
    return made


def pin():
    """Return the SHA-256 of the certificate as a text, two hex digits a byte."""
    digest = binascii.hexlify(hashlib.sha256(read()[0]).digest()).decode().upper()
    return ":".join([digest[at : at + 2] for at in range(0, 64, 2)])


async def put(request):
    """Store what comes as JSON, and return the answer. Raises HttpError, and then nothing has changed."""
    if not request.client.is_tls:
        raise HttpError(403, "HTTPS_REQUIRED", "No key comes by plain HTTP.", "Use board.install(certificate=…).")
    asked = await request.fields(only_json=True)
    try:
        pair = [binascii.a2b_base64(asked[name]) for name in ("certificate", "key")]
        context(pair)
    except (KeyError, TypeError, ValueError, OSError):
        advice = "Send certificate and key, EC P-256, in DER as base64."
        raise HttpError(400, "BAD_CERTIFICATE", "This is no certificate with its key.", advice)
    nvs, old = NVS("kit"), 2
    try:
        old = nvs.get_i32("cert")
    except OSError:
        pass  # there is none
    try:
        settings.store(f"cert{3 - old}", len(pair[0]).to_bytes(2, "little") + pair[0] + pair[1])
        nvs.set_i32("cert", 3 - old)
        nvs.commit()
    except OSError:
        raise HttpError(500, "NOT_STORED", "The flash does not take them.", "Restart the board, and try again.")
    boot_files.log("CONFIG", request.client.address, settings="certificate")
    return {"message": "The certificate applies at the next restart."}
