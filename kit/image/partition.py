"""One row of the partition table.

Layout and rules: ESP-IDF 5.4, gen_esp32part.py and esp_flash_partitions.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kit.errors import TableError
from kit.image import otadata

FIRST_OFFSET = 0x9000  # the table has the sector at 0x8000 to itself
ROW = struct.Struct("<2sBBLL16sL")  # magic, type, subtype, offset, size, label, flags
MAGIC = b"\xaa\x50"

APP, DATA = 0, 1
TYPES = {"app": APP, "data": DATA, "bootloader": 0x02, "partition_table": 0x03}
OTA_0 = 0x10
SUBTYPES = {
    APP: {"factory": 0x00, "test": 0x20} | {f"ota_{slot}": OTA_0 + slot for slot in range(16)},
    DATA: {"ota": 0x00, "phy": 0x01, "nvs": 0x02, "coredump": 0x03, "nvs_keys": 0x04, "efuse": 0x05, "undefined": 0x06}
    | {"esphttpd": 0x80, "fat": 0x81, "spiffs": 0x82, "littlefs": 0x83},
    TYPES["bootloader"]: {"ota": 0x01},
    TYPES["partition_table"]: {"ota": 0x01},
}
FLAGS = {"encrypted": 1, "readonly": 2}
OTADATA = (DATA, 0x00)
NVS = (DATA, 0x02)
WRITTEN = {OTADATA, (DATA, 0x03)}  # at run time; the second is coredump
NVS_MIN_SIZE = 0x3000
FILES = {(DATA, 0x81), (DATA, 0x82), (DATA, 0x83)}
ALIGNMENT = {APP: 0x10000}  # others: a sector
SECTOR = 0x1000


@dataclass(frozen=True)
class Partition:
    """One row of the table; offset and size in bytes, flags bit 0 encrypted, bit 1 readonly."""

    label: str
    type: int
    subtype: int
    offset: int
    size: int
    flags: int = 0

    @property
    def end(self) -> int:
        return self.offset + self.size

    @property
    def type_name(self) -> str:
        return _name(self.type, TYPES)

    @property
    def subtype_name(self) -> str:
        return _name(self.subtype, SUBTYPES.get(self.type, {}))

    def to_bytes(self) -> bytes:
        """Return the row, 32 bytes."""
        return ROW.pack(MAGIC, self.type, self.subtype, self.offset, self.size, self.label.encode(), self.flags)

    @classmethod
    def from_bytes(cls, row: bytes) -> Partition:
        """Read a row of 32 bytes, whose magic the caller has looked at."""
        _, type_, subtype, offset, size, label, flags = ROW.unpack(row)
        return cls(label.split(b"\0")[0].decode("utf-8", "replace"), type_, subtype, offset, size, flags)

    @classmethod
    def from_csv(cls, line: str, end: int) -> Partition:
        """Read a line of CSV; `end` is where the partition before it ends.

        Raises:
            TableError: it is no such line.
        """
        label, type_name, subtype_name, place, size, *rest = map(str.strip, f"{line},,,,".split(","))
        if not label:
            raise TableError("The name is missing.", "Begin the line with a name, or with # for a comment.")
        type_ = _number("type", type_name, TYPES)
        default = "" if type_ == APP else "0x06"  # undefined
        subtype = _number("subtype", subtype_name or default, SUBTYPES.get(type_, {}))
        alignment = ALIGNMENT.get(type_, SECTOR)
        free = -(-end // alignment) * alignment
        offset = _number("offset", place) if place else free
        if offset < end:
            cause = f"Partition {label!r} at 0x{offset:x} overlaps what stands before it, up to 0x{end:x}."
            raise TableError(cause, f"Leave its offset empty, or give 0x{free:x} or more.")
        flags = set(",".join(rest).strip(",").split(":")) - {""}
        if unknown := flags - set(FLAGS):
            raise TableError(f"{min(unknown)!r} is no flag.", "Flags are encrypted, readonly and encrypted:readonly.")
        return cls(label, type_, subtype, offset, _number("size", size), sum(FLAGS[flag] for flag in flags))

    def problems(self) -> Iterator[str]:
        """Say what no bootloader or gen_esp32part.py would take of this row."""
        kind, name, place, size = (self.type, self.subtype), repr(self.label), f"0x{self.offset:x}", f"0x{self.size:x}"
        alignment, readonly = ALIGNMENT.get(self.type, SECTOR), self.flags & FLAGS["readonly"]
        whole, least = f"0x{otadata.SIZE:x}", f"0x{NVS_MIN_SIZE:x}"
        problems = {
            f"Partition {name} at {place} is below 0x{FIRST_OFFSET:x}.": self.offset < FIRST_OFFSET,
            f"Offset {place} of {name} is not aligned to 0x{alignment:x}.": self.offset % alignment,
            f"Size {size} of {name} is not aligned to 0x{SECTOR:x}.": self.type == APP and self.size % SECTOR,
            f"otadata partition must have size {whole}, not {size}.": kind == OTADATA and size != whole,
            f"nvs partition must have size {least} or more, not {size}.": kind == NVS and self.size < NVS_MIN_SIZE,
            f"Partition {name} is always written to and cannot be readonly.": readonly and kind in WRITTEN,
            f"Label {name} is not plain ASCII.": not (self.label.isascii() and self.label.isprintable()),
            f"Label {name} is longer than 16 bytes.": len(self.label.encode()) > 16,
        }
        return (problem for problem, is_there in problems.items() if is_there)


def _number(what: str, text: str, names: Mapping[str, int] | None = None) -> int:
    """Read a number as gen_esp32part.py does: decimal or 0x…, with K or M behind it; or one of the names."""
    if names and text.lower() in names:
        return names[text.lower()]
    factor = {"K": 0x400, "M": 0x100000}.get(text[-1:].upper(), 1)
    try:
        value = int(text if factor == 1 else text[:-1], 0) * factor
    except ValueError:
        value = -1
    if value in (range(1, 1 << 32) if names is None else range(0xFF)):
        return value
    usual = "such as 0x5000, 20480, 20K or 1M" if names is None else f"up to 0xfe or one of: {', '.join(names)}"
    raise TableError(f"{text!r} is no {what}." if text else f"The {what} is missing.", f"Give a number {usual}.")


def _name(value: int, names: Mapping[str, int]) -> str:
    return next((name for name, known in names.items() if known == value), f"0x{value:02x}")
