"""What a board has been through, by its log: which versions ran, what was sent, and what became of it."""

from collections.abc import Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath

from kit.figures.style import BLUE, GREEN, GREY, ORANGE, PALE, RED, WIDTH, titled_figure
from kit.ota.log import EMPTY, Entry, Log

OTHERS, RUNS, NAMES, UPDATES, CAUSES = 0.15, 0.44, 0.63, 0.89, 1.05  # inches from the foot of a line to its rows
LEVEL, FOOT = 0.17, 0.35  # inches from one cause to the next one above it, and below a line
LEFT, WIDE = 0.9, 6.4  # inches to the left of all events, and for them; to the right a cause has its place
SIZE, LONGEST = 9, 42  # points and characters of a cause
TITLE = 0.98  # of the height: top of the title
PER_LINE, MOST, FEWEST = 25, 250, 10  # events in a line and in the figure; one alone is not as wide as all of it
# Row, colour, mark and word of each event
MARKS = {
    "UPDATE_START": (UPDATES, BLUE, ">", "update begins"),
    "UPDATE_COMPLETE": (UPDATES, BLUE, "o", "has arrived"),
    "CONFIRMED": (UPDATES, GREEN, "D", "confirmed"),
    "UPDATE_REFUSED": (UPDATES, ORANGE, "X", "refused"),
    "ROLLED_BACK": (UPDATES, RED, "<", "rolled back"),
    "LOGIN_FAILED": (OTHERS, GREY, "x", "login failed"),
    "LOCKED_OUT": (OTHERS, GREY, "s", "locked out"),
}
OTHER = (OTHERS, GREY, ".", "anything else")
KNOWN = {"facecolor": PALE, "edgecolor": "white"}
UNKNOWN = {"facecolor": "white", "edgecolor": PALE, "linestyle": ":"}
SCALE = "number of the start; event after event, not to scale: between its starts the board knows no clock"
ALT = (
    "A time line of the board's log, start after start: which version ran, which updates began, arrived, were "
    "confirmed, refused or rolled back, and why, and which logins failed."
)


