"""What fills the flash: the partitions of a board, and the schemes that learners meet."""

from collections.abc import Iterable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit.figures.style import BLUE, GREEN, GREY, ORANGE, PALE, PURPLE, RED, WIDTH, titled_figure
from kit.image.partition import SECTOR, TYPES, Partition
from kit.image.schemes import FLASH_SIZE, Scheme
from kit.image.table import FLASH_BASE, OFFSET

NOT_IN_TABLE = 0xFF  # no partition can be of this type
TYPE_COLORS = {"bootloader": GREY, "partition_table": GREY, "app": BLUE, "0xff": PALE}
DATA_COLORS = {"ota": ORANGE, "nvs": PURPLE, "phy": GREY, "coredump": GREY}  # by subtype; others hold files
KIB, MIB = 1024, 1024 * 1024  # as flash is counted
CHARACTER = 0.085  # inches, the mean width of a character at 12 points
FREE, USED = 0.18, 0.4  # strength of the colour; what is used is painted over what is free


def flash_map(table: Iterable[Partition], used: Mapping[str, int], virtual: bool) -> Figure:
    """Draw the flash to scale, its first partitions once more enlarged, and fill what is used.

    Args:
        table: the partitions; the flash ends at the next power of two, as flash chips do.
        used: bytes in use by label of partition; a partition that is not named is drawn without a filling.
        virtual: say so in the figure.
    """
    boxes = _boxes(table)
    end = boxes[-1].end
    flash = 1 << (end - 1).bit_length()
    if end < flash:
        boxes.append(Partition("not in the table", NOT_IN_TABLE, 0, end, flash - end))
    small = [box for box in boxes if box.end <= flash // 32]  # what cannot be read at the scale of the flash
    zoom = max((box.end for box in small), default=OFFSET)
    alt = f"A map of the flash, {_size(flash)}, with its partitions in their order: "
    alt += ", ".join(f"{box.label} with {_size(box.size)}" for box in boxes) + "."
    with titled_figure(f"Flash, {_size(flash)}", alt, virtual, 4.1) as figure:
        axes = figure.subplots(gridspec_kw={"left": 0.01, "right": 0.99, "top": 0.88, "bottom": 0.01})
        large = [box for box in boxes if box not in small]
        for row, named, span, y in (boxes, large, range(flash), 0.62), (small, small, range(FLASH_BASE, zoom), 0.0):
            _strip(axes, row, used, span, y, height=0.3)
            for box in named:
                _label(axes, box, used, span, y)
        axes.fill([FLASH_BASE / flash, 0, 1, zoom / flash], [0.62, 0.30, 0.30, 0.62], color="#F0F0F0", zorder=0)
        axes.text(0.5, 0.37, f"{FLASH_BASE:#x} to {zoom:#x}, enlarged", ha="center", color="#555555")
        axes.set(xlim=(-0.002, 1.002), ylim=(-0.22, 0.93))
        axes.axis("off")
    return figure


def scheme_map(schemes: Sequence[Scheme], image: int, virtual: bool) -> Figure:
    """Draw schemes under each other, to the scale of their flash, with an image in each.

    Args:
        image: its bytes, 0 for none; those for which there is no room are hatched.
        virtual: say that the image is for a virtual board.
    """
    subject = f"An image of {image:,} bytes in five" if image else "Five"
    alt = "Five maps of the flash below each other, one for each partition scheme, with the image in it: "
    alt += ", ".join(scheme.name for scheme in schemes) + "."
    with titled_figure(f"{subject} partition schemes", alt, virtual, 5.8) as figure:
        axes = figure.subplots(gridspec_kw={"left": 0.03, "right": 0.97, "top": 0.92, "bottom": 0.15})
        for row, scheme in enumerate(schemes):
            _scheme(axes, scheme, -row)
        if image:
            for name, color, alpha in ("for apps", BLUE, FREE), ("the image", BLUE, 0.5), ("for files", GREEN, FREE):
                axes.bar(2, 0, color=color, alpha=alpha, label=name)  # out of sight
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=4, frameon=False)
        axes.spines[:].set_visible(False)
        axes.set(xlim=(-0.002, 1.002), ylim=(0.85 - len(schemes), 0.9), yticks=[])
        axes.set_xticks([mib * MIB / FLASH_SIZE for mib in range(5)], [f"{mib} MiB" for mib in range(5)])
    return figure


