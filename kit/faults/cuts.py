"""A power cut at every flash operation of an update, as one experiment on virtual boards of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import interruptible
from kit.image.standin import image_set
from kit.image.update_image import build
from kit.progress import Progress
from kit.shown import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAD = ("", "cuts", "old", "new", "broken")
SLOTS = "ota"  # how slots and otadata begin


@dataclass(frozen=True)
class Cut:
    """A power cut, and what the board boots after it.

    Attributes:
        number: the flash operation of the update that it comes in place of, from 1 on.
        kind: "erase", "write", or "half write": in the middle of the write.
        region: label of the partition.
        outcome: "old" or "new": this version serves, whole, and the next update works; else "broken".
    """

    number: int
    kind: str
    region: str
    outcome: str


@dataclass(frozen=True, repr=False)
class Cuts(Table):
    """All power cuts of an update, in their order, on a virtual board."""

    COLUMNS = ("<7", ">7", ">6", ">6", ">6")

    cuts: tuple[Cut, ...]

    def _cells(self) -> list[tuple[str, ...]]:
        outcomes: dict[str, Counter[str]] = {}
        for cut in self.cuts:
            outcomes.setdefault(cut.region, Counter())[cut.outcome] += 1
        outcomes["all"] = sum(outcomes.values(), Counter())
        rows = [(region, f"{n.total():,}", *(f"{n[name]:,}" for name in HEAD[2:])) for region, n in outcomes.items()]
        return [HEAD, *rows]

    def __repr__(self) -> str:
        """Leave out how many operations notes and log took: that depends on the second in which they were written."""
        head, *rows = self._cells()
        broken = sum(cut.outcome == HEAD[-1] for cut in self.cuts if not cut.region.startswith(SLOTS))
        rows = [row for row in rows if row[0].startswith(SLOTS)]
        rows = [head, *rows, ("others", "", "", "", f"{broken:,}")]
        return "\n".join("  ".join(map(format, row, self.COLUMNS)).rstrip() for row in rows)

    def plot(self) -> Figure:
        """Draw the outcomes as a strip, one stripe for each cut."""
        from kit.figures.failures import heat_strip

        return heat_strip([("slot" if cut.region.startswith("ota_") else cut.region, cut.outcome) for cut in self.cuts])


@interruptible
def every_cut(app: str | Path | None = None) -> Cuts:
    """Cut the power of a virtual board at every flash operation of an update from 1.0.0 to 1.1.0.

    A bar shows how many outcomes are known, and which. Your board is left alone.

    Args:
        app: folder with the application of both; without one the kit's own.

    Raises:
        ImageError: the application cannot be built.
        BoardError: the update does not go through, even with power.
    """
    from kit.faults.experiment import Experiment

    base = image_set()
    experiment = Experiment(*(build(version, base=base, app=app) for version in ("1.0.0", "1.1.0")))
    *about, states = zip(*experiment.cuts(), strict=True)
    with Progress("power cuts", len(states), "cuts") as progress:

        def show(found: Counter[str]) -> None:
            progress.update(found.total(), ", ".join(f"{found[name]:,} {name}" for name in HEAD[2:]))

        return Cuts(tuple(map(Cut, *about, experiment.outcomes(list(states), show))))
