"""The certificate by which a board proves over HTTPS that it is the one, and the key that belongs to it."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from kit.errors import SecurityError, interruptible
from kit.security.keys import read_pem, write_secret

YEAR = timedelta(days=365)
SLACK = timedelta(days=1)  # by which the clock of a client may be slow
LONGEST = 1024  # bytes of both, as firmware/app/certificate.py has it
NAME = "[0-9A-Za-z](?:[0-9A-Za-z-]{0,30}[0-9A-Za-z])?"  # of a host, as firmware/app/config.py takes it
NEW = 'Make one: kit.new_certificate("my-board", "192.168.1.5").'


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, EC P-256, both in DER; its repr shows what is the same in every run.

    Raises:
        SecurityError: they are no certificate and key, do not belong together, or the certificate has expired.
    """

    der: bytes = field(repr=False)
    key: bytes = field(repr=False)
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", _checked(self.der, self.key))

    @property
    def pin(self) -> str:
        """The SHA-256 of the certificate, 64 hex digits: by them a client knows the board."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def fingerprint(self) -> str:
        """The pin as browsers and the board's serial port show it: two digits a byte, with colons."""
        return ":".join(re.findall("..", self.pin.upper()))

    def check_names(self, *names: str) -> None:
        """Raise SecurityError unless the certificate names one of these, which are all of one board."""
        if not {name.lower() for name in names} & {*self.names}:
            cause = f"This certificate is for {', '.join(self.names)}, and the board is {' or '.join(names)}."
            raise SecurityError(cause, f"Make one for it: kit.new_certificate({names[0]!r}).")

    def save(self, path: str | os.PathLike) -> Path:
        """Write both into a new PEM file, which only this user can read, and return its path.

        Raises:
            SecurityError: there is such a file, or it cannot be written.
        """
        text = _private(self.key).private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        text += x509.load_der_x509_certificate(self.der).public_bytes(Encoding.PEM)
        write_secret(path, text)
        return Path(path)

    @classmethod
    def read(cls, path: str | os.PathLike) -> Certificate:
        """Return the certificate and the key in a PEM file.

        Raises:
            SecurityError: it has none, or such as `Certificate` does not take.
        """
        text = read_pem(path, NEW)
        try:
            key = load_pem_private_key(text, None)
            certificate = x509.load_pem_x509_certificate(text)
        except TypeError:
            raise SecurityError(f"The key in {path} is encrypted.", f"A board takes no passphrase. {NEW}") from None
        except ValueError:
            raise SecurityError(f"{path} has no certificate with its key.", NEW) from None
        return cls(certificate.public_bytes(Encoding.DER), _der(key))


def read_certificate(given: Certificate | str | os.PathLike) -> Certificate:
    """Return a certificate, or the one in a PEM file.

    Raises:
        SecurityError: it is none, or the file has none.
    """
    if isinstance(given, Certificate):
        return given
    if isinstance(given, str | os.PathLike):
        return Certificate.read(given)
    raise SecurityError(f"A {type(given).__name__} is no certificate.", NEW)


def _checked(der: bytes, key: bytes) -> tuple[str, ...]:
    """Return the names in a certificate that a board can use."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        public = certificate.public_key()
        end = certificate.not_valid_after_utc
    except (TypeError, ValueError):
        raise SecurityError("This is no certificate.", NEW) from None
    private = _private(key)
    if not isinstance(public, ec.EllipticCurvePublicKey) or _spki(public) != _spki(private.public_key()):
        raise SecurityError("The key does not belong to the certificate.", f"Keep both in one file. {NEW}")
    if end < datetime.now(UTC):
        raise SecurityError("The certificate has expired.", NEW)
    if len(der) + len(key) > LONGEST:
        raise SecurityError(f"Certificate and key have more than {LONGEST} bytes.", "Put fewer names into it.")
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        found = []
    return tuple(str(name.value).lower() for name in found if isinstance(name, x509.DNSName | x509.IPAddress))


def _private(key: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        found = load_der_private_key(key, None)
    except (TypeError, ValueError):
        raise SecurityError("This is no key.", NEW) from None
    _der(found)
    return found


def _der(key: object) -> bytes:
    """Return a key as a board keeps it (RFC 5915)."""
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SecurityError("The key is not of the kind EC P-256.", f"A board is too slow for others. {NEW}")
    return key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _spki(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@interruptible
def new_certificate(hostname: str, *addresses: str) -> Certificate:
    """Make a certificate for a board, signed by its own new key, good for a year.

    Args:
        hostname: of the board, as `ota.info()["hostname"]` says; the name with .local behind it is in it, too.
        addresses: IP addresses by which it is reached; that of a virtual board is 127.0.0.1.

    Raises:
        SecurityError: no board can have this name, or something is no IP address.
    """
    if not (isinstance(hostname, str) and re.fullmatch(NAME, hostname)):
        raise SecurityError(f"{hostname!r} is no hostname.", "Use 1 to 32 letters, digits and hyphens.")
    try:
        ips = [IPv4Address(str(address)) for address in addresses]
    except ValueError:
        raise SecurityError(f"{addresses!r} are no IPv4 addresses.", 'Give texts such as "192.168.1.5".') from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hostname)])
    names = [x509.DNSName(hostname), x509.DNSName(f"{hostname}.local"), *map(x509.IPAddress, ips)]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - SLACK)
        .not_valid_after(now + YEAR)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Certificate(made.public_bytes(Encoding.DER), _der(key))
