import hashlib
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from esptool.bin_image import ELFSection, ESP32FirmwareImage, LoadFirmwareImage

from kit.errors import ImageError
from kit.image import standin
from kit.image.app_image import DESCRIPTOR, DESCRIPTOR_MAGIC, AppImage, Descriptor, with_descriptor
from kit.image.base import BaseImage
from kit.image.file import read_file
from kit.image.layout import APPLICATION_HEADER, layout, make
from kit.image.table import MICROPYTHON_OTA
from kit.image.update_image import UpdateImage


def image_info(path: Path) -> str:
    """What esptool prints about an image."""
    command = [sys.executable, "-m", "esptool", "image-info", path]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def descriptor(magic: int = DESCRIPTOR_MAGIC) -> bytes:
    return DESCRIPTOR.pack(
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


@pytest.fixture
def update(nameless_app: bytes) -> UpdateImage:
    """An update image: app, header sector, and an application of 500 bytes."""
    app = with_descriptor(nameless_app, version="1.2.3", project="esp32-ota", date="2025-11-24", time="10:20:30")
    header = APPLICATION_HEADER.pack(b"APP1", 500, hashlib.sha256(b"a" * 500).digest()).ljust(4096, b"\xff")
    data = app + b"\xff" * (-len(app) % 4096) + header + b"a" * 500
    base = BaseImage(b"", MICROPYTHON_OTA, nameless_app, is_stand_in=False, name="release")
    return UpdateImage("1.2.3", "esp32-ota", datetime(2025, 11, 24, tzinfo=UTC), data, base, len(app), 500)


def test_an_image_of_esptool_is_read_as_esptool_reads_it(esptools_image: bytes, tmp_path: Path):
    parsed = AppImage.parse(esptools_image)
    theirs = LoadFirmwareImage("esp32", str(tmp_path / "esptool.bin"))
    assert parsed.length == len(esptools_image)
    assert (parsed.entry, parsed.chip_id, parsed.chip_name) == (theirs.entrypoint, 0, "ESP32")
    assert [(s.address, s.length) for s in parsed.segments] == [(s.addr, len(s.data)) for s in theirs.segments]
    assert theirs.checksum == theirs.calculate_checksum()
    assert theirs.stored_digest == theirs.calc_digest
    assert (parsed.checksum_ok, parsed.hash_ok, parsed.follows, parsed.application) == (True, True, 0, None)
    assert parsed.descriptor == Descriptor("0.9", "blink", "12:34:56", "Aug  9 2025", "v5.4.2", 7)


def test_what_is_made_is_what_esptool_makes(esptools_image: bytes):
    segments = [
        (s.address, esptools_image[s.offset : s.offset + s.length]) for s in AppImage.parse(esptools_image).segments
    ]
    assert make(segments, 0x40080004) == esptools_image


@pytest.mark.parametrize("size", range(13, 30))
def test_esptool_accepts_an_image_of_any_length(size: int, tmp_path: Path):
    path = tmp_path / "made.bin"
    path.write_bytes(make([(0x3F400020, bytes(range(size)))], 0x40080000))
    theirs = LoadFirmwareImage("esp32", str(path))
    assert theirs.checksum == theirs.calculate_checksum()
    assert theirs.stored_digest == theirs.calc_digest
    assert AppImage.parse(path.read_bytes()).length == path.stat().st_size


ADDRESSES = [  # the ends of what ESP-IDF has in soc.h
    *(0x3F400000, 0x3F7FFFFC, 0x3FF80000, 0x3FFAE000, 0x3FFFFFFC, 0x40070000, 0x40078000, 0x4007FFFC),
    *(0x40080000, 0x4009FFFC, 0x400A0000, 0x400BFFF8, 0x400C0000, 0x400C1FFC, 0x400D0000, 0x403FFFFC, 0x50000000),
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_kinds_of_memory_are_those_of_esptool(address: int, tmp_path: Path):
    path = tmp_path / "made.bin"
    path.write_bytes(make([(address, bytes(4))], 0x40080000))
    theirs = LoadFirmwareImage("esp32", str(path))
    kind = repr(AppImage.read(path)).splitlines()[2].partition("4 bytes  ")[2]
    assert any(kind.replace(" ", "_") in name for name in theirs.segments[0].get_memory_type(theirs)), kind


@pytest.mark.parametrize("address", [0x3F3FFFFC, 0x40000000, 0x400C2000, 0x60000000])
def test_an_address_without_memory_has_no_kind(address: int):
    text = repr(AppImage.read(make([(address, bytes(4))], 0)))
    assert text.splitlines()[2] == f"segment 0    0x{address:08x}          4 bytes"


def test_esptool_reads_the_new_descriptor(nameless_app: bytes, tmp_path: Path):
    named = with_descriptor(nameless_app, version="1.2.3", project="esp32-ota", date="2025-11-24", time="10:20:30")
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
    named = with_descriptor(nameless_app, version="1.2.3", project="p", date="d", time="t")
    again = with_descriptor(named, version="", project="", date="Aug  9 2025", time="12:34:56")
    assert named != nameless_app
    assert again == nameless_app


def test_what_follows_the_image_stays(nameless_app: bytes):
    named = with_descriptor(nameless_app + b"tail", version="1", project="p", date="d", time="t")
    assert named.endswith(b"tail")
    AppImage.parse(named).check()


@pytest.mark.parametrize("field", ["version", "project", "date", "time"])
def test_a_text_too_long_for_the_descriptor(nameless_app: bytes, field: str):
    texts = {"version": "1", "project": "p", "date": "d", "time": "t"} | {field: "x" * 32}
    with pytest.raises(ImageError, match="does not fit"):
        with_descriptor(nameless_app, **texts)


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
    other = AppImage.parse(make([(0x3C000020, descriptor())], 0x40380000, chip_id=9))
    with pytest.raises(ImageError, match="for ESP32-S3, not for ESP32"):
        other.check()


def test_an_unknown_chip():
    other = AppImage.parse(make([(0x3C000020, descriptor())], 0, chip_id=77))
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
    named = with_descriptor(bare, version="2", project="p", date="d", time="t")
    AppImage.parse(named).check()
    assert len(named) == len(bare)


def test_read_file(tmp_path: Path):
    (tmp_path / "größe 1.bin").write_bytes(b"data")
    assert read_file(tmp_path / "größe 1.bin") == b"data"
    assert read_file(str(tmp_path / "größe 1.bin")) == b"data"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is a folder"),
        ("none.bin", "There is no file"),
        ("empty.bin", "is empty"),
        ("n" * 5000, "cannot be read"),
        ("a\0b", "cannot be read"),
        ("script.py", "starts with 0x23 instead of 0xe9"),
    ],
)
def test_a_file_that_is_no_image(tmp_path: Path, name: str, message: str):
    (tmp_path / "empty.bin").touch()
    (tmp_path / "script.py").write_text("# not an image")
    before = sorted(tmp_path.iterdir())
    for path in (tmp_path / name, str(tmp_path / name)):
        with pytest.raises(ImageError, match=message):
            AppImage.read(path)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("source", [None, 42, ["a.bin"], standin.image_set()])
