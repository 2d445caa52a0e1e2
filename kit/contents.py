"""What is in the flash of a board: its partition table, and how much of each partition is used."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kit.image import HASH_SIZE, HEADER, MAGIC, MAX_SEGMENTS, SEGMENT
from kit.shown import html_table
from kit.table import OFFSET, SIZE, Partition, PartitionTable
from kit.update_image import HEADER as APPLICATION_HEADER
from kit.update_image import HEADER_MAGIC

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECTOR = 4096
FLASH_SIZE = 4 * 1024 * 1024

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, repr=False)
class Contents(PartitionTable):
    """The partition table of a board, and the bytes in use by label of slot."""

    used: Mapping[str, int] = field(default_factory=dict)
    is_virtual: bool = False

    def plot(self) -> Figure:
        """Draw the flash map: the partitions, and what fills the slots."""
        from kit.figures import flash_map

        return flash_map(self, self.used, self.is_virtual)


@dataclass(frozen=True, repr=False)
class Files:
    """The files of a board: bytes by path."""

    sizes: Mapping[str, int]

    def __repr__(self) -> str:
        total = f"{sum(self.sizes.values()):,}"
        lines = [f"{size:>{len(total)},}  {path}" for path, size in self.sizes.items()]
        return "\n".join([*lines, f"{total}  bytes in {len(lines)} {'file' if len(lines) == 1 else 'files'}"])

    def _repr_html_(self) -> str:
        return html_table((path, f"{size:,} bytes") for path, size in self.sizes.items())


def read_contents(read: Read, flash_size: int, is_virtual: bool) -> Contents:
    """Read table and slots of a board.

    Args:
        read: (address, length) -> bytes of flash.

    Raises:
        TableError: there is no partition table, or a damaged one.
    """
    table = PartitionTable.from_bytes(read(OFFSET, SIZE)).with_vfs(flash_size)
    used = {slot.label: _used(read, slot) for slot in table.slots}
    return Contents(table.partitions, used, is_virtual)


def _used(read: Read, slot: Partition) -> int:
    """Return how many bytes of a slot an image takes, 0 for an empty slot; only headers are read."""
    header = read(slot.offset, HEADER.size)
    if header[0] != MAGIC or header[1] > MAX_SEGMENTS:
        return 0
    position = HEADER.size
    for _ in range(header[1]):
        if position + SEGMENT.size > slot.size:
            return 0
        _, length = SEGMENT.unpack(read(slot.offset + position, SEGMENT.size))
        position += SEGMENT.size + length
    length = (position + 16) // 16 * 16 + (HASH_SIZE if header[-1] else 0)
    return _with_application(read, slot, length) if length <= slot.size else 0


def _with_application(read: Read, slot: Partition, length: int) -> int:
    start = -(-length // SECTOR) * SECTOR
    if start + SECTOR > slot.size:
        return length
    magic, application, _ = struct.unpack(APPLICATION_HEADER.format, read(slot.offset + start, APPLICATION_HEADER.size))
    return min(start + SECTOR + application, slot.size) if magic == HEADER_MAGIC else length
