"""The partition table at flash 0x8000.

Layout and rules: ESP-IDF 5.4, flash_partitions.c (messages) and gen_esp32part.py (what a table may hold).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import TableError
from kit.image import otadata
from kit.shown import Table

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

FOLDER = Path(__file__).with_name("partitions")
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


@dataclass(frozen=True, repr=False)
class PartitionTable(Table, Sequence[Partition]):
    """The rows of a partition table; of a board's also the bytes in use by label of slot, where they were read."""

    COLUMNS = ("<16", "<4", "<8", ">8", ">8", ">9")

    partitions: tuple[Partition, ...]
    used: Mapping[str, int] = field(default_factory=dict)
    is_virtual: bool = False

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

    @classmethod
    def from_csv(cls, text: str) -> PartitionTable:
        """Read a table from ESP-IDF's CSV: a line "Name, Type, SubType, Offset, Size, Flags" for each partition.

        An empty offset stands for the next place that fits: a multiple of 0x10000 for an app, else of 0x1000. Sizes are
        such as 0x5000, 20480, 20K or 1M. Whether the table fits a flash is for `check` to say.

        Raises:
            TableError: naming the line; for what gen_esp32part.py of ESP-IDF 5.4 refuses, and for labels that are not
                ASCII or longer than 16 bytes: it would cut those, within a character too, and MicroPython then fails
                to read them.
        """
        table = cls(())
        lines = text.removeprefix("\ufeff").splitlines() if isinstance(text, str) and "," in text else []
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            try:
                table = cls((*table, _from_csv(line, table[-1].end if table else FIRST_OFFSET)))
                table.check(1 << 32)  # as far as an offset reaches
                table.to_bytes()  # which refuses too many partitions
            except TableError as error:
                raise TableError(f"Line {number}: {error.cause}", error.advice) from None
        if not table:
            raise TableError("There is no partition in this.", "Give the text of a CSV file: Path(…).read_text().")
        return table

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
        by_label = {partition.label: partition for partition in self}
        if label not in by_label:
            raise TableError(f"There is no partition {label!r}.", f"There are: {', '.join(by_label)}.")
        return by_label[label]

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
        return replace(self, partitions=(*self, Partition("vfs", DATA, 0x81, end, flash_size - end)))

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
                problem = f"partition {number} invalid - {place} exceeds flash chip size 0x{flash_size:x}"
                yield f"{partition.label!r} ends at 0x{partition.end:x}, behind the end of the flash ({problem})."
        labels = [partition.label for partition in self]
        if len(set(labels)) < len(labels):
            yield f"Partition labels must be unique, and {max(labels, key=labels.count)!r} is used twice."
        if sum((p.type, p.subtype) == OTADATA for p in self) > 1:
            yield "Found multiple otadata partitions."
        for before, after in pairwise(sorted(self, key=lambda partition: partition.offset)):
            if after.offset < before.end:
                yield f"Partition {after.label!r} at 0x{after.offset:x} overlaps {before.label!r}."

    def plot(self) -> Figure:
        """Draw the flash map: the partitions, and what fills the slots."""
        from kit.figures.flash import flash_map

        return flash_map(self, self.used, self.is_virtual)

    def _cells(self) -> list[tuple[str, ...]]:
        head = ("label", "type", "subtype", "offset", "end", "size")
        return [head] + [
            (p.label, p.type_name, p.subtype_name, f"0x{p.offset:x}", f"0x{p.end:x}", f"{p.size // 1024:,} KiB")
            for p in self
        ]


def _row_problems(p: Partition) -> Iterator[str]:
    kind, name, place, size = (p.type, p.subtype), repr(p.label), f"0x{p.offset:x}", f"0x{p.size:x}"
    alignment, readonly = ALIGNMENT.get(p.type, SECTOR), p.flags & FLAGS["readonly"]
    problems = {
        f"Partition {name} at {place} is below 0x{FIRST_OFFSET:x}.": p.offset < FIRST_OFFSET,
        f"Offset {place} of {name} is not aligned to 0x{alignment:x}.": p.offset % alignment,
        f"Size {size} of {name} is not aligned to 0x{SECTOR:x}.": p.type == APP and p.size % SECTOR,
        f"otadata partition must have size 0x{otadata.SIZE:x}, not {size}.": kind == OTADATA and p.size != otadata.SIZE,
        f"nvs partition must have size 0x{NVS_MIN_SIZE:x} or more, not {size}.": kind == NVS and p.size < NVS_MIN_SIZE,
        f"Partition {name} is always written to and cannot be readonly.": readonly and kind in WRITTEN,
        f"Label {name} is not plain ASCII.": not (p.label.isascii() and p.label.isprintable()),
        f"Label {name} is longer than 16 bytes.": len(p.label.encode()) > 16,
    }
    return (problem for problem, is_there in problems.items() if is_there)


def _invalid(message: str) -> TableError:
    return TableError(f"The partition table is not valid: {message}.", ADVICE)


def _from_csv(line: str, end: int) -> Partition:
    """Read a line of CSV; `end` is where the partition before it ends."""
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
    return Partition(label, type_, subtype, offset, _number("size", size), sum(FLAGS[flag] for flag in flags))


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


MICROPYTHON_OTA = PartitionTable.from_csv((FOLDER / "micropython_ota.csv").read_text("utf-8"))
