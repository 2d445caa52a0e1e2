"""App images: what Espressif's tools write, and what the bootloader starts.

Layout: ESP-IDF 5.4, esp_app_format.h, esp_app_desc.h and esp_image_format.c.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor
from pathlib import Path
from typing import NamedTuple

from kit.errors import ImageError

MAGIC = 0xE9
CHIP_ESP32 = 0  # esp_chip_id_t
CHIP_NAMES = {
    0x00: "ESP32",
    0x02: "ESP32-S2",
    0x05: "ESP32-C3",
    0x09: "ESP32-S3",
    0x0C: "ESP32-C2",
    0x0D: "ESP32-C6",
    0x10: "ESP32-H2",
    0x12: "ESP32-P4",
    0x17: "ESP32-C5",
}

HEADER = struct.Struct("<BBBBIB3sHBHH4sB")
SEGMENT = struct.Struct("<II")  # load address, length
MAX_SEGMENTS = 16
CHECKSUM_SEED = 0xEF
HASH_SIZE = 32

DESCRIPTOR_OFFSET = 0x20  # the first bytes of the first segment
DESCRIPTOR_MAGIC = 0xABCD5432
DESCRIPTOR = struct.Struct("<II8s32s32s16s16s32s32sHHB3s72s")  # begins magic, secure_version, -, version, project
FLASH_BASE = 0x1000  # where a firmware.bin starts in the flash of an ESP32
TABLE_OFFSET = 0x8000


class Header(NamedTuple):
    """The first 24 bytes of an image (esp_image_header_t), with what ESP-IDF 5 writes for an ESP32 with 4 MB flash."""

    magic: int = MAGIC
    segments: int = 0
    spi_mode: int = 2  # DIO
    speed_size: int = 0x20  # 40 MHz, 4 MB
    entry: int = 0
    wp_pin: int = 0xEE  # none
    pin_drive: bytes = bytes(3)
    chip_id: int = CHIP_ESP32
    min_revision: int = 0
    min_revision_full: int = 0
    max_revision_full: int = 399
    reserved: bytes = bytes(4)
    hash_appended: int = 1


@dataclass(frozen=True)
class Segment:
    """One segment: load address in the chip, offset of its data in the image, length in bytes."""

    address: int
    offset: int
    length: int


@dataclass(frozen=True)
class Descriptor:
    """What an app says about itself (esp_app_desc_t); MicroPython's own builds leave version and project empty."""

    version: str
    project: str
    time: str
    date: str
    idf: str
    secure_version: int

    @classmethod
    def parse(cls, data: bytes) -> Descriptor | None:
        """Return the descriptor of an image of which at least 288 bytes are given, or None where it has none."""
        if len(data) < DESCRIPTOR_OFFSET + DESCRIPTOR.size:
            return None
        magic, secure, _, version, project, time, date, idf, *_ = DESCRIPTOR.unpack_from(data, DESCRIPTOR_OFFSET)
        if magic != DESCRIPTOR_MAGIC:
            return None
        version, project, time, date, idf = map(_text, (version, project, time, date, idf))
        return cls(version, project, time, date, idf, secure)


@dataclass(frozen=True)
class AppImage:
    """What the header, the segments and the end of an image say; a bootloader is an image without descriptor.

    `length` counts the bytes up to and with checksum and SHA-256; what follows them is not part of the image.
    `hash_ok` is None where the image carries no SHA-256.
    """

    entry: int
    chip_id: int
    segments: tuple[Segment, ...]
    descriptor: Descriptor | None
    length: int
    checksum_read: int
    checksum_calculated: int
    hash_ok: bool | None

    @property
    def checksum_ok(self) -> bool:
        return self.checksum_read == self.checksum_calculated

    @property
    def chip_name(self) -> str:
        return CHIP_NAMES.get(self.chip_id, f"an unknown chip ({self.chip_id})")

    @classmethod
    def parse(cls, data: bytes) -> AppImage:
        """Read an image from its first byte.

        A wrong checksum or SHA-256 is reported by the result; see `check`.

        Raises:
            ImageError: the data is empty, no image, a whole firmware.bin, or cut short.
        """
        _check_start(data)
        header = Header(*HEADER.unpack_from(data))
        segments = _segments(data)
        end = _end(segments)
        length = end + (HASH_SIZE if header.hash_appended else 0)
        if len(data) < length:
            raise _cut_short(data, length)
        return cls(
            header.entry,
            header.chip_id,
            segments,
            Descriptor.parse(data),
            length,
            checksum_read=data[end - 1],
            checksum_calculated=_checksum(data, segments),
            hash_ok=hashlib.sha256(data[:end]).digest() == data[end:length] if header.hash_appended else None,
        )

    def check(self) -> None:
        """Check that this is a whole app that an ESP32 can start.

        Raises:
            ImageError: another chip, a bootloader instead of an app, wrong checksum or SHA-256.
        """
        if self.chip_id != CHIP_ESP32:
            raise ImageError(f"This image is for {self.chip_name}, not for ESP32.", "Take the file made for ESP32.")
        if not self.checksum_ok or self.hash_ok is False:
            what = "SHA-256" if self.checksum_ok else "checksum"
            raise ImageError(f"This image is damaged: its {what} is wrong.", "Build or download it once more.")
        if self.descriptor is None:
            raise ImageError(
                "This image has no app descriptor at 0x20, so it is a bootloader and not an app.",
                "Take the app image (.app-bin) of the release.",
            )


