"""When boards look for updates in the hours in which they may."""

from collections import Counter
from collections.abc import Sequence

from matplotlib.figure import Figure

from kit.figures.style import BLUE, PALE, titled_figure

MINUTE, DAY = 60, 24 * 60
BAR = 10  # minutes
FEW = 24  # hours at which the axis has names
ALT = "Of {boards} boards, how many begin to look in each {bar} minutes of the window from {start} to {end}: {counts}."


def looks(window: str, moments: Sequence[float]) -> Figure:
    """Draw how many boards begin in each ten minutes of a window.

    Args:
        window: as "02:00-04:00".
        moments: seconds after it opens, one a board.
    """
    start, end = (int(text[:2]) * 60 + int(text[3:]) for text in window.split("-"))
    length = (end - start) % DAY or DAY
    found = Counter(int(moment // MINUTE) // BAR for moment in moments)
    counts = [found[number] for number in range(-(-length // BAR))]
    alt = ALT.format(
        boards=len(moments), bar=BAR, start=_clock(start), end=_clock(end), counts=", ".join(map(str, counts))
    )
    title = f"{len(moments)} boards, one window: {_clock(start)} to {_clock(end)}"
    with titled_figure(title, alt, False, 3.2) as figure:
        axes = figure.subplots(gridspec_kw={"left": 0.08, "right": 0.98, "top": 0.8, "bottom": 0.2})
        axes.bar([number * BAR for number in range(len(counts))], counts, BAR * 0.9, align="edge", color=BLUE)
        axes.plot([moment / MINUTE for moment in moments], [-0.35] * len(moments), "|", color=BLUE, markersize=8)
        axes.axhline(0, color=PALE, linewidth=1)
        hours = range(0, length + 1, max(30, length // FEW))
        axes.set_xticks(hours, [_clock(start + minutes) for minutes in hours])
        axes.set(xlim=(0, length), ylim=(-0.8, max(counts, default=0) + 0.8), ylabel=f"boards in {BAR} minutes")
        axes.set_yticks(range(0, max(counts, default=0) + 1, 2))
        axes.set_xlabel("local time; below, a mark for each board")
    return figure


def _clock(minutes: int) -> str:
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"
