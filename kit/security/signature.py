"""Signatures of update images, in the format of Secure Boot V2.

One sector behind what is signed, with a block for each of up to three keys (ESP-IDF 5.4, esp_secure_boot.h).
"""

import hashlib
import struct
import zlib
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from kit.errors import SecurityError
from kit.security.keys import KEY, NUMBER, Key

SECTOR = 4096
MOST = 3  # keys
MAGIC, VERSION_RSA = 0xE7, 2
SIGNED = struct.Struct(f"<BBxx32s{KEY.size}s{NUMBER}s")  # magic, version, SHA-256 of the image, key, signature
END = struct.Struct("<I16x")  # CRC-32 of what stands before
BLOCK = SIGNED.size + END.size
PADDING = PSS(MGF1(SHA256()), salt_length=SHA256.digest_size)


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
    signature = key.private.sign(digest, PADDING, Prehashed(SHA256()))
    block = SIGNED.pack(MAGIC, VERSION_RSA, digest, key.numbers, signature[::-1])
    return block + END.pack(zlib.crc32(block))


def signer_digests(data: bytes) -> tuple[bytes, ...]:
    """Return the digests of the keys that have signed an image, as far as their signatures are right."""
    signed, sector = data[:-SECTOR], data[-SECTOR:]
    blocks = (sector[number * BLOCK : (number + 1) * BLOCK] for number in range(MOST))
    return tuple(hashlib.sha256(numbers).digest() for block in blocks if (numbers := _signer(block, signed)))


def _signer(block: bytes, signed: bytes) -> bytes:
    """Return the public key of a block whose signature of these bytes is right, else nothing."""
    if len(block) < BLOCK:
        return b""
    magic, kind, digest, numbers, signature = SIGNED.unpack_from(block)
    right = MAGIC, VERSION_RSA, hashlib.sha256(signed).digest(), zlib.crc32(block[: SIGNED.size])
    if (magic, kind, digest, *END.unpack_from(block, SIGNED.size)) != right:
        return b""
    n, e, _, _ = KEY.unpack(numbers)
    try:
        public = RSAPublicNumbers(e, int.from_bytes(n, "little")).public_key()
        public.verify(signature[::-1], digest, PADDING, Prehashed(SHA256()))
    except (InvalidSignature, ValueError):  # ValueError: no such key can be
        return b""
    return numbers
