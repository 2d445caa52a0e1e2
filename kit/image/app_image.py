"""App images: what Espressif's tools write, and what the bootloader starts.

Layout: ESP-IDF 5.4, esp_app_format.h, esp_app_desc.h and esp_image_format.c.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kit.errors import ImageError
from kit.image.table import MAGIC as ROW_MAGIC
from kit.image.table import OFFSET, SECTOR
from kit.shown import html_table

if TYPE_CHECKING:
    from kit.image.update_image import UpdateImage

MAGIC = 0xE9
CHIP_ESP32 = 0  # esp_chip_id_t
SERIES = {0: "", 2: "-S2", 5: "-C3", 9: "-S3", 12: "-C2", 13: "-C6", 16: "-H2", 18: "-P4", 23: "-C5"}  # of the ESP32

# The memory of an ESP32, from soc.h; the bootloader runs in what is the cache later on.
MEMORY = {
    "padding": range(0x00010000),
    "DROM": range(0x3F400000, 0x3F800000),
    "RTC DRAM": range(0x3FF80000, 0x3FF82000),
    "DRAM": range(0x3FFAE000, 0x40000000),
    "CACHE": range(0x40070000, 0x40080000),
    "IRAM": range(0x40080000, 0x400C0000),
    "RTC IRAM": range(0x400C0000, 0x400C2000),
    "IROM": range(0x400D0000, 0x40400000),
    "RTC DATA": range(0x50000000, 0x50002000),
}

# esp_image_header_t: magic, segments, spi_mode, speed and size, entry, wp_pin, pin_drive, chip_id, min_revision,
# min_revision_full, max_revision_full, reserved, hash_appended
HEADER = struct.Struct("<BBBBIB3sHBHH4sB")
SEGMENT = struct.Struct("<II")  # load address, length
MAX_SEGMENTS = 16
CHECKSUM_SEED = 0xEF
HASH_SIZE = 32
VERDICTS = {True: "right", False: "wrong", None: "none"}

DESCRIPTOR_OFFSET = 0x20  # the first bytes of the first segment
DESCRIPTOR_MAGIC = 0xABCD5432
DESCRIPTOR = struct.Struct("<II8s32s32s16s16s32s32sHHB3s72s")  # begins magic, secure_version, -, version, project
FLASH_BASE = 0x1000  # where a firmware.bin starts in the flash of an ESP32
TABLE_PLACE = OFFSET - FLASH_BASE  # in a firmware.bin

# What kit.build puts behind an image, from the next sector on: a header with a sector to itself, and the application.
APPLICATION_HEADER = struct.Struct("<4sI32s")  # magic, length of the application, its SHA-256
APPLICATION_MAGIC = b"APP1"


@dataclass(frozen=True)
class Segment:
    """One segment: load address in the chip, offset of its data in the image, length in bytes."""

    address: int
    offset: int
    length: int


class Layout(NamedTuple):
    """Where the parts of an image are; offsets in bytes.

    `tail` starts at `end`: the checksum, and the SHA-256 where the image carries one. `application` is where the
    application behind it should be by its header, and `digest` its SHA-256 there: none and empty without a header.
    """

    segments: tuple[Segment, ...]
    end: int
    tail: bytes
    application: range
    digest: bytes


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
        return cls(*map(_text, (version, project, time, date, idf)), secure)


@dataclass(frozen=True, repr=False)
class AppImage:
    """What the header, the segments and the end of an image say; a bootloader is an image without descriptor.

    `length` counts the bytes up to and with checksum and SHA-256; `hash_ok` is None where the image carries no SHA-256.
    What follows is not part of the image: so many bytes, in which `application` is the length of what kit.build put
    there, and None where there is none.
    """

    entry: int
    chip_id: int
    segments: tuple[Segment, ...]
    descriptor: Descriptor | None
    length: int
    checksum_ok: bool
    hash_ok: bool | None
    follows: int
    application: int | None
    application_ok: bool | None

    @property
    def chip_name(self) -> str:
        return f"ESP32{SERIES[self.chip_id]}" if self.chip_id in SERIES else f"an unknown chip ({self.chip_id})"

    @classmethod
    def read(cls, source: str | Path | bytes | UpdateImage) -> AppImage:
        """Read an image from a file, from bytes, or from what kit.build made; see `parse`.

        Raises:
            ImageError: also where there is no such file, or it cannot be read.
        """
        data = read_file(source) if isinstance(source, str | Path) else getattr(source, "data", source)
        if not isinstance(data, bytes | bytearray):
            raise ImageError(f"A {type(source).__name__} is no image.", "Give a path, bytes, or what kit.build() made.")
        return cls.parse(data)

    @classmethod
    def parse(cls, data: bytes) -> AppImage:
        """Read an image from its first byte.

        A wrong checksum or SHA-256 is reported by the result; see `check`.

        Raises:
            ImageError: the data is empty, no image, a whole firmware.bin, or cut short.
        """
        if is_firmware_bin(data):
            cause = "This is a whole firmware.bin, with bootloader and partition table, and not an app image."
            raise ImageError(cause, "Take the .app-bin of the release for an update.")
        segments, end, tail, place, digest = layout(lambda offset, count: data[offset : offset + count], len(data))
        _, _, _, _, entry, _, _, chip_id, *_ = HEADER.unpack_from(data)
        length = end + len(tail)
        checksum_ok = tail[0] == _checksum(data, segments)
        hash_ok = tail[1:] == hashlib.sha256(data[: end + 1]).digest() if tail[1:] else None
        application_ok = hashlib.sha256(data[place.start : place.stop]).digest() == digest if digest else None
        behind = len(data) - length, len(place) if digest else None, application_ok
        return cls(entry, chip_id, segments, Descriptor.parse(data), length, checksum_ok, hash_ok, *behind)

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
            cause = "This image has no app descriptor at 0x20, so it is a bootloader and not an app."
            raise ImageError(cause, "Take the app image (.app-bin) of the release.")

    def _rows(self) -> dict[str, str]:
        memory = MEMORY if self.chip_id == CHIP_ESP32 else {}
        rows = {"chip": self.chip_name, "entry": f"0x{self.entry:08x}"}
        for number, segment in enumerate(self.segments):
            kind = next((name for name, addresses in memory.items() if segment.address in addresses), "")
            rows[f"segment {number}"] = f"0x{segment.address:08x}  {segment.length:>9,} bytes  {kind}"
        for name, field in {"version": "version", "project": "project", "ESP-IDF": "idf"}.items():
            rows[name] = getattr(self.descriptor, field, "no descriptor") or "empty"
        rows |= {"checksum": VERDICTS[self.checksum_ok], "SHA-256": VERDICTS[self.hash_ok]}
        rows |= {"length": f"{self.length:,} bytes", "behind it": f"{self.follows:,} bytes"}
        if self.application is not None:
            rows["application"] = f"{self.application:,} bytes, SHA-256 {VERDICTS[self.application_ok]}"
        return rows

    def __repr__(self) -> str:
        return "\n".join(f"{name:<11}  {value}".rstrip() for name, value in self._rows().items())

    def _repr_html_(self) -> str:
        built = {"built": f"{self.descriptor.date} {self.descriptor.time}"} if self.descriptor else {}
        return html_table((self._rows() | built).items())


def read_file(path: str | Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        ImageError: there is no such file, or it is a folder, empty or unreadable.
    """
    if not isinstance(path, str | os.PathLike):
        raise ImageError(f"A file has a name, and this is a {type(path).__name__}.", "Give the path of a .bin file.")
    if os.path.isdir(path):
        raise ImageError(f"{path} is a folder, not a file.", "Give the path of a .bin file.")
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageError(f"There is no file {path}.", "Check the path and the working folder.") from None
    except (OSError, ValueError) as error:  # ValueError: no operating system can have such a name
        raise ImageError(f"The file cannot be read: {error}.", "Check its name and permissions.") from None
    if not data:
        raise ImageError(f"{path} is empty.", "Build or download it once more.")
    return data


