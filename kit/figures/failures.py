"""Figures of failures: what came of them, what a power cut leaves, what a link does to an upload."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from kit.faults.gallery import KEPT, NEW, REFUSED, ROLLED_BACK, SILENT, Outcome
from kit.figures.flash import BLUE, GREEN, KB, MB, ORANGE, PALE, PURPLE, RED, seconds_text, titled_figure
from kit.ota.result import UploadResult

OUTCOME_COLORS = {REFUSED: BLUE, KEPT: GREEN, ROLLED_BACK: ORANGE, NEW: PURPLE, SILENT: RED}
CUT_COLORS = {"old": BLUE, "new": ORANGE, "broken": "black"}
REGION_COLORS = {"slot": PALE, "otadata": GREEN, "nvs": PURPLE, "vfs": RED}
COLUMNS = 100  # cells side by side in the heat strip
BAND, LINE = 2, 8  # height of the mark of the region, and of a line of cells with it and a gap

# The life of an image: where each state stands; from where to where an arrow goes, its colour, place and text of label
STATES = {"NEW": (0.27, 0.52), "PENDING_VERIFY": (0.57, 0.52), "VALID": (0.92, 0.86), "ABORTED": (0.92, 0.18)}
STEPS = [
    ((0.02, 0.52), (0.225, 0.52), BLUE, (0.11, 0.66), "updater\nwrites, set_boot"),
    ((0.31, 0.52), (0.465, 0.52), RED, (0.385, 0.66), "bootloader\ntries it"),
    ((0.65, 0.62), (0.87, 0.83), GREEN, (0.66, 0.83), "application confirms:\nself-test passed"),
    ((0.65, 0.42), (0.85, 0.22), RED, (0.64, 0.2), "bootloader, next start:\nnever confirmed"),
]


def outcome_gallery(outcomes: Sequence[Outcome], virtual: bool) -> Figure:
    """Draw a row for each failure: what came of it, what ran afterwards, and the seconds until then."""
    height = 1.5 + 0.4 * len(outcomes)
    place = {"left": 0.26, "right": 0.97, "top": 1 - 0.8 / height, "bottom": 0.65 / height, "wspace": 0.03}
    with titled_figure("What came of each failure", virtual, height) as figure:
        cells, bars = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2), gridspec_kw=place)
        for row, outcome in enumerate(outcomes):
            color = OUTCOME_COLORS[outcome.outcome]
            cells.barh(row, 0.52, height=0.9, color=color, alpha=0.4)
            cells.text(0.02, row, outcome.outcome, va="center")
            cells.text(0.56, row, outcome.runs, va="center")
            bars.barh(row, outcome.seconds, height=0.7, color=color)
            bars.text(outcome.seconds, row, f" {seconds_text(outcome.seconds)}", va="center")
        cells.set_yticks(range(len(outcomes)), [outcome.name for outcome in outcomes])
        cells.set(xlim=(0, 1), ylim=(len(outcomes) - 0.4, -0.6), xticks=[])
        for x, text in (0.02, "outcome"), (0.56, "ran afterwards"):
            cells.text(x, -0.7, text, fontweight="bold")
        bars.set(xlabel="seconds from upload to serving")
        bars.set_xlim(0, max(outcome.seconds for outcome in outcomes) * 1.2)
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
    with titled_figure(f"The power cut at {len(results):,} moments of an update", True, height) as figure:
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


def compare_links(results: Mapping[str, UploadResult]) -> Figure:
    """Draw the bytes that the board has written over the seconds, side by side for each named upload."""
    virtual = any(result.virtual for result in results.values())
    with titled_figure("What the link does to an upload", virtual, 3.6) as figure:
        place = {"left": 0.08, "right": 0.98, "top": 0.78, "bottom": 0.17, "wspace": 0.08}
        row = figure.subplots(1, len(results), sharex=True, sharey=True, squeeze=False, gridspec_kw=place)[0]
        for axes, (name, result) in zip(row, results.items(), strict=True):
            times, _, sizes, _ = zip(*result.samples, strict=True)
            axes.plot(times, [size / MB for size in sizes], color=BLUE, linewidth=2.5)
            axes.fill_between(times, [size / MB for size in sizes], color=BLUE, alpha=0.2)
            axes.set_title(f"{name}\n{result.bytes / KB / times[-1]:,.0f} kB/s", fontsize=12)
        row[0].set(xlim=0, ylim=0, ylabel="MB written")
        row[0].locator_params(axis="x", nbins=4, integer=True, prune="upper")  # the next figure begins there
        figure.text(0.53, 0.02, "seconds since the upload began", ha="center")
    return figure


def retries(result: UploadResult) -> Figure:
    """Draw the bytes that the board has written over the seconds, one try after the other until one arrived."""
    tries = [*result.broken, result.samples]
    sent = sum(samples[-1][1] for samples in tries)
    count = f"{len(tries)} tries" if result.broken else "1 try"
    title = f"{count}, {sent / MB:,.1f} MB for an image of {result.bytes / MB:,.1f} MB"
    with titled_figure(title, result.virtual, 3.6) as figure:
        axes = figure.subplots(gridspec_kw={"left": 0.08, "right": 0.98, "top": 0.86, "bottom": 0.17})
        start = 0.0
        for number, samples in enumerate(tries, 1):
            times = [start + sample[0] for sample in samples]
            written = [sample[2] / MB for sample in samples]
            color, mark, word = (ORANGE, "X", "broken") if number < len(tries) else (BLUE, "o", "arrived")
            axes.plot(times, written, color=color, linewidth=2.5)
            axes.fill_between(times, written, color=color, alpha=0.2)
            axes.plot(times[-1], written[-1], mark, color=color, markersize=10, clip_on=False)
            axes.annotate(word, (times[-1], written[-1]), (-8, 4), textcoords="offset points", ha="right")
            start = times[-1]
        axes.axhline(result.bytes / MB, color=PALE, linestyle="--", zorder=0)
        axes.set(xlim=0, ylim=(0, result.bytes / MB * 1.15), ylabel="MB written", xlabel="seconds of uploading")
    return figure


def life_of_an_image() -> Figure:
    """Draw the states that otadata has for an image, and who leads from one to the next."""
    with titled_figure("The life of an image", False, 3.6) as figure:
        axes = figure.add_axes((0, 0, 1, 0.9))
        for start, end, color, (x, y), text in STEPS:
            arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 2.5, "mutation_scale": 20}
            axes.annotate("", end, start, arrowprops=arrow)
            axes.text(x, y, text, color=color, ha="center", va="center")
        for name, place in STATES.items():
            axes.text(*place, name, ha="center", va="center", fontweight="bold", bbox={"facecolor": "white", "pad": 9})
        axes.axis("off")
    return figure
