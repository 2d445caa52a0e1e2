"""How fast an upload went, and what a link did to it."""

from collections.abc import Mapping
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit.figures.style import BLUE, GREY, KB, MB, ORANGE, PALE, PURPLE, seconds_text, size_text, titled_figure
from kit.ota.result import UploadResult


def throughput(result: UploadResult) -> Figure:
    """Draw the bytes that the board acknowledged over the seconds of an upload, its phases, and the speed in kB/s."""
    phases = _phases(result)
    written, _, answered, *_ = phases.values()
    # The board's own clock says when it had written all: later than that no sample counts.
    points = list({min(t, written): done for t, _, done, _ in result.samples}.items())
    alt = f"The bytes of {result.version} that the board has written over the seconds, and below it the speed."
    title = f"{result.version} into {result.slot}: {result.bytes:,} bytes"
    with titled_figure(title, alt, result.virtual, 5.2) as figure:
        grid = {"left": 0.1, "right": 0.98, "top": 0.84, "bottom": 0.11, "hspace": 0.14}
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2), gridspec_kw=grid)
        _spans(top, phases)
        _spans(bottom, phases)
        top.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=4, frameon=False)
        times, sizes = zip(*points, (answered, result.bytes), strict=True)
        top.plot(times, [size / MB for size in sizes], color=BLUE, linewidth=2.5, marker="o", markersize=4)
        top.set(ylim=(0, result.bytes / MB * 1.12), ylabel="MB written\nby the board")
        _speed(bottom, points)
    return figure


def compare_links(results: Mapping[str, UploadResult]) -> Figure:
    """Draw the bytes that the board has written over the seconds, side by side for each named upload."""
    virtual = any(result.virtual for result in results.values())
    alt = "The bytes that the board has written over the seconds, one curve for each link: " + ", ".join(results) + "."
    with titled_figure("What the link does to an upload", alt, virtual, 3.6) as figure:
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
    """Draw the bytes that the slot has over the seconds, one try after the other until one arrived."""
    tries = [*result.broken, result.samples]
    sent = sum(samples[-1][1] for samples in tries)
    count = f"{len(tries)} tries" if result.broken else "1 try"
    title = f"{count}, {size_text(sent)} for an image of {size_text(result.bytes)}"
    alt = "The bytes that the slot has over the seconds, try after try; each begins at zero."
    with titled_figure(title, alt, result.virtual, 3.6) as figure:
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
        axes.set(xlim=0, ylim=(0, result.bytes / MB * 1.15), ylabel="MB in the slot", xlabel="seconds of uploading")
    return figure


def _phases(result: UploadResult) -> dict[str, float]:
    """The end of each phase by its text, laid backwards from the moment at which the board's answer came."""
    receive, write, verify, commit = (result.seconds[name] for name in ("receive", "write", "verify", "commit"))
    answered = result.samples[-1][0]
    phases = {  # the first two take turns, block by block
        f"receive + write {seconds_text(receive)} + {seconds_text(write)}": answered - commit - verify,
        f"verify {seconds_text(verify)}": answered - commit,
        f"commit {seconds_text(commit)}": answered,
    }
    if restart := result.restart_seconds:
        phases[f"restart {seconds_text(restart)}"] = answered + restart
    return phases


def _spans(axes: Axes, phases: dict[str, float]) -> None:
    ends = [0.0, *phases.values()]
    for text, span, color in zip(phases, pairwise(ends), (BLUE, ORANGE, PURPLE, GREY), strict=False):
        axes.axvspan(*span, color=color, alpha=0.25, linewidth=0, label=text)
    axes.set_xlim(0, ends[-1])


def _speed(axes: Axes, points: list[tuple[float, int]]) -> None:
    rates = [(after[1] - before[1]) / KB / (after[0] - before[0]) for before, after in pairwise(points)]
    axes.stairs(rates, [t for t, _ in points], fill=True, color=BLUE, alpha=0.45)
    written, done = points[-1]
    mean = done / KB / written
    axes.plot([0, written], [mean, mean], color="black", linewidth=1)
    wide = written > 0.3 * axes.get_xlim()[1]
    place = {"x": written / 2, "ha": "center"} if wide else {"x": written, "ha": "left"}
    box = {"facecolor": "white", "pad": 3}
    axes.text(y=mean, s=f"mean {mean:,.0f} kB/s", va="center", bbox=box, **place)
    axes.set(ylim=(0, max(rates) * 1.2), ylabel="kB/s", xlabel="seconds since the upload began")
