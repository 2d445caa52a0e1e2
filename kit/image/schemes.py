"""Partition schemes that learners meet, for 4 MiB of flash, and what fits into them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kit.errors import ImageError
from kit.image.partition import APP, FILES, Partition
from kit.image.table import FOLDER, PartitionTable
from kit.shown import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kit.image.update_image import UpdateImage

FLASH_SIZE = 4 * 1024 * 1024

SCHEMES: dict[str, PartitionTable] = {
    name: PartitionTable.from_csv((FOLDER / f"{file}.csv").read_text("utf-8"))
    for name, file in {
        "default 4 MB": "default",
        "minimal SPIFFS": "min_spiffs",
        "no OTA": "no_ota",
        "MicroPython": "micropython",
        "MicroPython OTA": "micropython_ota",
    }.items()
}


@dataclass(frozen=True)
class Scheme:
    """One scheme, with the "vfs" that MicroPython adds when it runs; and the bytes of the image for it (0: none)."""

    name: str
    table: PartitionTable = field(repr=False)
    image: int

    @property
    def apps(self) -> tuple[Partition, ...]:
        """The partitions that an image can start from: the slots, or the one that is never updated ("factory")."""
        return tuple(partition for partition in self.table if partition.type == APP)

    @property
    def files(self) -> int:
        """Bytes for files."""
        return sum(partition.size for partition in self.table if (partition.type, partition.subtype) in FILES)

    @property
    def excess(self) -> int:
        """Bytes of the image for which an app partition has no room."""
        return max(0, self.image - self.apps[0].size)

    @property
    def verdict(self) -> str:
        if not self.image:
            return ""
        if self.excess:
            return f"too large by {self.excess:,} bytes"
        return "fits, and can be updated over the air" if len(self.table.slots) > 1 else "fits, but no second slot"


@dataclass(frozen=True, repr=False)
class SchemeComparison(Table):
    """The schemes, and the bytes of the image that is to go into them (0: none)."""

    COLUMNS = ("<15", ">14", ">14", "")

    schemes: tuple[Scheme, ...]
    image: int
    is_stand_in: bool

    def plot(self) -> Figure:
        """Draw the schemes to scale, with the image in them."""
        from kit.figures.flash import scheme_map

        return scheme_map(self.schemes, self.image, self.is_stand_in)

    def _cells(self) -> list[tuple[str, ...]]:
        cells = [("scheme", "app partitions", "room for files", f"image of {self.image:,} bytes")]
        for scheme in self.schemes:
            apps = f"{len(scheme.apps)} of {scheme.apps[0].size // 1024:,} KiB"
            cells.append((scheme.name, apps, f"{scheme.files // 1024:,} KiB", scheme.verdict))
        return [row[: 4 if self.image else 3] for row in cells]


def compare_schemes(image: UpdateImage | int | None = None) -> SchemeComparison:
    """Compare the usual partition schemes: how many slots, how large, and whether an image fits into them.

    Args:
        image: what kit.build made, or a number of bytes.

    Raises:
        ImageError: it is neither.
    """
    size = 0 if image is None else getattr(image, "size", image)
    if not isinstance(size, int) or (image is not None and size <= 0):
        raise ImageError(f"{image!r} is no image.", "Give what kit.build() returned, or a number of bytes.")
    schemes = (Scheme(name, table.with_vfs(FLASH_SIZE), size) for name, table in SCHEMES.items())
    return SchemeComparison(tuple(schemes), size, getattr(image, "is_stand_in", False))