def test_what_cannot_be_read_as_an_image(source: object):
    with pytest.raises(ImageError, match=rf"A {type(source).__name__} is no image\. Give a path, bytes, or what"):
        AppImage.read(source)


def test_an_image_is_read_from_a_file_from_bytes_and_from_a_build(update: UpdateImage, tmp_path: Path):
    path = update.save(tmp_path / "update.bin")
    assert AppImage.read(update) == AppImage.read(path) == AppImage.read(str(path)) == AppImage.parse(update.data)


def test_the_text_of_an_image(update: UpdateImage):
    assert (
        repr(AppImage.read(update))
        == """\
chip         ESP32
entry        0x40081000
segment 0    0x3f400020  1,440,256 bytes  DROM
segment 1    0x40080000      2,048 bytes  IRAM
version      1.2.3
project      esp32-ota
ESP-IDF      v5.4.2
checksum     right
SHA-256      right
length       1,442,384 bytes
behind it    8,100 bytes
application  500 bytes, SHA-256 right"""
    )


def test_the_text_of_a_bootloader():
    assert (
        repr(AppImage.read(standin.bootloader()))
        == """\
chip         ESP32
entry        0x400805b0
segment 0    0x3fff0030      4,892 bytes  DRAM
segment 1    0x40078000     14,896 bytes  CACHE
segment 2    0x40080400          4 bytes  IRAM
segment 3    0x40080404      3,372 bytes  IRAM
version      no descriptor
project      no descriptor
ESP-IDF      no descriptor
checksum     right
SHA-256      right
length       23,264 bytes
behind it    0 bytes"""
    )