def _size(count: int) -> str:
    if count < KIB:
        return f"{count} B"
    return f"{count / KIB:.4g} KiB" if count < MIB else f"{count / MIB:.3g} MiB"


def _boxes(table: Iterable[Partition]) -> list[Partition]:
    """The partitions by address, and before them what the table does not name."""
    bootloader = Partition("bootloader", TYPES["bootloader"], 0, FLASH_BASE, OFFSET - FLASH_BASE)
    itself = Partition("partition table", TYPES["partition_table"], 0, OFFSET, SECTOR)
    return [bootloader, itself, *sorted(table, key=lambda partition: partition.offset)]


def _color(box: Partition) -> str:
    return TYPE_COLORS.get(box.type_name) or DATA_COLORS.get(box.subtype_name, GREEN)


def _strip(axes: Axes, boxes: list[Partition], used: Mapping[str, int], span: range, y: float, height: float) -> None:
    """One row of boxes, between two addresses."""
    axes.bar(0, height, 1, y, align="edge", color="white", edgecolor=PALE)
    for box in boxes:
        x, width = (box.offset - span.start) / len(span), box.size / len(span)
        filled = min(width, used.get(box.label, 0) / len(span))
        color = _color(box)
        axes.bar(x, height, width, y, align="edge", color=color, alpha=FREE)
        axes.bar(x, height, filled, y, align="edge", color=color, alpha=USED)
        axes.bar(x, height, width, y, align="edge", fill=False, edgecolor=color, linewidth=1.2)


def _label(axes: Axes, box: Partition, used: Mapping[str, int], span: range, y: float) -> None:
    """Name, place and size of a box: in it, or where it is too narrow below it."""
    lines = [box.label, f"{box.offset:#x} · {_size(box.size)}"]
    if box.label in used:
        lines.append(f"{_size(used[box.label])} used")
    x, middle = (box.offset + box.size / 2 - span.start) / len(span), y + 0.15
    if max(map(len, lines)) * CHARACTER > box.size / len(span) * WIDTH:
        lines, middle = [lines[0], ", ".join(lines[1:])], y - 0.13
        axes.plot([x, x], [y, y - 0.05], color=GREY, linewidth=1.2)
    half = max(map(len, lines)) * CHARACTER / WIDTH / 2
    for number, line in enumerate(lines):
        up = 0.08 * ((len(lines) - 1) / 2 - number)
        weight = "normal" if number else "bold"
        axes.text(min(max(x, half), 1 - half), middle + up, line, ha="center", va="center", fontweight=weight)


def _scheme(axes: Axes, scheme: Scheme, y: float) -> None:
    """One scheme, with the image in each app partition, or in the first where it is too large."""
    first, covered = scheme.apps[0], scheme.apps[0].end + scheme.excess
    boxes = _boxes(scheme.table)
    used = {app.label: scheme.image for app in scheme.apps[: 1 if scheme.excess else None]}
    _strip(axes, boxes, used, range(FLASH_SIZE), y, height=0.5)
    if scheme.excess:
        width = scheme.excess / FLASH_SIZE
        axes.bar(first.end / FLASH_SIZE, 0.5, width, y, align="edge", color="white", edgecolor=RED, hatch="////")
    for box in boxes:
        start = box.offset if box.end <= first.end else max(box.offset, covered)
        text = f"{box.label}, {_size(box.size)}"
        if len(text) * CHARACTER < (box.end - start) / FLASH_SIZE * WIDTH:
            axes.text((start + box.end) / 2 / FLASH_SIZE, y + 0.25, text, ha="center", va="center")
    axes.text(0, y + 0.58, scheme.name, fontweight="bold")
    axes.text(1, y + 0.58, scheme.verdict, ha="right", color=RED if scheme.excess else "black")
