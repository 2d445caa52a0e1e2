# Runs on CPython and on MicroPython.
"""HMAC-SHA-256 by the vectors of RFC 4231."""

import binascii

import hmac256

LARGE = b"This is a test using a larger than block-size key and a larger than block-size data. "
LARGE += b"The key needs to be hashed before being used by the HMAC algorithm."

# key, data, and the digest, which case 5 cuts off after 128 bits
VECTORS = (
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    (b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (b"\xaa" * 131, LARGE, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
)


def test_vectors():
    for key, data, digest in VECTORS:
        digest = binascii.unhexlify(digest)
        assert hmac256.digest(key, data)[: len(digest)] == digest


def test_keys_of_one_block():
    """A key of exactly 64 bytes is used as it is, one of 65 is hashed."""
    assert hmac256.digest(b"k" * 64, b"") != hmac256.digest(b"k" * 65, b"")
    assert hmac256.digest(b"k" * 63, b"") == hmac256.digest(b"k" * 63 + b"\0", b"")
