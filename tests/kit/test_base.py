from pathlib import Path

import pooch
import pytest
import requests

from kit import base, image, table
from kit.base import BaseImage, base_image
from kit.errors import ImageError


class Board:
    def __init__(self, is_virtual: bool) -> None:
        self.is_virtual = is_virtual


def test_a_release_is_taken_apart(firmware_bin: bytes, nameless_app: bytes, tmp_path: Path):
    path = tmp_path / "release.bin"
    path.write_bytes(firmware_bin)
    release = base_image(Board(is_virtual=True), file=path)
    assert release.app == nameless_app
    assert release.table == table.MICROPYTHON_OTA
    assert release.bootloader == firmware_bin[: len(release.bootloader)]
    assert image.AppImage.parse(release.bootloader).length == len(release.bootloader)
    assert (release.name, release.is_stand_in) == ("release.bin", False)


def test_a_virtual_board_gets_the_stand_in():
    assert base_image(Board(is_virtual=True)).is_stand_in


def test_a_real_board_gets_the_release(monkeypatch: pytest.MonkeyPatch, firmware_bin: bytes, tmp_path: Path):
    (tmp_path / "cached.bin").write_bytes(firmware_bin)
    asked = []
    monkeypatch.setattr(pooch, "retrieve", lambda *arguments: asked.append(arguments) or str(tmp_path / "cached.bin"))
    release = base_image(Board(is_virtual=False))
    (url, known_hash, _, _) = asked[0]
    assert url == "https://micropython.org/resources/firmware/ESP32_GENERIC-OTA-20250809-v1.26.0.bin"
    assert known_hash.startswith("sha256:14268bb6")
    assert (release.name, release.is_stand_in) == (base.RELEASE, False)


@pytest.mark.parametrize(
    "failure", [requests.ConnectionError("no route"), requests.HTTPError("404"), ValueError("SHA256 hash … differs")]
)
def test_without_a_network_the_error_names_the_way_out(monkeypatch: pytest.MonkeyPatch, failure: Exception):
    def retrieve(*_: object) -> str:
        raise failure

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(ImageError, match=r"could not be downloaded from https://.*file=…"):
        base_image(Board(is_virtual=False))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "r.bin: This image is empty"),
        (lambda data: b"text" * 100, "r.bin: This is no app image"),
        (lambda data: data[:0x100], "r.bin: This image is cut short"),
        (lambda data: data[:0x7000], "no partition table behind its bootloader"),
        (lambda data: data[:0x7020], "no terminating entry"),
        (lambda data: data.replace(b"\xaa\x50", b"\xff\xff"), "no partition table behind its bootloader"),
        (lambda data: data[:0xF000], "r.bin: This image is empty"),
        (lambda data: data[:-1], "r.bin: This image is cut short"),
        (lambda data: data[0xF000:], "app image alone, without bootloader and partition table"),
        (lambda data: data[:12] + b"\x09" + data[13:], "for ESP32-S3, not for ESP32"),
        (lambda data: data[:0xF00C] + b"\x0d" + data[0xF00D:], "for ESP32-C6, not for ESP32"),
        (lambda data: data[:-100] + b"\x55" + data[-99:], "is damaged"),
        (lambda data: data[:0x7004] + b"\x01" + data[0x7005:], "Incorrect MD5 checksum"),
    ],
)
def test_a_file_that_is_no_release(firmware_bin: bytes, change, message: str):
    with pytest.raises(ImageError, match=message):
        BaseImage.from_firmware_bin(change(firmware_bin), "r.bin")


def test_a_release_without_slots(firmware_bin: bytes):
    plain = table.PartitionTable((table.Partition("factory", table.APP, 0, 0x10000, 0x1F0000),)).to_bytes()
    data = firmware_bin[:0x7000] + plain + firmware_bin[0x7C00:]
    with pytest.raises(ImageError, match=r"no two slots.*ESP32_GENERIC-OTA"):
        BaseImage.from_firmware_bin(data, "r.bin")


def test_a_file_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ImageError, match="There is no file"):
        base_image(file=tmp_path / "none.bin")
    with pytest.raises(ImageError, match="is a folder"):
        base_image(file=tmp_path)
