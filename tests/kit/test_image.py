import subprocess
import sys
from pathlib import Path

import pytest
from esptool.bin_image import ELFSection, ESP32FirmwareImage, LoadFirmwareImage

from kit import image, standin
from kit.errors import ImageError
from kit.image import AppImage


def image_info(path: Path) -> str:
    """What esptool prints about an image."""
    command = [sys.executable, "-m", "esptool", "image-info", path]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def descriptor(magic: int = image.DESCRIPTOR_MAGIC) -> bytes:
    return image.DESCRIPTOR.pack(
        magic, 7, b"", b"0.9", b"blink", b"12:34:56", b"Aug  9 2025", b"v5.4.2", bytes(range(32)), 0, 0, 0, b"", b""
    )


@pytest.fixture
def esptools_image(tmp_path: Path) -> bytes:
    """An app image that esptool wrote."""
    made = ESP32FirmwareImage()
    made.flash_mode, made.flash_size_freq, made.entrypoint, made.max_rev_full = 2, 0x20, 0x40080004, 399
    made.segments = [
        ELFSection(b".flash.appdesc", 0x3F400020, descriptor() + b"payload" * 1000, 0),
        ELFSection(b".iram0.text", 0x40080000, b"code" * 500, 0),
    ]
    path = tmp_path / "esptool.bin"
    made.save(str(path))
    return path.read_bytes()


def test_an_image_of_esptool_is_read_as_esptool_reads_it(esptools_image: bytes, tmp_path: Path):
    parsed = AppImage.parse(esptools_image)
    theirs = LoadFirmwareImage("esp32", str(tmp_path / "esptool.bin"))
    assert parsed.length == len(esptools_image)
    assert (parsed.entry, parsed.chip_id, parsed.chip_name) == (theirs.entrypoint, 0, "ESP32")
    assert [(s.address, s.length) for s in parsed.segments] == [(s.addr, len(s.data)) for s in theirs.segments]
    assert parsed.checksum_read == parsed.checksum_calculated == theirs.checksum
    assert parsed.hash_ok is True
    assert parsed.descriptor == image.Descriptor("0.9", "blink", "12:34:56", "Aug  9 2025", "v5.4.2", 7)


def test_what_is_made_is_what_esptool_makes(esptools_image: bytes):
    segments = [
        (s.address, esptools_image[s.offset : s.offset + s.length]) for s in AppImage.parse(esptools_image).segments
    ]
    assert image.make(segments, 0x40080004) == esptools_image


@pytest.mark.parametrize("size", range(13, 30))
def test_esptool_accepts_an_image_of_any_length(size: int, tmp_path: Path):
    path = tmp_path / "made.bin"
    path.write_bytes(image.make([(0x3F400020, bytes(range(size)))], 0x40080000))
    theirs = LoadFirmwareImage("esp32", str(path))
    assert theirs.checksum == theirs.calculate_checksum()
    assert theirs.stored_digest == theirs.calc_digest
    assert AppImage.parse(path.read_bytes()).length == path.stat().st_size


def test_esptool_reads_the_new_descriptor(nameless_app: bytes, tmp_path: Path):
    named = image.with_descriptor(
        nameless_app, version="1.2.3", project="esp32-ota", date="2025-11-24", time="10:20:30"
    )
    path = tmp_path / "named.bin"
    path.write_bytes(named)
    printed = image_info(path)
    assert len(named) == len(nameless_app)
    assert "App version: 1.2.3\n" in printed
    assert "Project name: esp32-ota\n" in printed
    assert "Compile time: 2025-11-24 10:20:30\n" in printed
    assert "ESP-IDF: v5.4.2\n" in printed
    assert printed.count("(valid)") == 2


def test_only_descriptor_checksum_and_hash_change(nameless_app: bytes):
    named = image.with_descriptor(nameless_app, version="1.2.3", project="p", date="d", time="t")
    again = image.with_descriptor(named, version="", project="", date="Aug  9 2025", time="12:34:56")
    assert named != nameless_app
    assert again == nameless_app


def test_what_follows_the_image_stays(nameless_app: bytes):
    named = image.with_descriptor(nameless_app + b"tail", version="1", project="p", date="d", time="t")
    assert named.endswith(b"tail")
    AppImage.parse(named).check()


