"""Certificates of boards: what is made, what is kept, and what is refused."""

import re
import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

import kit
from kit.errors import KitError, SecurityError
from kit.ota.pins import pin_of
from kit.security.certificate import Certificate, new_certificate


def pem(key, end: timedelta = timedelta(days=1), encryption=None, signed: bool = True) -> bytes:
    """A key, and a certificate for it that ends some time from now."""
    encryption = encryption or NoEncryption()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    if not signed:
        return text
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a-board")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + end)
        .sign(key, hashes.SHA256())
    )
    return text + made.public_bytes(Encoding.PEM)


def p256():
    return ec.generate_private_key(ec.SECP256R1())


def test_what_is_in_it():
    made = kit.new_certificate("my-board", "192.168.1.5", "127.0.0.1")
    found = x509.load_der_x509_certificate(made.der)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["my-board", "my-board.local"]
    assert list(map(str, names.get_values_for_type(x509.IPAddress))) == ["192.168.1.5", "127.0.0.1"]
    assert timedelta(days=364) < found.not_valid_after_utc - datetime.now(UTC) <= timedelta(days=365)
    assert isinstance(found.public_key().curve, ec.SECP256R1)
    found.verify_directly_issued_by(found)
    assert len(made.der) + len(made.key) < 700  # base64 of both fits in a body of 1 kB


def test_openssl_reads_it(tmp_path: Path, need_tool: Callable):
    path = new_certificate("my-board").save(tmp_path / "board.pem")
    command = [need_tool("openssl"), "x509", "-in", path, "-noout", "-ext", "subjectAltName", "-checkhost", "my-board"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "does match certificate" in done.stdout
    assert "DNS:my-board.local" in done.stdout


def test_it_shows_nothing_that_changes():
    shown = repr(new_certificate("my-board", "127.0.0.1"))
    assert shown == repr(new_certificate("my-board", "127.0.0.1"))
    assert "my-board.local" in shown


def test_pin():
    made = new_certificate("my-board")
    assert re.fullmatch("[0-9a-f]{64}", made.pin)
    assert made.fingerprint.replace(":", "").lower() == made.pin == pin_of(made) == pin_of(made.fingerprint)


def test_saved_and_read(tmp_path: Path):
    made = new_certificate("my-board")
    path = made.save(tmp_path / "board.pem")
    assert path.stat().st_mode & 0o777 == 0o600
    assert Certificate.read(path) == made
    assert pin_of(path) == pin_of(str(path)) == made.pin
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
    before = path.read_bytes()
    with pytest.raises(SecurityError, match=r"There is a .*board\.pem already"):
        new_certificate("my-board").save(path)
    assert path.read_bytes() == before
    with pytest.raises(SecurityError, match="cannot be written"):
        made.save(tmp_path / "nowhere" / "board.pem")


def test_a_key_in_pkcs8_is_read(tmp_path: Path):
    path = tmp_path / "other.pem"
    path.write_bytes(pem(p256()))
    assert Certificate.read(path).key[:7] == bytes.fromhex("30770201010420")  # RFC 5915, as a board reads it


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda: b"", "has no certificate with its key"),
        (lambda: b"\xff\xfe nonsense", "has no certificate with its key"),
        (lambda: pem(p256(), signed=False), "has no certificate with its key"),
        (lambda: pem(p256()).partition(b"-----END PRIVATE KEY-----\n")[2], "has no certificate with its key"),
        (lambda: pem(rsa.generate_private_key(65537, 2048)), "not of the kind EC P-256"),
        (lambda: pem(ec.generate_private_key(ec.SECP384R1())), "not of the kind EC P-256"),
        (lambda: pem(p256(), encryption=BestAvailableEncryption(b"secret")), "is encrypted"),
        (lambda: pem(p256(), end=timedelta(seconds=-1)), "has expired"),
        (lambda: pem(p256(), signed=False) + pem(p256()).partition(b"END PRIVATE KEY-----\n")[2], "does not belong"),
    ],
    ids=["empty", "nonsense", "key alone", "certificate alone", "RSA", "P-384", "encrypted", "expired", "mixed"],
)
def test_files_that_are_refused(make: Callable[[], bytes], cause: str, tmp_path: Path):
    path = tmp_path / "bad.pem"
    path.write_bytes(make())
    with pytest.raises(SecurityError, match=cause) as caught:
        Certificate.read(path)
    assert "secret" not in str(caught.value)


def test_no_file(tmp_path: Path):
    with pytest.raises(SecurityError, match="cannot be read"):
        Certificate.read(tmp_path / "none.pem")


@pytest.mark.parametrize("hostname", ["", "-board", "board-", "a.board", "x" * 33, "bö", "a b", None, 5])
def test_names_that_no_board_has(hostname: object):
    with pytest.raises(SecurityError, match="is no hostname"):
        new_certificate(hostname)


@pytest.mark.parametrize("address", ["board", "192.168.1", "", None, 192])
def test_addresses_that_are_none(address: object):
    with pytest.raises(SecurityError, match="no IPv4 addresses"):
        new_certificate("my-board", address)


def test_names_of_another_board():
    made = new_certificate("my-board", "192.168.1.5")
    for name in ("my-board", "MY-BOARD", "my-board.local", "192.168.1.5"):
        made.check_names("esp32-ota-1234", name)
    with pytest.raises(SecurityError, match=r"is for my-board, my-board\.local, 192") as caught:
        made.check_names("esp32-ota-1234", "192.168.1.50")
    assert "kit.new_certificate('esp32-ota-1234'" in str(caught.value)
    assert isinstance(caught.value, KitError)
