"""Figures that speak without a caption: what fills the flash, and how fast an update went."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from kit.ota import UploadResult
    from kit.schemes import Scheme
    from kit.table import PartitionTable

# Okabe and Ito's colours, told apart by colour-blind readers (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, PURPLE, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#7F7F7F"
INK = "#222222"
STYLE = {
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 100,
}
KIB, MIB = 1024, 1024 * 1024  # as flash is counted
KB, MB = 1000, 1000 * 1000  # as speed is counted
CHARACTER = 0.085  # inches, the mean width of a character at 12 points
BOOTLOADER = 0x1000  # where the ESP32's ROM looks for it; other chips differ
FLASH = 4 * MIB  # what the schemes are made for
TABLE, TABLE_SIZE = 0x8000, 0x1000  # CONFIG_PARTITION_TABLE_OFFSET, one sector
FREE, USED = 0.18, 0.5  # strength of the colour
WIDTH = 10.0  # inches


class _Box(NamedTuple):
    name: str
    start: int
    size: int
    color: str
    used: int | None = None

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def lines(self) -> list[str]:
        used = [] if self.used is None else [f"{_size(self.used)} used"]
        return [self.name, f"{self.start:#x} · {_size(self.size)}", *used]


def flash_map(table: "PartitionTable", used: Mapping[str, int], virtual: bool) -> Figure:
    """Draw the flash to scale, its first partitions once more enlarged, and fill what is used.

    Args:
        table: the partitions; the flash ends at the next power of two, as flash chips do.
        used: bytes in use by label of partition; a partition that is not named is drawn without a filling.
        virtual: say so in the figure.
    """
    boxes = _boxes(table, used)
    flash = 1 << (boxes[-1].end - 1).bit_length()
    if boxes[-1].end < flash:
        boxes.append(_Box("not in the table", boxes[-1].end, flash - boxes[-1].end, "#BBBBBB"))
    small = [box for box in boxes if box.end <= flash // 32]  # what cannot be read at the scale of the flash
    zoom = max((box.end for box in small), default=TABLE)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 4.1))
        figure.subplots_adjust(left=0.01, right=0.99, top=0.88, bottom=0.01)
        _strip(axes, boxes, (0, flash), y=0.62, hide=zoom)
        _strip(axes, small, (BOOTLOADER, zoom), y=0.0, hide=0)
        axes.fill([BOOTLOADER / flash, 0, 1, zoom / flash], [0.62, 0.30, 0.30, 0.62], color="#F0F0F0", zorder=0)
        axes.text(0.5, 0.37, f"{BOOTLOADER:#x} to {zoom:#x}, enlarged", ha="center", color="#555555")
        axes.set(xlim=(-0.002, 1.002), ylim=(-0.22, 0.93))
        axes.axis("off")
        _title(figure, f"Flash, {_size(flash)}", virtual)
    plt.close(figure)  # a notebook shows what the cell returns, once
    return figure


def scheme_map(schemes: "Sequence[Scheme]", image: int, virtual: bool) -> Figure:
    """Draw schemes under each other, to the scale of their flash, with an image in each.

    Args:
        image: its bytes, 0 for none; those for which there is no room are hatched.
        virtual: say that the image is for a virtual board.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, 5.8))
        figure.subplots_adjust(left=0.03, right=0.97, top=0.92, bottom=0.15)
        for row, scheme in enumerate(schemes):
            _scheme(axes, scheme, -row)
        if image:
            colors = {"for apps": _tint(BLUE, FREE), "the image": _tint(BLUE, USED), "for files": _tint(GREEN, FREE)}
            for label, color in colors.items():
                axes.bar(2, 0, color=color, label=label)  # out of sight
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=4, frameon=False)
        axes.spines[:].set_visible(False)
        axes.set(xlim=(-0.002, 1.002), ylim=(0.85 - len(schemes), 0.9), yticks=[])
        axes.set_xticks([mib * MIB / FLASH for mib in range(5)], [f"{mib} MiB" for mib in range(5)])
        subject = f"An image of {image:,} bytes in five" if image else "Five"
        _title(figure, f"{subject} partition schemes", virtual)
    plt.close(figure)
    return figure