def read_file(path: str | Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        ImageError: there is no such file, or it is a folder, empty or unreadable.
    """
    path = Path(path)
    if path.is_dir():
        raise ImageError(f"{path} is a folder, not a file.", "Give the path of a .bin file.")
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"There is no file {path}.", "Check the path and the working folder.") from None
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from None
    if not data:
        raise ImageError(f"{path} is empty.", "Build or download it once more.")
    return data


def make(segments: Sequence[tuple[int, bytes]], entry: int, chip_id: int = CHIP_ESP32) -> bytes:
    """Return a complete image of (load address, data) segments, checksum and SHA-256 appended.

    The data is padded to whole words, as the bootloader demands.
    """
    image = bytearray(HEADER.pack(*Header(segments=len(segments), entry=entry, chip_id=chip_id)))
    for address, data in segments:
        padding = bytes(-len(data) % 4)
        image += SEGMENT.pack(address, len(data) + len(padding)) + data + padding
    return _seal(image.ljust(_end(_segments(image)) + HASH_SIZE, b"\0"))


def with_descriptor(app: bytes, *, version: str, project: str, date: str, time: str) -> bytes:
    """Return an app image of the same length that names itself so; checksum and SHA-256 are made anew.

    Raises:
        ImageError: this is no app image, or a text does not fit its field (31 bytes; date and time 15).
    """
    AppImage.parse(app).check()
    fields = list(DESCRIPTOR.unpack_from(app, DESCRIPTOR_OFFSET))
    fields[3:7] = _field(version, 32), _field(project, 32), _field(time, 16), _field(date, 16)
    changed = bytearray(app)
    DESCRIPTOR.pack_into(changed, DESCRIPTOR_OFFSET, *fields)
    return _seal(changed)


def is_firmware_bin(data: bytes) -> bool:
    """Tell whether this is the release file that starts at flash 0x1000: bootloader, partition table, app."""
    table = TABLE_OFFSET - FLASH_BASE
    return data[:1] == bytes([MAGIC]) and data[table : table + 2] == b"\xaa\x50" and Descriptor.parse(data) is None


def _seal(image: bytearray) -> bytes:
    """Write the checksum, and the SHA-256 where the header announces one, over what is in their place."""
    segments = _segments(image)
    end = _end(segments)
    image[end - 1] = _checksum(image, segments)
    if Header(*HEADER.unpack_from(image)).hash_appended:
        image[end : end + HASH_SIZE] = hashlib.sha256(image[:end]).digest()
    return bytes(image)


def _check_start(data: bytes) -> None:
    if not data:
        raise ImageError("This image is empty: it has 0 bytes.", "Build or download it once more.")
    if data[0] != MAGIC:
        raise ImageError(
            f"This is no app image: it starts with 0x{data[0]:02x} instead of 0xe9.",
            "Take the .bin file that a build made.",
        )
    if len(data) < HEADER.size:
        raise _cut_short(data, HEADER.size)
    if data[1] > MAX_SEGMENTS or data[1] == 0:
        raise ImageError(
            f"This is no app image: it counts {data[1]} segments, not 1 to {MAX_SEGMENTS}.",
            "Take the .bin file that a build made.",
        )
    if is_firmware_bin(data):
        raise ImageError(
            "This is a whole firmware.bin, with bootloader and partition table, and not an app image.",
            "Take the .app-bin of the release for an update.",
        )


def _segments(data: bytes) -> tuple[Segment, ...]:
    position = HEADER.size
    segments = []
    for _ in range(data[1]):
        if position + SEGMENT.size > len(data):
            raise _cut_short(data, position + SEGMENT.size)
        address, length = SEGMENT.unpack_from(data, position)
        segments.append(Segment(address, position + SEGMENT.size, length))
        position += SEGMENT.size + length
    return tuple(segments)


def _cut_short(data: bytes, needed: int) -> ImageError:
    return ImageError(
        f"This image is cut short: it has {len(data):,} bytes and needs {needed:,} or more.",
        "Build or download it once more.",
    )


def _end(segments: Sequence[Segment]) -> int:
    """Return where the SHA-256 starts: the checksum before it is the last byte of a 16-byte block."""
    return (segments[-1].offset + segments[-1].length + 16) // 16 * 16


def _checksum(data: bytes, segments: Sequence[Segment]) -> int:
    """Return 0xEF XOR every byte of every segment, by blocks: byte by byte takes 30 times as long."""
    block = 4096
    folded = CHECKSUM_SEED
    for segment in segments:
        body = memoryview(data)[segment.offset : segment.offset + segment.length]
        for start in range(0, segment.length, block):
            folded ^= int.from_bytes(body[start : start + block], "little")
    return reduce(xor, folded.to_bytes(block, "little"))


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "replace")


def _field(text: str, size: int) -> bytes:
    data = text.encode()
    if len(data) >= size:
        raise ImageError(f"{text!r} does not fit the app descriptor.", f"Use at most {size - 1} bytes.")
    return data
