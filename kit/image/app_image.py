"""App images: what Espressif's tools write, and what the bootloader starts.

Layout: ESP-IDF 5.4, esp_app_desc.h; kit.image.layout has the rest.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import ImageError
from kit.image.file import read_file
from kit.image.layout import CHIP_ESP32, HEADER, MAGIC, Segment, checksum, layout, seal
from kit.image.partition import MAGIC as ROW_MAGIC
from kit.image.table import FLASH_BASE, OFFSET
from kit.shown import html_table

if TYPE_CHECKING:
    from kit.image.update_image import UpdateImage

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

VERDICTS = {True: "right", False: "wrong", None: "none"}

DESCRIPTOR_OFFSET = 0x20  # the first bytes of the first segment
DESCRIPTOR_MAGIC = 0xABCD5432
DESCRIPTOR = struct.Struct("<II8s32s32s16s16s32s32sHHB3s72s")  # begins magic, secure_version, -, version, project
TABLE_PLACE = OFFSET - FLASH_BASE  # in a firmware.bin


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
        checksum_ok = tail[0] == checksum(data, segments)
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


def with_descriptor(app: bytes, *, version: str, project: str, date: str, time: str, secure_version: int = 0) -> bytes:
    """Return an app image of the same length that names itself so; checksum and SHA-256 are made anew.

    Raises:
        ImageError: this is no app image, or a text does not fit its field (31 bytes; date and time 15).
    """
    AppImage.parse(app).check()
    fields = list(DESCRIPTOR.unpack_from(app, DESCRIPTOR_OFFSET))
    fields[1] = secure_version
    fields[3:7] = _field(version, 32), _field(project, 32), _field(time, 16), _field(date, 16)
    changed = bytearray(app)
    DESCRIPTOR.pack_into(changed, DESCRIPTOR_OFFSET, *fields)
    return seal(changed)


def is_firmware_bin(data: bytes) -> bool:
    """Tell whether this is the release file that starts at flash 0x1000: bootloader, partition table, app."""
    return data[:1] == bytes([MAGIC]) and data.startswith(ROW_MAGIC, TABLE_PLACE) and Descriptor.parse(data) is None


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "replace")


def _field(text: str, size: int) -> bytes:
    data = text.encode()
    if len(data) >= size:
        raise ImageError(f"{text!r} does not fit the app descriptor.", f"Use at most {size - 1} bytes.")
    return data
