"""Signatures of update images, in the format of Secure Boot V2.

One sector behind what is signed, with a block for each of up to three keys (ESP-IDF 5.4, esp_secure_boot.h).
"""

import hashlib
import struct
import zlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from kit.errors import SecurityError
from kit.security.keys import KEY, NUMBER, Key

SECTOR = 4096
MOST = 3  # keys
MAGIC, VERSION_RSA = 0xE7, 2
SIGNED = struct.Struct(f"<BBxx32s{KEY.size}s{NUMBER}s")  # magic, version, SHA-256 of the image, key, signature
END = struct.Struct("<I16x")  # CRC-32 of what stands before


def signature_sector(data: bytes, keys: Sequence[Key]) -> bytes:
    """Return the sector with the signatures of `data`, whole sectors, by so many keys.

    Raises:
        SecurityError: a key is a public one, or they are too many, or one is there twice.
    """
    if not 0 < len(keys) <= MOST or len({key.digest for key in keys}) < len(keys):
        raise SecurityError("An image is signed by one to three different keys.", "Give each once: image.sign(key).")
    return b"".join(_block(data, key) for key in keys).ljust(SECTOR, b"\xff")


def _block(data: bytes, key: Key) -> bytes:
    if key.private is None:
        raise SecurityError(f"{key.name} holds a public key, which signs nothing.", "Give the file of the private one.")
    digest = hashlib.sha256(data).digest()
    signature = key.private.sign(digest, PSS(MGF1(SHA256()), salt_length=SHA256.digest_size), Prehashed(SHA256()))
    block = SIGNED.pack(MAGIC, VERSION_RSA, digest, key.numbers, signature[::-1])
    return block + END.pack(zlib.crc32(block))