def throughput(result: "UploadResult") -> Figure:
    """Draw the bytes that the board acknowledged over the seconds of an upload, its phases, and the speed in kB/s."""
    phases = _phases(result)
    written = phases["receive + write"][1]
    # The board's own clock says when it had written all: later than that no sample counts.
    points = list({min(t, written): done for t, _, done, _ in result.samples}.items())
    with plt.rc_context(STYLE):
        figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(WIDTH, 5.2), height_ratios=(3, 2))
        figure.subplots_adjust(left=0.1, right=0.98, top=0.84, bottom=0.11, hspace=0.14)
        _spans(top, bottom, phases, result)
        _acknowledged(top, points, phases)
        _speed(bottom, points, written)
        _title(figure, f"{result.version} into {result.slot}: {result.bytes:,} bytes", result.virtual)
    plt.close(figure)
    return figure


def _size(count: int) -> str:
    if count < KIB:
        return f"{count} B"
    return f"{count / KIB:.4g} KiB" if count < MIB else f"{count / MIB:.3g} MiB"


def _seconds(time: float) -> str:
    return f"{time:.1f} s" if time >= 10 else f"{time:.2g} s"


def _title(figure: Figure, title: str, virtual: bool) -> None:
    figure.text(0.01, 0.98, title, va="top", fontsize=15, fontweight="bold")
    if virtual:
        figure.text(0.99, 0.98, "virtual board", va="top", ha="right", fontsize=13, color="#8A4B00", style="italic")


def _tint(color: str, strength: float) -> tuple[float, ...]:
    return tuple(1 - strength * (1 - part) for part in to_rgb(color))


def _boxes(table: Iterable, used: Mapping[str, int]) -> list[_Box]:
    boxes = [_Box("bootloader", BOOTLOADER, TABLE - BOOTLOADER, GREY), _Box("partition table", TABLE, TABLE_SIZE, GREY)]
    kinds = {"ota": ORANGE, "nvs": PURPLE, "phy": GREY, "coredump": GREY}
    for row in sorted(table, key=lambda row: row.offset):
        color = BLUE if row.type_name == "app" else kinds.get(row.subtype_name, GREEN)
        boxes.append(_Box(row.label, row.offset, row.size, color, used.get(row.label)))
    return boxes


def _strip(axes: Axes, boxes: list[_Box], span: tuple[int, int], y: float, hide: int, height: float = 0.3) -> None:
    """One row of boxes, from one address to another; those that end by `hide` get no label."""
    start, scale = span[0], span[1] - span[0]
    axes.bar(0, height, 1, y, align="edge", color="white", edgecolor="#BBBBBB")
    for box in boxes:
        x, width = (box.start - start) / scale, box.size / scale
        axes.bar(x, height, width, y, align="edge", color=_tint(box.color, FREE))
        filled = min(width, (box.used or 0) / scale)
        axes.bar(x, height, filled, y, align="edge", color=_tint(box.color, USED))
        axes.bar(x, height, width, y, align="edge", fill=False, edgecolor=box.color, linewidth=1.2)
        if box.end > hide:
            _label(axes, box, x + width / 2, width, y, height)


def _scheme(axes: Axes, scheme: "Scheme", y: float) -> None:
    """One scheme, with the image in each app partition, or in the first where it is too large."""
    first, covered = scheme.apps[0], scheme.apps[0].end + scheme.excess
    boxes = _boxes(scheme.table, {app.label: scheme.image for app in scheme.apps[: 1 if scheme.excess else None]})
    _strip(axes, boxes, (0, FLASH), y, hide=FLASH, height=0.5)
    if scheme.excess:
        width = scheme.excess / FLASH
        axes.bar(first.end / FLASH, 0.5, width, y, align="edge", color="white", edgecolor=RED, hatch="////")
    for box in boxes:
        start = box.start if box.end <= first.end else max(box.start, covered)
        text = f"{box.name}, {_size(box.size)}"
        if len(text) * CHARACTER < (box.end - start) / FLASH * WIDTH:
            axes.text((start + box.end) / 2 / FLASH, y + 0.25, text, ha="center", va="center")
    axes.text(0, y + 0.58, scheme.name, fontweight="bold")
    axes.text(1, y + 0.58, scheme.verdict, ha="right", color=RED if scheme.excess else INK)


