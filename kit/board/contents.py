"""What is in the flash of a board: its partition table, and how much of each partition is used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from kit.errors import ImageError
from kit.image.layout import layout
from kit.image.partition import Partition
from kit.image.table import OFFSET, SIZE, PartitionTable
from kit.shown import html_table

Read = Callable[[int, int], bytes]


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


def read_contents(read: Read, flash_size: int, is_virtual: bool) -> PartitionTable:
    """Read table and slots of a board.

    Args:
        read: (address, length) -> bytes of flash.

    Raises:
        TableError: there is no partition table, or a damaged one.
    """
    table = PartitionTable.from_bytes(read(OFFSET, SIZE)).with_vfs(flash_size)
    used = {slot.label: _used(read, slot) for slot in table.slots}
    return replace(table, used=used, is_virtual=is_virtual)


def _used(read: Read, slot: Partition) -> int:
    """Return how many bytes of a slot an image and its application take, 0 for a slot that holds no image."""
    try:
        found = layout(lambda offset, count: read(slot.offset + offset, count), slot.size)
    except ImageError:
        return 0
    return min(found.application.stop, slot.size)
