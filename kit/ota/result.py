"""What came of an upload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.image.partition import SECTOR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Sample = tuple[float, int, int, str]  # seconds, bytes received, bytes written, phase


@dataclass(frozen=True, repr=False)
class UploadResult:
    """An update that the board accepted.

    Attributes:
        bytes: the length of the update image, all of it acknowledged by the board.
        seconds: the board's own count by phase: receive, write (with erase), verify, commit.
        samples: (seconds since the upload began, bytes received, bytes written, phase), by the board's word.
        broken: the samples of each try before, at which the link broke.
        sectors: numbers of the sectors that travelled at the last try; None where the whole image did.
        restart_seconds: from the board's answer until the new version was confirmed; None where nobody waited.
        virtual: the numbers are a virtual board's.
    """

    version: str
    slot: str
    bytes: int
    seconds: Mapping[str, float]
    samples: tuple[Sample, ...]
    restart_seconds: float | None
    virtual: bool
    broken: tuple[tuple[Sample, ...], ...] = ()
    sectors: tuple[int, ...] | None = None

    def __repr__(self) -> str:
        end = "restarting" if self.restart_seconds is None else "confirmed"
        tries = f" at try {len(self.broken) + 1}" if self.broken else ""
        what = f"{self.bytes:,} bytes"
        if self.sectors is not None:
            what = (
                f"{len(self.sectors):,} of {-(-self.bytes // SECTOR):,} sectors, {len(self.sectors) * SECTOR:,} bytes"
            )
        return f"{self.version} in {self.slot}: {what} accepted{tries}, {end}"

    def plot(self) -> Figure:
        """Draw the throughput over time, with the phases marked, or which sectors travelled where not all did."""
        from kit.figures.changes import changed_sectors
        from kit.figures.transfer import throughput

        return throughput(self) if self.sectors is None else changed_sectors(self)
