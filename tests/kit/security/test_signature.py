"""Signed images: espsecure and openssl verify them too."""

import json
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import kit
from kit.errors import ImageError, SecurityError
from kit.faults.damage import crashing
from kit.image.app_image import AppImage
from kit.image.base import BaseImage
from kit.image.standin import image_set
from kit.image.table import MICROPYTHON_OTA
from kit.security.keys import Key, new_key
from kit.security.signature import signer_digests

SECTOR, SIGNATURE = 4096, slice(812, 1196)
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def keys(folder: Path) -> list[Key]:
    return [new_key(folder / f"{number}.pem") for number in range(4)]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_espsecure_and_esptool_accept_it(folder: Path, keys: list[Key]):
    image = kit.build("1.1.0").sign(keys[0]).sign(folder / "1.pem").sign(str(folder / "2.pem"))
    image.save(folder / "signed.bin")
    for number in range(3):
        command = ("verify-signature", "--version", "2", "--keyfile", f"{number}.pem", "signed.bin")
        done = run(folder, str(BIN / "espsecure"), *command)
        assert f"Signature block {number} verification successful" in done.stdout, done.stdout
    done = run(folder, str(BIN / "espsecure"), "verify-signature", "--version", "2", "--keyfile", "3.pem", "signed.bin")
    assert done.returncode != 0
    told = run(folder, str(BIN / "espsecure"), "signature-info-v2", "signed.bin").stdout
    for number, key in enumerate(keys[:3]):
        assert f"digest for block {number}: {' '.join(f'{byte:02x}' for byte in key.digest)}" in told
    told = run(folder, str(BIN / "esptool"), "image-info", "signed.bin").stdout
    assert "Checksum:" in told
    assert "(valid)" in told
    assert "invalid" not in told.lower()


def test_openssl_verifies_the_same_signature(folder: Path, keys: list[Key]):
    data = kit.build("1.1.0").sign(keys[0]).data
    (folder / "data.bin").write_bytes(data[:-SECTOR])
    (folder / "signature.bin").write_bytes(data[-SECTOR:][SIGNATURE][::-1])
    public = keys[0].public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(public)
    options = ("-sigopt", "rsa_padding_mode:pss", "-verify", "public.pem", "-signature", "signature.bin")
    assert "Verified OK" in run(folder, "openssl", "dgst", "-sha256", *options, "data.bin").stdout
    (folder / "data.bin").write_bytes(data[: -SECTOR - 1] + b"?")
    assert run(folder, "openssl", "dgst", "-sha256", *options, "data.bin").returncode != 0


def test_the_commands_of_the_lesson(folder: Path):
    """Those of the tutorial, and espsecure's, as they stand in lesson 05."""
    lesson = json.loads((Path(__file__).parents[3] / "notebooks/solutions/05_security.ipynb").read_text())
    text = "".join(line for cell in lesson["cells"] if cell["cell_type"] == "markdown" for line in cell["source"])
    commands = re.findall(r"^    ((?:openssl|espsecure) .*)$", text, re.MULTILINE)
    key = new_key(folder / "team.pem")
    kit.build("1.1.0").sign(key).save(folder / "update.bin")
    kit.build("1.1.0").save(folder / "firmware.bin")
    done = [run(folder, *command.replace("espsecure", str(BIN / "espsecure"), 1).split()) for command in commands]
    assert [found.returncode for found in done] == [0] * 5, done
    assert "verification successful" in done[0].stdout
    assert done[-1].stdout == "Verified OK\n"