def _label(axes: Axes, box: _Box, x: float, width: float, y: float, height: float) -> None:
    fits = max(map(len, box.lines)) * CHARACTER < width * WIDTH
    lines = box.lines if fits else [box.lines[0], ", ".join(box.lines[1:])]
    middle = y + height / 2 if fits else y - 0.13
    if not fits:
        axes.plot([x, x], [y, y - 0.05], color=box.color, linewidth=1.2)
    half = max(map(len, lines)) * CHARACTER / WIDTH / 2
    x = min(max(x, half), 1 - half)
    for number, line in enumerate(lines):
        up = 0.08 * ((len(lines) - 1) / 2 - number)
        axes.text(x, middle + up, line, ha="center", va="center", fontweight="normal" if number else "bold")


def _phases(result: "UploadResult") -> dict[str, tuple[float, float]]:
    """Start and end of each phase, laid backwards from the moment at which the board's answer came."""
    answered = result.samples[-1][0]
    commit = answered - result.seconds.get("commit", 0)
    verify = commit - result.seconds.get("verify", 0)
    phases = {"receive + write": (0.0, verify), "verify": (verify, commit), "commit": (commit, answered)}
    if result.restart_seconds is not None:
        phases["restart"] = (answered, answered + result.restart_seconds)
    return phases


def _spans(top: Axes, bottom: Axes, phases: dict[str, tuple[float, float]], result: "UploadResult") -> None:
    texts = {name: _seconds(end - start) for name, (start, end) in phases.items()}
    # The first two take turns, block by block; the board counts each.
    texts["receive + write"] = f"{_seconds(result.seconds['receive'])} + {_seconds(result.seconds['write'])}"
    for (name, (start, end)), color in zip(phases.items(), (BLUE, ORANGE, PURPLE, GREY), strict=False):
        for axes in (top, bottom):
            axes.axvspan(start, end, color=_tint(color, 0.25), linewidth=0, label=f"{name} {texts[name]}")
    top.set_xlim(0, end)
    top.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, frameon=False)


def _acknowledged(axes: Axes, points: list[tuple[float, int]], phases: dict[str, tuple[float, float]]) -> None:
    times = [t for t, _ in points] + [phases["commit"][1]]
    sizes = [done / MB for _, done in points] + [points[-1][1] / MB]
    axes.plot(times, sizes, color=BLUE, linewidth=2.5, marker="o", markersize=4)
    axes.set(ylim=(0, sizes[-1] * 1.12), ylabel="MB written\nby the board")


def _speed(axes: Axes, points: list[tuple[float, int]], written: float) -> None:
    rates = [(after[1] - before[1]) / KB / (after[0] - before[0]) for before, after in pairwise(points)]
    axes.stairs(rates, [t for t, _ in points], fill=True, color=_tint(BLUE, 0.6))
    mean = points[-1][1] / KB / written
    axes.plot([0, written], [mean, mean], color=INK, linewidth=1)
    box = {"facecolor": "white", "edgecolor": INK, "pad": 3, "linewidth": 1}
    wide = written > 0.3 * axes.get_xlim()[1]
    place = {"x": written / 2, "ha": "center"} if wide else {"x": written, "ha": "left"}
    axes.text(y=mean, s=f"mean {mean:,.0f} kB/s", va="center", bbox=box, **place)
    axes.set(ylim=(0, max(rates) * 1.2), ylabel="kB/s", xlabel="seconds since the upload began")
