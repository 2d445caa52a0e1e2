import pytest

from kit.errors import BoardError
from kit.figures.window import looks
from kit.ota.fetching import Fetching, State

STATE = State("idle", None, None, None, None, 0, None, None)


def names(figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_boards_are_counted_in_ten_minutes():
    figure = looks("02:00-04:00", [0, 599.9, 600, 5399])
    assert [bar.get_height() for bar in figure.axes[0].patches] == [2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert names(figure) == ["02:00", "02:30", "03:00", "03:30", "04:00"]
    assert figure.alt == (
        "Of 4 boards, how many begin to look in each 10 minutes of the window from 02:00 to 04:00: "
        "2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0."
    )


@pytest.mark.parametrize(
    ("window", "first", "last", "bars"),
    [("23:30-00:15", "23:30", "00:00", 5), ("12:00-12:00", "12:00", "12:00", 144)],
)
def test_across_midnight_and_a_whole_day(window: str, first: str, last: str, bars: int):
    figure = looks(window, [])
    assert len(figure.axes[0].patches) == bars
    assert (names(figure)[0], names(figure)[-1]) == (first, last)


def test_a_board_without_a_window():
    settings = ("http://127.0.0.1:1/manifest.json", None, False, None, None, "UTC0", None, None, False)
    with pytest.raises(BoardError, match=r"^This board has no window\. ota\.fetch_from"):
        Fetching(*settings, STATE).plot([0])
