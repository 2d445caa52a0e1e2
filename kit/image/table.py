"""The partition table at flash 0x8000.

Layout and rules: ESP-IDF 5.4, flash_partitions.c (messages) and gen_esp32part.py (what a table may hold).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import TableError
from kit.image.partition import APP, DATA, FIRST_OFFSET, MAGIC, OTA_0, OTADATA, ROW, Partition
from kit.shown import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLASH_BASE = 0x1000  # where an ESP32 has its bootloader, and a firmware.bin starts
OFFSET = 0x8000
SIZE = 0xC00
MD5_MAGIC = b"\xeb\xeb"
MD5_START = MD5_MAGIC + b"\xff" * 14
END = b"\xff" * 4  # IDF looks at magic, type and subtype of the last row only

FOLDER = Path(__file__).with_name("partitions")
ADVICE = "Flash the board again: board.flash(image)."


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
                table = cls((*table, Partition.from_csv(line, table[-1].end if table else FIRST_OFFSET)))
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
            yield from partition.problems()
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


def _invalid(message: str) -> TableError:
    return TableError(f"The partition table is not valid: {message}.", ADVICE)


MICROPYTHON_OTA = PartitionTable.from_csv((FOLDER / "micropython_ota.csv").read_text("utf-8"))