def test_the_text_of_an_image_for_another_chip():
    lines = repr(AppImage.read(make([(0x3F400020, descriptor())], 0, chip_id=9))).splitlines()
    assert lines[0] == "chip         ESP32-S3"
    assert lines[2] == "segment 0    0x3f400020        256 bytes"  # memory is elsewhere there


def test_the_text_says_what_is_wrong_or_empty(nameless_app: bytes):
    damaged = bytearray(nameless_app)
    damaged[1000] ^= 1
    lines = repr(AppImage.read(damaged)).splitlines()
    assert lines[4:9] == [
        "version      empty",
        "project      empty",
        "ESP-IDF      v5.4.2",
        "checksum     wrong",
        "SHA-256      wrong",
    ]


def test_the_build_time_stands_in_the_html_only(update: UpdateImage, cells: Callable):
    read = AppImage.read(update)
    assert ["built", "2025-11-24 10:20:30"] in cells(read._repr_html_())
    assert "10:20:30" not in repr(read)
    assert "built" not in AppImage.read(standin.bootloader())._repr_html_()


def test_the_html_escapes_what_an_image_says(nameless_app: bytes):
    named = with_descriptor(nameless_app, version="<b>", project="p", date="<i>", time="t")
    html = AppImage.read(named)._repr_html_()
    assert ">&lt;b&gt;<" in html
    assert ">&lt;i&gt; t<" in html


@pytest.mark.parametrize(("payload", "gap"), [(7840, 16), (7856, 0), (7872, 4080)])
def test_the_application_stands_at_the_next_sector(payload: int, gap: int):
    app = make([(0x3F400020, descriptor() + bytes(payload))], 0)
    padding = b"\xff" * gap
    assert len(app + padding) % 4096 == 0
    header = APPLICATION_HEADER.pack(b"APP1", 3, hashlib.sha256(b"abc").digest()).ljust(4096, b"\xff")
    read = AppImage.read(app + padding + header + b"abc" + b"\xff" * 100)
    assert (read.follows, read.application, read.application_ok) == (len(padding) + 4096 + 103, 3, True)
    assert AppImage.read(app + padding + header + b"ab").application_ok is False
    assert AppImage.read(app + padding + header + b"abd").application_ok is False
    assert AppImage.read(app + padding + header[:-1]).application is None
    assert AppImage.read(app + padding + header.replace(b"APP1", b"APP2") + b"abc").application is None
    assert AppImage.read(app + b"x" + padding + header + b"abc").application is None


def test_the_parts_of_an_image_are_found_by_little_of_it(update: UpdateImage):
    read = []

    def part(offset: int, count: int) -> bytes:
        read.append(count)
        return update.data[offset : offset + count]

    found = layout(part, update.size)
    assert sum(read) < 200
    assert found.segments == AppImage.read(update).segments
    assert found.end + len(found.tail) == update.app_length
    assert found.application == range(update.size - 500, update.size)
    assert found.digest == hashlib.sha256(b"a" * 500).digest()
    assert layout(part, update.app_length).application == range(update.app_length, update.app_length)
    with pytest.raises(ImageError, match="cut short: it has 1,442,383 bytes and needs 1,442,384 or more"):
        layout(part, update.app_length - 1)


def test_the_stand_in_is_an_image_for_esptool(tmp_path: Path):
    path = tmp_path / "app.bin"
    path.write_bytes(standin.app())
    printed = image_info(path)
    assert path.stat().st_size == 1_310_720
    assert "Project name: kit-stand-in\n" in printed
    assert printed.count("(valid)") == 2