def time_line(log: Log) -> Figure:
    """Draw the last events of a log in their order, and which version ran, in as many lines as it takes."""
    entries, versions = log.entries[-MOST:], _versions(log.entries)[-MOST:]
    lines = -(-len(entries) // PER_LINE)
    step = -(-len(entries) // max(lines, 1))
    columns = max(step, FEWEST)
    cuts = [slice(n * step, (n + 1) * step) for n in range(lines)]
    causes = [_causes(entries[cut], columns / WIDE) for cut in cuts]
    heights = [CAUSES + LEVEL * (1 + max((level for _, level in line.values()), default=0)) for line in causes]
    height = (sum(heights) + FOOT * lines + (0.8 if lines else 0.9)) / TITLE
    title = "What the board wrote down" + (f": the last {MOST} of {len(log):,} events" if len(log) > MOST else "")
    with titled_figure(title, ALT, log.virtual, height) as figure:
        top = TITLE * height - 0.65
        for cut, line, inches in zip(cuts, causes, heights, strict=True):
            place = (LEFT / WIDTH, (top - inches) / height, WIDE / WIDTH, inches / height)
            axes = figure.add_axes(place, xlim=(-0.5, columns - 0.5), ylim=(0, inches))
            _events(axes, entries[cut], line)
            _starts(axes, entries[cut], columns / WIDE)
            _runs(axes, versions[cut], columns / WIDE)
            top -= inches + FOOT
        figure.text(LEFT / WIDTH, 0.05 / height, SCALE if lines else EMPTY, fontsize=SIZE + 1)
        _legend(figure, entries)
    return figure


def _versions(entries: Sequence[Entry]) -> list[str | None]:
    """The version that ran at each event, None where the log does not tell. In a second the order is not sure."""
    slots: dict[str, str] = {}
    runs, found = None, []
    for _, start in groupby(entries, lambda entry: entry.boot):
        events = list(start)
        after = []  # what runs from the next start on
        for entry in events:
            version, slot = entry.facts.get("version"), entry.facts.get("slot")
            if entry.event == "ROLLED_BACK":
                other = next((slots[name] for name in slots if name != slot), None)
                runs, after = (version, [other]) if entry.facts.get("step") == "confirmed" else (other, after)
            elif version and entry.event == "CONFIRMED":
                runs = slots[slot] = version
            elif version and entry.event in ("UPDATE_COMPLETE", "RESTART"):
                slots[slot], after = version, [version]
        found += [runs] * len(events)
        runs = after[0] if after else runs
    return found


def _causes(entries: Sequence[Entry], per_inch: float) -> dict[int, tuple[str, int]]:
    """What is written above marks, by their place in the line, and how high: above all that begins below it."""
    causes: dict[int, tuple[str, int]] = {}
    for place, entry in reversed([*enumerate(entries)]):
        text = _short(entry.facts.get("cause") or entry.facts.get("error"))
        if text and MARKS.get(entry.event, OTHER)[0] == UPDATES:
            end = place + _inches(text) * per_inch
            causes[place] = text, max([level + 1 for n, (_, level) in causes.items() if n < end], default=0)
    return causes


def _short(text: str | None) -> str:
    text = (text or "").encode("ascii", "replace").decode().strip()  # what the font surely has
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _inches(text: str) -> float:
    return 0.15 + TextPath((0, 0), text.replace("$", "S"), size=SIZE).get_extents().width / 72


def _spaced(texts: dict[int, str], per_inch: float) -> dict[int, str]:
    """Those texts that have their place, each from where it begins to the next one."""
    kept, end = {}, 0.0
    for place, text in texts.items():
        if text and place >= end:
            kept[place], end = text, place + _inches(text) * per_inch
    return kept


def _events(axes: Axes, entries: Sequence[Entry], causes: dict[int, tuple[str, int]]) -> None:
    """Draw a mark for each event, and above it why, each at a thin line."""
    for place, entry in enumerate(entries):
        row, color, mark, _ = MARKS.get(entry.event, OTHER)
        axes.plot(place, row, mark, color=color, markersize=8)
        if place in causes:
            text, level = causes[place]
            y = CAUSES + LEVEL * level
            axes.plot([place, place], [row, y + 0.1], color=color, linewidth=1)
            axes.text(place, y, f" {text}", fontsize=SIZE, parse_math=False)


def _starts(axes: Axes, entries: Sequence[Entry], per_inch: float) -> None:
    """Draw a line before each start, its number, and the rows."""
    boots = [entry.boot for entry in entries]
    first = {n: str(boot) for n, boot in enumerate(boots) if n == 0 or boot != boots[n - 1]}
    for place in first:
        axes.axvline(place - 0.5, color=PALE, linewidth=1, zorder=0)
    numbers = _spaced(first | {0: f"start {boots[0]}"}, per_inch)
    axes.set_xticks(list(numbers), list(numbers.values()), fontsize=SIZE)
    axes.set_yticks((OTHERS, RUNS, UPDATES), ("others", "runs", "updates"))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    sent = {n: _short(entry.facts.get("version")) for n, entry in enumerate(entries) if entry.event == "UPDATE_START"}
    for place, version in _spaced(sent, per_inch).items():
        axes.text(place - 0.06 * per_inch, NAMES, version, color=BLUE, fontsize=SIZE, parse_math=False)


def _runs(axes: Axes, versions: Sequence[str | None], per_inch: float) -> None:
    """Draw a bar for each version that ran, with its name where that fits."""
    place = -0.5
    for version, events in groupby(versions):
        width, text = len(list(events)), _short(version) or "not known"
        axes.barh(RUNS, width, left=place, height=0.26, **(KNOWN if version else UNKNOWN))
        if _inches(text) * per_inch < width:
            axes.text(place + width / 2, RUNS, text, ha="center", va="center", fontsize=SIZE, parse_math=False)
        place += width


def _legend(figure: Figure, entries: Sequence[Entry]) -> None:
    kinds = {MARKS.get(entry.event, OTHER) for entry in entries}
    keys = [
        Line2D([], [], color=color, marker=mark, linestyle="", label=word)
        for _, color, mark, word in filter(kinds.__contains__, (*MARKS.values(), OTHER))
    ]
    place = (0, TITLE - 0.25 / figure.get_figheight())
    style = {"frameon": False, "fontsize": SIZE + 1, "handletextpad": 0, "columnspacing": 0.8}
    figure.legend(handles=keys, loc="upper left", bbox_to_anchor=place, ncols=len(keys) or 1, **style)