def make(segments: Sequence[tuple[int, bytes]], entry: int, chip_id: int = CHIP_ESP32) -> bytes:
    """Return a complete image of (load address, data) segments, checksum and SHA-256 appended.

    The data is padded to whole words, as the bootloader demands.
    """
    # as ESP-IDF 5 does for an ESP32: DIO, 40 MHz and 4 MB, no write-protect pin, chips up to revision 3.99, SHA-256
    header = HEADER.pack(MAGIC, len(segments), 2, 0x20, entry, 0xEE, bytes(3), chip_id, 0, 0, 399, bytes(4), 1)
    image = bytearray(header)
    for address, data in segments:
        padding = bytes(-len(data) % 4)
        image += SEGMENT.pack(address, len(data) + len(padding)) + data + padding
    return seal(image + bytes(16 - len(image) % 16 + HASH_SIZE))  # the checksum ends a block of 16


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
    return seal(changed)


def layout(read: Callable[[int, int], bytes], size: int) -> Layout:
    """Find the parts of an image, of which only headers and tail are read.

    Args:
        read: (offset, count) -> bytes of the image.
        size: how many there are, of the image and what follows.

    Raises:
        ImageError: the data is empty, no image, or cut short.
    """

    def part(offset: int, count: int) -> bytes:
        if offset + count > size:
            cause = f"This image is cut short: it has {size:,} bytes and needs {offset + count:,} or more."
            raise ImageError(cause, "Build or download it once more.")
        return read(offset, count)

    if not size:
        raise ImageError("This image is empty: it has 0 bytes.", "Build or download it once more.")
    if (magic := part(0, 1)[0]) != MAGIC:
        raise _no_image(f"it starts with 0x{magic:02x} instead of 0xe9")
    header = part(0, HEADER.size)
    if not 1 <= header[1] <= MAX_SEGMENTS:
        raise _no_image(f"it counts {header[1]} segments, not 1 to {MAX_SEGMENTS}")
    segments, position = [], HEADER.size
    for _ in range(header[1]):
        address, length = SEGMENT.unpack(part(position, SEGMENT.size))
        segments.append(Segment(address, position + SEGMENT.size, length))
        position += SEGMENT.size + length
    end = position | 15  # the checksum ends a block of 16
    tail = part(end, 1 + (HASH_SIZE if header[-1] else 0))
    behind = end + len(tail)
    start = -(-behind // SECTOR) * SECTOR
    found = read(start, APPLICATION_HEADER.size) if start + SECTOR <= size else b""
    if not found.startswith(APPLICATION_MAGIC):
        return Layout(tuple(segments), end, tail, range(behind, behind), b"")
    _, length, digest = APPLICATION_HEADER.unpack(found)
    return Layout(tuple(segments), end, tail, range(start + SECTOR, start + SECTOR + length), digest)


def is_firmware_bin(data: bytes) -> bool:
    """Tell whether this is the release file that starts at flash 0x1000: bootloader, partition table, app."""
    return data[:1] == bytes([MAGIC]) and data.startswith(ROW_MAGIC, TABLE_PLACE) and Descriptor.parse(data) is None


def seal(image: bytearray) -> bytes:
    """Write the checksum, and the SHA-256 where the header announces one, over what is in their place."""
    segments, end, tail, *_ = layout(lambda offset, count: image[offset : offset + count], len(image))
    image[end] = _checksum(image, segments)
    if tail[1:]:
        image[end + 1 : end + len(tail)] = hashlib.sha256(image[: end + 1]).digest()
    return bytes(image)


def _no_image(why: str) -> ImageError:
    return ImageError(f"This is no app image: {why}.", "Take the .bin file that a build made.")


def _checksum(data: bytes, segments: Sequence[Segment]) -> int:
    """Return 0xEF XOR every byte of every segment."""
    bodies = (np.frombuffer(data, np.uint8, segment.length, segment.offset) for segment in segments)
    return int(reduce(xor, map(np.bitwise_xor.reduce, bodies), CHECKSUM_SEED))


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "replace")


def _field(text: str, size: int) -> bytes:
    data = text.encode()
    if len(data) >= size:
        raise ImageError(f"{text!r} does not fit the app descriptor.", f"Use at most {size - 1} bytes.")
    return data
