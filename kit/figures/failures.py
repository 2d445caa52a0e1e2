"""What came of failures, and what power cuts leave."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kit.figures.style import BLUE, GREEN, ORANGE, PALE, PURPLE, RED, seconds_text, titled_figure

# The words are those of kit.faults: what came of a failure, and what a board starts after a power cut.
OUTCOME_COLORS = {"refused": BLUE, "old version kept": GREEN, "rolled back": ORANGE, "new version": PURPLE}
OUTCOME_COLORS["does not serve"] = RED
CUT_COLORS = {"old": BLUE, "new": ORANGE, "broken": "black"}
REGION_COLORS = {"slot": PALE, "otadata": GREEN, "nvs": PURPLE, "vfs": RED}
COLUMNS = 100  # cells side by side in the heat strip
BAND, LINE = 2, 8  # height of the mark of the region, and of a line of cells with it and a gap


def outcome_gallery(outcomes: Sequence[tuple[str, str, str, float]], virtual: bool) -> Figure:
    """Draw a row for each failure: its name, what came of it, what ran afterwards, and the seconds until then."""
    height = 1.5 + 0.4 * len(outcomes)
    place = {"left": 0.26, "right": 0.97, "top": 1 - 0.8 / height, "bottom": 0.65 / height, "wspace": 0.03}
    alt = "Each failure, what came of it, which version ran afterwards, and how long it took: "
    alt += "; ".join(f"{name}, {outcome}, {runs}" for name, outcome, runs, _ in outcomes) + "."
    with titled_figure("What came of each failure", alt, virtual, height) as figure:
        cells, bars = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2), gridspec_kw=place)
        names, _, _, times = zip(*outcomes, strict=True)
        for row, (_, outcome, runs, seconds) in enumerate(outcomes):
            color = OUTCOME_COLORS[outcome]
            cells.barh(row, 0.52, height=0.9, color=color, alpha=0.4)
            cells.text(0.02, row, outcome, va="center")
            cells.text(0.56, row, runs, va="center")
            bars.barh(row, seconds, height=0.7, color=color)
            bars.text(seconds, row, f" {seconds_text(seconds)}", va="center")
        cells.set_yticks(range(len(outcomes)), names)
        cells.set(xlim=(0, 1), ylim=(len(outcomes) - 0.4, -0.6), xticks=[])
        for x, text in (0.02, "outcome"), (0.56, "ran afterwards"):
            cells.text(x, -0.7, text, fontweight="bold")
        bars.set(xlabel="seconds from upload to serving")
        bars.set_xlim(0, max(times) * 1.2)
        cells.spines[:].set_visible(False)
        for axes in cells, bars:
            axes.tick_params(axis="y", length=0)
    return figure


def heat_strip(results: Sequence[tuple[str, str]]) -> Figure:
    """Draw a cell for each flash operation of an update on a virtual board at which the power was cut, in order.

    Args:
        results: the region of the operation ("slot", "otadata", "nvs", "vfs"), and what the board started afterwards
            ("old", "new", "broken").
    """
    columns = min(COLUMNS, len(results))
    lines = -(-len(results) // columns)
    grid = np.ones((lines * LINE, columns, 3))
    for number, (region, outcome) in enumerate(results):
        line, column = divmod(number, columns)
        strip = grid[line * LINE : (line + 1) * LINE - 1, column]
        strip[:BAND], strip[BAND:] = to_rgb(REGION_COLORS[region]), to_rgb(CUT_COLORS[outcome])
    regions = {region for region, _ in results}
    counts, height = Counter(outcome for _, outcome in results), 1.4 + 0.5 * lines
    place = {"left": 0.06, "right": 0.98, "top": 1 - 0.6 / height, "bottom": 0.8 / height}
    alt = "A strip with one mark for each power cut of an update, coloured by what boots afterwards: "
    alt += ", ".join(outcome for outcome in CUT_COLORS if outcome in counts) + "."
    with titled_figure(f"The power cut at {len(results):,} moments of an update", alt, True, height) as figure:
        axes = figure.subplots(gridspec_kw=place)
        axes.imshow(grid, aspect="auto", interpolation="nearest")
        axes.set_yticks([line * LINE + 4 for line in range(lines)], [line * columns + 1 for line in range(lines)])
        axes.set(xticks=[], xlabel="one cell for each cut, in order; the band above it is its region")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        keys = [Patch(color=CUT_COLORS[name], label=f"{name} {counts[name]:,}") for name in CUT_COLORS]
        keys += [Patch(color=color, label=name) for name, color in REGION_COLORS.items() if name in regions]
        figure.legend(handles=keys, loc="lower center", ncols=len(keys), frameon=False, handlelength=1, columnspacing=1)
    return figure
