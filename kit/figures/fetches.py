"""Which bytes of an image a server of releases sent when."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kit.figures.style import BLUE, GREEN, GREY, MB, ORANGE, PALE, PURPLE, titled_figure
from kit.releases.journal import Request

COLOURS = (BLUE, GREEN, PURPLE)  # of one image after the other
FLOOR = -0.07  # of the height, for what is no image
ALT = (
    "Which bytes of the image the server sent over the seconds: one line for each request, a cross where the link "
    "broke, and below them marks for what else was asked for, as the manifest."
)
NOBODY = "Nobody has asked yet."


def fetches(requests: Sequence[Request], virtual: bool) -> Figure:
    """Draw the place in the image over the seconds, a line for each request, and crosses where the link broke."""
    images = [request for request in requests if request.is_of_image and request.sent]
    broken, sent = sum(request.is_broken for request in images), sum(request.sent for request in images)
    count = f"{len(requests):,} request{'' if len(requests) == 1 else 's'}"
    title = f"{count}, {sent / MB:,.1f} MB of images" + (f", {broken} broken off" if broken else "")
    with titled_figure(title, ALT, virtual, 3.6) as figure:
        axes = figure.subplots(gridspec_kw={"left": 0.08, "right": 0.98, "top": 0.8, "bottom": 0.17})
        if requests:
            _draw(axes, requests, images)
        else:
            axes.text(0.5, 0.5, NOBODY, ha="center", transform=axes.transAxes)
            axes.set(xticks=[], yticks=[])
    return figure


def _draw(axes: Axes, requests: Sequence[Request], images: Sequence[Request]) -> None:
    start = requests[0].time
    names = list(dict.fromkeys(request.path for request in images))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    height = max((request.first + request.sent for request in images), default=MB) / MB
    for request in images:
        times = [request.time - start, request.time - start + request.seconds]
        places = [request.first / MB, (request.first + request.sent) / MB]
        colour = colours[request.path]
        axes.plot(times, places, color=colour, linewidth=2.5)
        axes.fill_between(times, places, places[0], color=colour, alpha=0.2)
        axes.plot(times[0], places[0], "|", color=colour, markersize=9)
        if request.is_broken:
            axes.plot(times[1], places[1], "X", color=ORANGE, markersize=10, clip_on=False)
            axes.axhline(places[1], color=PALE, linestyle="--", zorder=0)
    others = [request.time - start for request in requests if request not in images]
    axes.plot(others, [FLOOR * height] * len(others), "|", color=GREY, markersize=9)
    end = max(request.time - start + request.seconds for request in requests)
    axes.set(xlim=(-0.02 * end, 1.02 * end or 1), ylim=(2 * FLOOR * height, height * 1.08))
    axes.set(ylabel="place in the image, MB", xlabel="seconds since the first request")
    axes.spines["bottom"].set_position(("axes", 0))
    _legend(axes, colours, bool(others), any(request.is_broken for request in images))


def _legend(axes: Axes, colours: dict[str, str], has_others: bool, has_broken: bool) -> None:
    for name, colour in list(colours.items())[: len(COLOURS)]:
        axes.plot([], [], color=colour, linewidth=2.5, label=name.removeprefix("/"))
    if has_broken:
        axes.plot([], [], "X", color=ORANGE, markersize=10, label="the link broke")
    if has_others:
        axes.plot([], [], "|", color=GREY, markersize=9, label="manifest and others")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=5, frameon=False, borderaxespad=0.2)