@pytest.mark.parametrize("field", ["version", "project", "date", "time"])
def test_a_text_too_long_for_the_descriptor(nameless_app: bytes, field: str):
    texts = {"version": "1", "project": "p", "date": "d", "time": "t"} | {field: "x" * 32}
    with pytest.raises(ImageError, match="does not fit"):
        image.with_descriptor(nameless_app, **texts)


def test_empty():
    with pytest.raises(ImageError, match="empty"):
        AppImage.parse(b"")


@pytest.mark.parametrize("data", [b"#!/bin/sh\n", b"\xff" * 4096, b"PK\x03\x04"])
def test_not_an_image(data: bytes):
    with pytest.raises(ImageError, match=f"starts with 0x{data[0]:02x} instead of 0xe9"):
        AppImage.parse(data)


@pytest.mark.parametrize("count", [0, 17, 255])
def test_impossible_number_of_segments(esptools_image: bytes, count: int):
    with pytest.raises(ImageError, match=f"counts {count} segments"):
        AppImage.parse(esptools_image[:1] + bytes([count]) + esptools_image[2:])


def test_cut_short_anywhere(esptools_image: bytes):
    for length in [*range(1, 300), *range(300, len(esptools_image), 97), len(esptools_image) - 1]:
        with pytest.raises(ImageError, match="cut short"):
            AppImage.parse(esptools_image[:length])


def test_a_whole_firmware_bin(firmware_bin: bytes):
    with pytest.raises(ImageError, match=r"firmware\.bin.*Take the \.app-bin"):
        AppImage.parse(firmware_bin)


def test_another_chip():
    other = AppImage.parse(image.make([(0x3C000020, descriptor())], 0x40380000, chip_id=9))
    with pytest.raises(ImageError, match="for ESP32-S3, not for ESP32"):
        other.check()


def test_an_unknown_chip():
    other = AppImage.parse(image.make([(0x3C000020, descriptor())], 0, chip_id=77))
    with pytest.raises(ImageError, match=r"an unknown chip \(77\)"):
        other.check()


def test_a_bootloader_is_no_app():
    with pytest.raises(ImageError, match="bootloader and not an app"):
        AppImage.parse(standin.bootloader()).check()


def test_a_flipped_bit_is_found(esptools_image: bytes):
    damaged = bytearray(esptools_image)
    damaged[1000] ^= 1
    parsed = AppImage.parse(damaged)
    assert (parsed.checksum_ok, parsed.hash_ok) == (False, False)
    with pytest.raises(ImageError, match="its checksum is wrong"):
        parsed.check()


def test_two_flips_that_the_checksum_misses_are_found(esptools_image: bytes):
    damaged = bytearray(esptools_image)
    damaged[1000] ^= 1
    damaged[1001] ^= 1
    parsed = AppImage.parse(damaged)
    assert (parsed.checksum_ok, parsed.hash_ok) == (True, False)
    with pytest.raises(ImageError, match="its SHA-256 is wrong"):
        parsed.check()


def test_an_image_without_hash(esptools_image: bytes):
    bare = esptools_image[:23] + b"\0" + esptools_image[24:-32]
    parsed = AppImage.parse(bare)
    assert (parsed.length, parsed.checksum_ok, parsed.hash_ok) == (len(bare), True, None)
    named = image.with_descriptor(bare, version="2", project="p", date="d", time="t")
    AppImage.parse(named).check()
    assert len(named) == len(bare)


def test_read_file(tmp_path: Path):
    (tmp_path / "empty.bin").touch()
    (tmp_path / "good.bin").write_bytes(b"data")
    assert image.read_file(tmp_path / "good.bin") == b"data"
    for name, message in {"": "is a folder", "none.bin": "There is no file", "empty.bin": "is empty"}.items():
        with pytest.raises(ImageError, match=message):
            image.read_file(tmp_path / name)


def test_the_stand_in_is_an_image_for_esptool(tmp_path: Path):
    path = tmp_path / "app.bin"
    path.write_bytes(standin.app())
    printed = image_info(path)
    assert path.stat().st_size == 1_310_720
    assert "Project name: kit-stand-in\n" in printed
    assert printed.count("(valid)") == 2
