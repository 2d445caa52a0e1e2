"""Keys that sign updates, and their files."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

import kit
from kit.board.installation import store_signers
from kit.errors import SecurityError
from kit.security.keys import Key, key_from_environment, new_key, read_key

ESPSECURE = str(Path(sys.executable).with_name("espsecure"))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return new_key(tmp_path_factory.mktemp("keys") / "team.pem")


def file_of(path: Path, private, encryption=None) -> Path:
    encryption = encryption or NoEncryption()
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return path


def public_file(path: Path, key: Key) -> Path:
    path.write_bytes(key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def test_a_new_key_is_for_its_owner_only(tmp_path: Path):
    key = kit.new_key(tmp_path / "team.pem")
    assert stat.S_IMODE((tmp_path / "team.pem").stat().st_mode) == 0o600
    assert key.public.key_size == 3072
    assert repr(key) == "Key(name='team.pem')"  # the same at each run, and no secret
    assert read_key(tmp_path / "team.pem").digest == key.digest


def test_a_key_is_never_overwritten(tmp_path: Path):
    path = tmp_path / "team.pem"
    for make in (lambda: path.write_text("precious"), lambda: path.unlink() or path.symlink_to(tmp_path / "nowhere")):
        make()
        with pytest.raises(SecurityError, match=r"^There is a .*team\.pem already, and it is not overwritten\."):
            new_key(path)
        assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("path", ["no/such/folder/team.pem", ".", "", "a\0b", None, 5])
def test_a_key_that_finds_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: object):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SecurityError):
        new_key(path)
    assert not list(tmp_path.iterdir())


def test_the_digest_is_that_of_espsecure(tmp_path: Path):
    key = new_key(tmp_path / "team.pem")
    command = [ESPSECURE, "digest-sbv2-public-key", "--keyfile", "team.pem", "-o", "digest.bin"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "digest.bin").read_bytes() == key.digest


def test_keys_of_other_tools(tmp_path: Path):
    """openssl's, and espsecure's."""
    subprocess.run(
        ["openssl", "genrsa", "-out", "a.pem", "3072"], cwd=tmp_path, check=True, capture_output=True, timeout=120
    )
    command = [ESPSECURE, "generate-signing-key", "--version", "2", "b.pem"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    for name in ("a.pem", "b.pem"):
        assert read_key(tmp_path / name).private


def test_a_public_key_is_known_and_does_not_sign(key: Key, tmp_path: Path):
    public = read_key(public_file(tmp_path / "public.pem", key))
    assert public.digest == key.digest
    with pytest.raises(SecurityError, match=r"^public\.pem holds a public key, which signs nothing\."):
        kit.build("1.1.0").sign(public)


def test_a_file_that_is_no_key_for_this(key: Key, tmp_path: Path):
    files = {
        "rsa-2048": file_of(tmp_path / "a.pem", rsa.generate_private_key(65537, 2048)),
        "rsa-4096": file_of(tmp_path / "b.pem", rsa.generate_private_key(65537, 4096)),
        "elliptic": file_of(tmp_path / "c.pem", ec.generate_private_key(ec.SECP256R1())),
    }
    for name, data in {"text": b"no key", "empty": b"", "half": b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n"}.items():
        files[name] = tmp_path / name
        files[name].write_bytes(data)
    for path in files.values():
        for use in (read_key, kit.build("1.1.0").sign, lambda path: store_signers([path])):
            with pytest.raises(SecurityError, match=rf"^{path.name} holds no RSA key of 3072 bits\. Make one with"):
                use(path)


def test_a_key_with_a_passphrase(key: Key, tmp_path: Path):
    path = file_of(tmp_path / "secret.pem", key.private, BestAvailableEncryption(b"a passphrase"))
    with pytest.raises(SecurityError, match=r"^The key in secret\.pem is encrypted with a passphrase\. .*openssl rsa"):
        read_key(path)


@pytest.mark.parametrize("path", ["missing.pem", ".", "a\0b", None, 5, b"\xff"])
def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: object):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SecurityError, match=r"cannot be read"):
        read_key(path)


def test_up_to_three_keys_for_a_board(key: Key, tmp_path: Path):
    assert repr(key.digest) in store_signers([key])
    assert "keys, signers = b'', 0" in store_signers([])
    for signers in ([key] * 4, key, str(tmp_path), 5, None, {"a": key}):
        with pytest.raises(SecurityError):
            store_signers(signers)


def test_a_key_in_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    key = kit.new_key(tmp_path / "team.pem")
    text = (tmp_path / "team.pem").read_text()
    for written in (text, text.strip(), text.replace("\n", "\r\n")):
        monkeypatch.setenv("KIT_SIGNING_KEY", written)
        assert key_from_environment().digest == key.digest
        assert repr(key_from_environment()) == "Key(name='KIT_SIGNING_KEY')"


@pytest.mark.parametrize(
    "text", ["", "a secret that is no key", "-----BEGIN RSA PRIVATE KEY-----\na secret\n", "\udcff"]
)
def test_a_variable_without_a_key(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setenv("KIT_SIGNING_KEY", text)
    with pytest.raises(SecurityError, match=r"KIT_SIGNING_KEY (holds no RSA key|is not set)") as caught:
        key_from_environment()
    assert "secret" not in str(caught.value)
