"""The partition table at flash 0x8000.

Layout and rules: ESP-IDF 5.4, flash_partitions.c (messages) and gen_esp32part.py (what a table may hold).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from kit import otadata
from kit.errors import TableError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OFFSET = 0x8000
SIZE = 0xC00
FIRST_OFFSET = 0x9000  # the table has the sector at 0x8000 to itself
ROW = struct.Struct("<2sBBLL16sL")  # magic, type, subtype, offset, size, label, flags
MAGIC = b"\xaa\x50"
MD5_MAGIC = b"\xeb\xeb"
MD5_START = MD5_MAGIC + b"\xff" * 14
END = b"\xff" * 4  # IDF looks at magic, type and subtype of the last row only

APP, DATA = 0, 1
TYPE_NAMES = {APP: "app", DATA: "data"}
OTA_0 = 0x10
SUBTYPE_NAMES = {
    APP: {0x00: "factory", 0x20: "test"} | {OTA_0 + slot: f"ota_{slot}" for slot in range(16)},
    DATA: {
        0x00: "ota",
        0x01: "phy",
        0x02: "nvs",
        0x03: "coredump",
        0x04: "nvs_keys",
        0x05: "efuse",
        0x06: "undefined",
        0x81: "fat",
        0x82: "spiffs",
        0x83: "littlefs",
    },
}
OTADATA = (DATA, 0x00)
NVS = (DATA, 0x02)
NVS_MIN_SIZE = 0x3000
ALIGNMENT = {APP: 0x10000}  # others: a sector
SECTOR = 0x1000

ADVICE = "Flash the board again: board.flash(image)."


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
        return TYPE_NAMES.get(self.type, f"0x{self.type:02x}")

    @property
    def subtype_name(self) -> str:
        return SUBTYPE_NAMES.get(self.type, {}).get(self.subtype, f"0x{self.subtype:02x}")

    def to_bytes(self) -> bytes:
        """Return the row, 32 bytes."""
        return ROW.pack(MAGIC, self.type, self.subtype, self.offset, self.size, self.label.encode(), self.flags)

    @classmethod
    def from_bytes(cls, row: bytes) -> Partition:
        """Read a row of 32 bytes, whose magic the caller has looked at."""
        _, type_, subtype, offset, size, label, flags = ROW.unpack(row)
        return cls(label.split(b"\0")[0].decode("utf-8", "replace"), type_, subtype, offset, size, flags)


@dataclass(frozen=True, repr=False)
class PartitionTable(Sequence[Partition]):
    """The rows of a partition table."""

    partitions: tuple[Partition, ...]

    @classmethod
    def from_bytes(cls, data: bytes) -> PartitionTable:
        """Read a table (up to 0xC00 bytes, as at flash 0x8000).

        Raises:
            TableError: with the message that ESP-IDF's bootloader prints.
        """
        if data[: ROW.size] == b"\xff" * ROW.size:
            raise TableError("There is no partition table: the flash is blank.", ADVICE)
        partitions: list[Partition] = []
        md5_found = False
        for number in range(min(len(data), SIZE) // ROW.size):
            start = number * ROW.size
            row = data[start : start + ROW.size]
            if row.startswith(MAGIC):
                partitions.append(Partition.from_bytes(row))
            elif row.startswith(MD5_MAGIC):
                if md5_found:
                    raise _invalid("Only one MD5 checksum is allowed")
                if row[16:] != hashlib.md5(data[:start]).digest():
                    raise _invalid("Incorrect MD5 checksum")
                md5_found = True
            elif row.startswith(END):
                return cls(tuple(partitions))
            else:
                magic = int.from_bytes(row[:2], "little")
                raise _invalid(f"partition {number} invalid magic number 0x{magic:x}")
        raise _invalid("partition table has no terminating entry, not valid")

    def to_bytes(self) -> bytes:
        """Return the table with its MD5 row, padded with 0xFF to 0xC00 bytes.

        Raises:
            TableError: more than 94 partitions.
        """
        rows = b"".join(partition.to_bytes() for partition in self)
        data = rows + MD5_START + hashlib.md5(rows).digest()
        if len(data) >= SIZE:
            raise TableError(f"A partition table cannot hold {len(self)} partitions.", "Use at most 94.")
        return data.ljust(SIZE, b"\xff")

    def __getitem__(self, index):
        return self.partitions[index]

    def __len__(self) -> int:
        return len(self.partitions)

    def find(self, label: str) -> Partition:
        """Return the partition with this label.

        Raises:
            TableError: there is none; it lists those there are.
        """
        for partition in self:
            if partition.label == label:
                return partition
        labels = ", ".join(partition.label for partition in self)
        raise TableError(f"There is no partition {label!r}.", f"There are: {labels}.")

    @property
    def slots(self) -> tuple[Partition, ...]:
        """The app partitions that updates can go to, ota_0 first."""
        slots = (p for p in self if p.type == APP and OTA_0 <= p.subtype < OTA_0 + 16)
        return tuple(sorted(slots, key=lambda partition: partition.subtype))

    @property
    def otadata(self) -> Partition | None:
        """The partition with the two records by which the bootloader picks a slot."""
        return next((p for p in self if (p.type, p.subtype) == OTADATA), None)

    def with_vfs(self, flash_size: int) -> PartitionTable:
        """Return the table as a running MicroPython sees it.

        Since 1.26 it adds the row "vfs", from the last partition to the end of the flash, at run time, where the table
        has neither "vfs" nor "ffat" (ports/esp32/main.c).
        """
        end = max((p.end for p in self), default=0)
        has_vfs = any(p.type == DATA and p.label in ("vfs", "ffat") for p in self)
        if has_vfs or not 0 < end < flash_size:
            return self
        return PartitionTable((*self, Partition("vfs", DATA, 0x81, end, flash_size - end)))

    def check(self, flash_size: int) -> None:
        """Check that a bootloader accepts the table in a flash of so many bytes.

        Raises:
            TableError: a partition out of the flash or of line, an overlap, labels used twice, a bad otadata or nvs.
        """
        for problem in self._problems(flash_size):
            raise TableError(problem, "Correct the table before it is flashed.")

    def _problems(self, flash_size: int) -> Iterator[str]:
        for number, partition in enumerate(self):
            yield from _row_problems(partition)
            if partition.end > flash_size:
                place = f"offset 0x{partition.offset:x} size 0x{partition.size:x}"
                yield f"partition {number} invalid - {place} exceeds flash chip size 0x{flash_size:x}."
        if len({partition.label for partition in self}) < len(self):
            yield "Partition labels must be unique."
        if sum((p.type, p.subtype) == OTADATA for p in self) > 1:
            yield "Found multiple otadata partitions."
        for before, after in pairwise(sorted(self, key=lambda partition: partition.offset)):
            if after.offset < before.end:
                yield f"Partition {after.label!r} at 0x{after.offset:x} overlaps {before.label!r}."

    def plot(self) -> Figure:
        """Draw the flash map."""
        from kit.figures import flash_map

        return flash_map(self, None, False)

    def _cells(self) -> list[tuple[str, ...]]:
        head = ("label", "type", "subtype", "offset", "end", "size")
        return [head] + [
            (p.label, p.type_name, p.subtype_name, f"0x{p.offset:x}", f"0x{p.end:x}", f"{p.size // 1024:,} KiB")
            for p in self
        ]

    def __repr__(self) -> str:
        return "\n".join(
            f"{label:<16}  {type_:<4}  {subtype:<8}  {offset:>8}  {end:>8}  {size:>9}"
            for label, type_, subtype, offset, end, size in self._cells()
        )

    def _repr_html_(self) -> str:
        head, *rows = (list(map(escape, row)) for row in self._cells())
        lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
        header = "".join(f"<th>{cell}</th>" for cell in head)
        return f"<table><tr>{header}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _row_problems(p: Partition) -> Iterator[str]:
    alignment = ALIGNMENT.get(p.type, SECTOR)
    if p.offset < FIRST_OFFSET:
        yield f"Partition {p.label!r} at 0x{p.offset:x} is below 0x{FIRST_OFFSET:x}."
    if p.offset % alignment:
        yield f"Offset 0x{p.offset:x} of {p.label!r} is not aligned to 0x{alignment:x}."
    if p.type == APP and p.size % SECTOR:
        yield f"Size 0x{p.size:x} of {p.label!r} is not aligned to 0x{SECTOR:x}."
    if (p.type, p.subtype) == OTADATA and p.size != otadata.SIZE:
        yield f"otadata partition must have size 0x{otadata.SIZE:x}, not 0x{p.size:x}."
    if (p.type, p.subtype) == NVS and p.size < NVS_MIN_SIZE:
        yield f"nvs partition must have size 0x{NVS_MIN_SIZE:x} or more, not 0x{p.size:x}."
    if len(p.label.encode()) > 16:
        yield f"Label {p.label!r} is longer than 16 bytes."


def _invalid(message: str) -> TableError:
    return TableError(f"The partition table is not valid: {message}.", ADVICE)


# ports/esp32/partitions-4MiB-ota.csv of MicroPython 1.26; "vfs" is added at run time
MICROPYTHON_OTA = PartitionTable(
    (
        Partition("nvs", DATA, 0x02, 0x9000, 0x4000),
        Partition("otadata", DATA, 0x00, 0xD000, 0x2000),
        Partition("phy_init", DATA, 0x01, 0xF000, 0x1000),
        Partition("ota_0", APP, OTA_0, 0x10000, 0x180000),
        Partition("ota_1", APP, OTA_0 + 1, 0x190000, 0x180000),
    )
)
