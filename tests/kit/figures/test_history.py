import random
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from kit.figures.history import _versions, time_line
from kit.figures.style import BLUE, GREEN, GREY, ORANGE, RED
from kit.ota.log import Entry, Log

CAUSES = ["NameError in main.py, line 12", "the watchdog: it was not fed for a minute", "it went to deep sleep"]


def entry(event: str, boot: int = 1, **facts: object) -> Entry:
    return Entry(boot, 5, event, None, None, facts)


def story(count: int, seed: int = 1) -> list[Entry]:
    """What a board goes through whose learner breaks much."""
    chance, entries, boot, slot = random.Random(seed), [], 998, 1
    while len(entries) < count:
        what = {"version": f"1.{len(entries)}.0-rc.1", "slot": f"ota_{slot}"}
        entries += [entry("LOGIN_FAILED", boot)] * chance.choice([0, 0, 3]) + [entry("LOGIN_SUCCESS", boot)]
        entries.append(entry("UPDATE_START", boot, **what))
        match chance.choice(["refused", "cut", "back", "good", "locked"]):
            case "refused":
                entries.append(entry("UPDATE_REFUSED", boot, error="UPDATE_ERROR_MD5"))
            case "cut":
                boot += 1
                entries.append(entry("UPDATE_REFUSED", boot, cause="the power went, or EN was pressed", **what))
            case "back":
                entries.append(entry("UPDATE_COMPLETE", boot, **what))
                boot += 2
                entries.append(entry("ROLLED_BACK", boot, step="found", cause=chance.choice(CAUSES), **what))
            case "good":
                entries.append(entry("UPDATE_COMPLETE", boot, **what))
                boot, slot = boot + 1, 1 - slot
                entries.append(entry("CONFIRMED", boot, **what))
            case "locked":
                entries.append(entry("LOCKED_OUT", boot))
    return entries[:count]


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Texts that cover each other, the numbers of the starts among them."""
    FigureCanvasAgg(figure).draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    extents = [(text.get_text(), text.get_window_extent()) for text in texts]
    return [(a, b) for (a, x), (b, y) in combinations(extents, 2) if x.overlaps(y)]


def marks(figure: Figure) -> list[str]:
    """The colours of the marks, in the order of the events."""
    lines = [line for axes in figure.axes for line in axes.lines if len(line.get_xdata()) == 1]
    return [to_hex(line.get_color()).upper() for line in lines]


@pytest.mark.parametrize("virtual", [True, False])
@pytest.mark.parametrize("count", [0, 1, 2, 24, 25, 26, 60, 200, 250, 251, 1800])
def test_no_text_covers_another(count: int, virtual: bool):
    figure = time_line(Log(tuple(story(count)), virtual))
    assert overlaps(figure) == []
    assert ("virtual board" in words(figure)) == virtual
    assert len(marks(figure)) == min(count, 250)
    assert ("the last 250 of " in words(figure)) == (count > 250)
    assert ("not to scale" in words(figure)) == (count > 0)
    assert ("written nothing down" in words(figure)) == (count == 0)


@pytest.mark.parametrize("seed", range(5))
def test_no_text_covers_another_whatever_happens(seed: int):
    assert overlaps(time_line(Log(tuple(story(60, seed)), False))) == []


@pytest.mark.parametrize("event", ["ROLLED_BACK", "UPDATE_REFUSED", "UPDATE_START", "CONFIRMED", "LOCKED_OUT", "x"])
def test_the_same_again_and_again(event: str):
    facts = {"version": "1.1.0-rc.1", "slot": "ota_1", "cause": CAUSES[0]}
    assert overlaps(time_line(Log(tuple(entry(event, boot, **facts) for boot in range(60)), False))) == []


def test_each_event_has_its_colour():
    events = {"UPDATE_START": BLUE, "UPDATE_COMPLETE": BLUE, "CONFIRMED": GREEN, "UPDATE_REFUSED": ORANGE}
    events |= {"ROLLED_BACK": RED, "LOGIN_FAILED": GREY, "LOCKED_OUT": GREY, "CONFIG": GREY, "": GREY}
    figure = time_line(Log(tuple(map(entry, events)), False))
    assert marks(figure) == list(events.values())
    keys = ["update begins", "has arrived", "confirmed", "refused", "rolled back", "login failed", "locked out"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*keys, "anything else"]


def test_legend_has_only_what_there_is():
    figure = time_line(Log((entry("CONFIRMED"),), False))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["confirmed"]


def test_causes_versions_and_starts_are_written():
    what = {"version": "1.1.0", "slot": "ota_1"}
    entries = [entry("LOGIN_SUCCESS", 12), entry("UPDATE_START", 12, **what), entry("UPDATE_COMPLETE", 12, **what)]
    entries += [
        entry("ROLLED_BACK", 14, cause=CAUSES[0], **what),
        entry("UPDATE_REFUSED", 14, error="UPDATE_ERROR_MD5"),
    ]
    texts = [line.strip() for line in words(time_line(Log(tuple(entries), False))).split("\n")]
    assert {"start 12", "14", "1.1.0", CAUSES[0], "UPDATE_ERROR_MD5", "not known"} <= set(texts)


def test_text_is_the_same_in_every_run():
    assert repr(time_line(Log(tuple(story(60)), False))) == repr(time_line(Log((), False)))
    assert "rolled back, and why" in repr(time_line(Log((), False)))
    assert repr(time_line(Log((), True))).endswith("The numbers are a virtual board's.")


@pytest.mark.parametrize(
    "text", ["$", "$x$", "$\\frac$", "\\", "{}", "<b>", " ", "é", "漢字" * 30, "\N{PILE OF POO}", "W" * 300]
)
def test_texts_that_are_no_plain_ones(text: str, recwarn: pytest.WarningsRecorder):
    facts = {"version": text, "slot": text, "cause": text}
    log = Log(tuple(entry(event, **facts) for event in ("UPDATE_START", "ROLLED_BACK", "CONFIRMED", text)), True)
    assert log.plot()._repr_html_()
    assert [str(warning.message) for warning in recwarn] == []


A, B = {"version": "1.1.0", "slot": "ota_1"}, {"version": "1.2.0", "slot": "ota_0"}


@pytest.mark.parametrize(
    ("entries", "versions"),
    [
        ([], []),
        ([entry("CONFIG")], [None]),
        ([entry("CONFIG"), entry("CONFIRMED", **A)], ["1.1.0", "1.1.0"]),
        ([entry("UPDATE_COMPLETE", **A), entry("CONFIG", 2)], [None, "1.1.0"]),
        ([entry("UPDATE_COMPLETE", **A), entry("ROLLED_BACK", 3, **A)], [None, None]),
        ([entry("CONFIRMED", **A), entry("UPDATE_COMPLETE", **B), entry("ROLLED_BACK", 3, **B)], ["1.1.0"] * 3),
        ([entry("CONFIRMED", **A), entry("UPDATE_COMPLETE", **B), entry("CONFIRMED", 2, **B), entry("CONFIG", 3)],
         ["1.1.0", "1.1.0", "1.2.0", "1.2.0"]),
        # given up after it was confirmed: it writes that itself, before the other one starts
        ([entry("CONFIRMED", **A), entry("CONFIRMED", 2, **B), entry("ROLLED_BACK", 3, step="confirmed", **B),
          entry("CONFIG", 4)], ["1.1.0", "1.2.0", "1.2.0", "1.1.0"]),
        ([entry("CONFIRMED", **B), entry("RESTART", **A), entry("CONFIG", 2)], ["1.2.0", "1.2.0", "1.1.0"]),
        ([entry("CONFIRMED", **B), entry("RESTART"), entry("CONFIG", 2)], ["1.2.0"] * 3),
        # of the same second the log may have the second event first
        ([entry("RESTART", **A), entry("CONFIRMED", **B), entry("CONFIG", 2)], ["1.2.0", "1.2.0", "1.1.0"]),
    ],
)  # fmt: skip
def test_version_that_ran(entries: list[Entry], versions: list[str | None]):
    assert _versions(entries) == versions
