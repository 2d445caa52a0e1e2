"""Keys that sign updates: RSA with 3,072 bits, the kind of Secure Boot V2 on an ESP32."""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from kit.errors import SecurityError, interruptible

BITS, EXPONENT = 3072, 65537
NUMBER = BITS // 8  # bytes of a number
KEY = struct.Struct(f"<{NUMBER}sI{NUMBER}sI")  # of a signature block: n, e, and two constants that speed up a chip
NEW = 'Make one with kit.new_key("team.pem").'
VARIABLE = "KIT_SIGNING_KEY"  # has the text of a PEM file, where a secret comes as a variable, as in CI


@dataclass(frozen=True)
class Key:
    """A key in a file: who has the private half signs, and a board knows the public one by its digest."""

    name: str
    public: RSAPublicKey = field(repr=False)
    private: RSAPrivateKey | None = field(repr=False, default=None)

    @property
    def numbers(self) -> bytes:
        """The public half as a signature block carries it, 776 bytes."""
        n, e = self.public.public_numbers().n, self.public.public_numbers().e
        # esp_secure_boot.h: R² mod n with R = 2 ** 3072, and -1/n mod 2 ** 32
        r, m = pow(2, 2 * BITS, n), -pow(n, -1, 1 << 32) % (1 << 32)
        return KEY.pack(n.to_bytes(NUMBER, "little"), e, r.to_bytes(NUMBER, "little"), m)

    @property
    def digest(self) -> bytes:
        """The SHA-256 by which a board knows the key, 32 bytes; `espsecure digest-sbv2-public-key` writes the same."""
        return hashlib.sha256(self.numbers).digest()


@interruptible
def new_key(path: str | Path) -> Key:
    """Make a key, and write it to a file that only you can read.

    Raises:
        SecurityError: there is a file already, which is never overwritten, or none can be written there.
    """
    private = generate_private_key(EXPONENT, BITS)
    write_secret(path, private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return Key(Path(path).name, private.public_key(), private)


def read_key(source: Key | str | Path) -> Key:
    """Return the key in a PEM file: a private one, or a public one, which signs nothing.

    Raises:
        SecurityError: there is no such file, or no RSA key of 3,072 bits in it.
    """
    if isinstance(source, Key):
        return source
    name = Path(source).name if isinstance(source, str | Path) else ""
    return _parse(name, read_pem(source, NEW))


def key_from_environment() -> Key:
    """Return the key whose PEM text is in the variable KIT_SIGNING_KEY.

    Raises:
        SecurityError: it is not set, or no RSA key of 3,072 bits.
    """
    if not (text := os.environ.get(VARIABLE)):
        cause = f"No file of a key is named, and {VARIABLE} is not set."
        raise SecurityError(cause, f"Name the file, or set {VARIABLE} to the text in it.")
    return _parse(VARIABLE, text.encode(errors="replace"))


def _parse(name: str, data: bytes) -> Key:
    private = _load(load_pem_private_key, data, name, password=None)
    public = private.public_key() if private else _load(load_pem_public_key, data, name)
    if not isinstance(public, RSAPublicKey) or public.key_size != BITS:
        raise SecurityError(f"{name} holds no RSA key of {BITS} bits.", NEW)
    return Key(name, public, private)


def _load(load, data: bytes, name: str, **options):
    """Return what a loader finds in PEM, None where it is something else."""
    try:
        return load(data, **options)
    except TypeError:  # it has a passphrase
        advice = f"Write it without: openssl rsa -in {name} -out plain.pem"
        raise SecurityError(f"The key in {name} is encrypted with a passphrase.", advice) from None
    except (ValueError, UnsupportedAlgorithm):
        return None


def read_pem(path: object, advice: str) -> bytes:
    """Return the bytes of a file with a key or a certificate.

    Raises:
        SecurityError: there is no such file, or it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except (OSError, TypeError, ValueError) as error:  # ValueError: a name with a NUL
        reason = getattr(error, "strerror", None) or "this is no path"
        raise SecurityError(f"{path} cannot be read: {reason}.", advice) from None


def write_secret(path: object, data: bytes) -> None:
    """Write a new file that only its owner can read.

    Raises:
        SecurityError: there is a file already, or none can be written there.
    """
    try:
        descriptor = os.open(Path(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        advice = "Choose another name, or move that file away: who loses a key cannot sign any more."
        raise SecurityError(f"There is a {Path(path)} already, and it is not overwritten.", advice) from None
    except (OSError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "this is no path"
        raise SecurityError(f"{path} cannot be written: {reason}.", "Choose another place.") from None
    with open(descriptor, "wb") as file:
        file.write(data)
