"""HMAC with SHA-256 (RFC 2104), which MicroPython's builds lack."""

import hashlib

from micropython import const

_BLOCK = const(64)  # bytes that SHA-256 works on


def digest(key, data):
    """Return the 32 bytes by which who has the key knows the data (both bytes) for its own."""
    if len(key) > _BLOCK:
        key = hashlib.sha256(key).digest()
    key = key + bytes(_BLOCK - len(key))
    inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in key]) + data).digest()
    return hashlib.sha256(bytes([byte ^ 0x5C for byte in key]) + inner).digest()


# How long it takes tells nothing about where the two differ.
def is_same(a, b):
    """Tell whether two digests, or other secrets, are the same bytes."""
    return hashlib.sha256(a).digest() == hashlib.sha256(b).digest()
