from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from kit.figures.fetches import fetches
from kit.releases.journal import Request

MANIFEST = Request(1.0, "GET", "/manifest.json", 200, 0, 444, 0.01)
WHOLE = Request(1.2, "GET", "/esp32-ota-1.1.0.bin", 200, 0, 1_400_000, 14.0)
BROKEN = Request(1.2, "GET", "/esp32-ota-1.1.0.bin", 200, 0, 700_000, 7.0, True)
REST = Request(9.3, "GET", "/esp32-ota-1.1.0.bin", 206, 700_000, 700_000, 7.0)
OTHER = Request(40.0, "GET", "/esp32-ota-1.2.0-rc.1.bin", 200, 0, 1_400_000, 14.0)
SECTORS = [Request(2 + n, "GET", "/esp32-ota-1.3.0.bin", 206, 4096 * 7 * n, 8192, 0.1) for n in range(40)]


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    FigureCanvasAgg(figure).draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    extents = [(text.get_text(), text.get_window_extent()) for text in texts]
    return [(a, b) for (a, x), (b, y) in combinations(extents, 2) if x.overlaps(y)]


def crosses(figure: Figure) -> list[tuple[float, float]]:
    """Seconds and megabytes of each place at which the link broke."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() == "X" and len(line.get_xdata())]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines]


@pytest.mark.parametrize("virtual", [True, False])
@pytest.mark.parametrize(
    "requests",
    [[], [MANIFEST], [WHOLE], [MANIFEST, WHOLE], [MANIFEST, BROKEN, REST, OTHER], SECTORS, [WHOLE, *SECTORS, OTHER]],
)
def test_no_text_covers_another(requests: list[Request], virtual: bool):
    figure = fetches(requests, virtual)
    assert overlaps(figure) == []
    assert ("virtual board" in words(figure)) == virtual
    assert ("Nobody has asked yet." in words(figure)) == (not requests)


def test_a_fetch_that_broke_and_went_on():
    figure = fetches([MANIFEST, BROKEN, REST], False)
    assert "3 requests, 1.4 MB of images, 1 broken off" in words(figure)
    assert crosses(figure) == [(pytest.approx(7.2), 0.7)]
    lines = [line.get_xydata().tolist() for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert [[pytest.approx(8.3), 0.7], [pytest.approx(15.3), 1.4]] in lines


def test_one_that_did_not_break():
    figure = fetches([MANIFEST, WHOLE], False)
    assert "2 requests, 1.4 MB of images" in words(figure)
    assert "broke" not in words(figure)
    assert crosses(figure) == []
    assert "1 request, 0.0 MB" in words(fetches([MANIFEST], False))


def test_what_it_says_in_words():
    """The same in every run, as strict nbval compares it."""
    alt = repr(fetches([MANIFEST, BROKEN, REST], True))
    assert alt == repr(fetches([MANIFEST], True))
    assert alt.startswith("Which bytes of the image the server sent over the seconds")
    assert alt.endswith("The numbers are a virtual board's.")