def test_the_signature_stands_at_the_end_and_changes_nothing_else(keys: list[Key]):
    image = kit.build("1.1.0")
    signed = image.sign(keys[0])
    header = -(-image.app_length // SECTOR) * SECTOR
    assert signed.size == image.size + SECTOR
    assert signed.data[:header] == image.data[:header]
    assert signed.data[header + SECTOR : -SECTOR] == image.data[header + SECTOR :]
    assert signed.data[header : header + 40] == image.data[header : header + 40]
    assert signed.data[header + 64 : header + 96] == keys[0].digest
    assert AppImage.read(signed).application == image.application_length
    assert (repr(signed), signed.version) == (repr(image) + ", signed by 0.pem", "1.1.0")


def test_another_signature_takes_no_other_place(keys: list[Key]):
    once, twice = kit.build("1.1.0").sign(keys[0]), kit.build("1.1.0").sign(keys[0]).sign(keys[1])
    assert twice.size == once.size
    assert repr(twice).endswith(", signed by 0.pem and 1.pem")
    assert [key.name for key in twice.signers] == ["0.pem", "1.pem"]


def test_an_image_shows_who_signed_it_and_no_secret(keys: list[Key]):
    html = kit.build("1.1.0").sign(keys[0])._repr_html_()
    assert "0.pem" in html
    assert "PRIVATE" not in html + repr(kit.build("1.1.0").sign(keys[0]))
    assert str(keys[0].private.private_numbers().d) not in html


@pytest.mark.parametrize("numbers", [[0, 0], [0, 1, 2, 3], []])
def test_one_to_three_different_keys(keys: list[Key], numbers: list[int]):
    with pytest.raises(SecurityError, match=r"^An image is signed by one to three different keys"):
        kit.build("1.1.0").sign(*[keys[number] for number in numbers])


def test_a_misbehaving_version_can_be_signed(keys: list[Key]):
    assert crashing("1.1.0").sign(keys[0]).fault == crashing("1.1.0").fault


def test_a_slot_that_has_no_sector_left(app_folder: Path, keys: list[Key]):
    stand_in = image_set()
    room = MICROPYTHON_OTA.slots[0].size - kit.build("1.0.0", app=app_folder, base=stand_in).size
    (app_folder / "big.bin").write_bytes(bytes(room - 8192))
    image = kit.build("1.0.0", app=app_folder, base=stand_in)
    while image.size < MICROPYTHON_OTA.slots[0].size:
        (app_folder / "more.bin").open("ab").write(bytes(2048))
        image = kit.build("1.0.0", app=app_folder, base=stand_in)
    with pytest.raises(ImageError, match=r"^With its signature the image has 1,576,960 bytes, and a slot takes"):
        image.sign(keys[0])


@pytest.mark.parametrize("secure_version", [-1, 2**32, "1", 1.5, None, True])
def test_a_security_version_that_is_none(secure_version: object):
    with pytest.raises(ImageError, match="is no security version"):
        kit.build("1.1.0", secure_version=secure_version)


def test_the_security_version_is_where_espressif_has_it():
    base: BaseImage = image_set()
    image = kit.build("1.1.0", base=base, secure_version=7)
    assert AppImage.read(image).descriptor.secure_version == 7
    assert image.data[0x24] == 7
    AppImage.read(image).check()


def test_who_has_signed(keys: list[Key]):
    image = kit.build("1.1.0")
    assert signer_digests(image.data) == signer_digests(b"") == signer_digests(b"\xff" * 9000) == ()
    signed = image.sign(*keys[:3])
    assert signer_digests(signed.data) == tuple(key.digest for key in keys[:3])
    assert signer_digests(signed.data + bytes(SECTOR)) == signer_digests(signed.data[:-1]) == ()
    last = signed.size - SECTOR
    for place, left in (
        (0, ()),
        (last - 1, ()),
        (last + 40, (1, 2)),
        (last + 1216 + 900, (0, 2)),
        (last + 4000, (0, 1, 2)),
    ):
        data = bytearray(signed.data)
        data[place] ^= 1
        assert signer_digests(data) == tuple(keys[number].digest for number in left)


def test_a_block_with_right_checksum_and_wrong_signature(keys: list[Key]):
    """The same key's signature of something else, and a key that can be none."""
    one, other = kit.build("1.1.0").sign(keys[0]).data, kit.build("1.2.0").sign(keys[0]).data
    for forged in (
        one[-SECTOR:][:812] + other[-SECTOR:][SIGNATURE],
        one[-SECTOR:][:36] + bytes(384) + one[-SECTOR:][420:1196],
    ):
        data = one[:-SECTOR] + (forged + zlib.crc32(forged).to_bytes(4, "little")).ljust(SECTOR, b"\xff")
        data = data[:-SECTOR] + data[-SECTOR:][:1200] + bytes(16) + data[-SECTOR:][1216:]
        assert signer_digests(data) == ()
