import io
import re
import sys
from types import SimpleNamespace

import IPython
import IPython.display
import nbclient
import nbformat
import pytest

from kit.progress import LINE, Progress
from kit.shown import GREEN, RED, html_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch):
    monkeypatch.setattr("kit.progress.time", SimpleNamespace(monotonic=lambda: 0.0))


@pytest.fixture
def shown(monkeypatch):
    """What a fake kernel displayed and put in its place, each with its text form at that moment."""
    shown = []

    def display(what: object, display_id: bool = False) -> SimpleNamespace:
        shown.append((what, repr(what)))
        return SimpleNamespace(update=display)

    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr(IPython.display, "display", display)
    return shown


def attributes(html: str) -> dict[str, str]:
    """What a screen reader gets of a bar, how wide it is, and in which colour."""
    [track, bar] = re.findall(r"<div [^>]*?(?:role=|width: [\d.]+%)[^>]*>", html)
    return dict(re.findall(r'(\S+)="(.*?)"', track)) | dict(re.findall(r"(width|color): ([^;\"]*)", bar))


def test_widget_is_displayed_once_at_zero_and_reaches_its_end(shown, capsys):
    with Progress("upload", 1000) as bar:
        [(box, _)] = shown
        label, gauge, text = box.children
        assert (label.value, gauge.value, text.value) == ("upload", 0, "")
        bar.update(250, "write")
        assert gauge.value == pytest.approx(gauge.max / 4)
        assert text.value == "write · 25% · 250 of 1,000 bytes · 0 s"
        bar.update(500)
        assert text.value == "write · 50% · 500 of 1,000 bytes · 0 s"
        assert len(shown) == 1
    assert gauge.value == gauge.max
    assert capsys.readouterr() == ("", "")


def test_html_takes_the_place_of_the_widget_when_it_has_ended(shown):
    with Progress("upload", 1000):
        pass
    [(_, text), (end, text_of_end)] = shown
    assert text == text_of_end == "[progress bar: upload]"
    found = attributes(end._repr_html_())
    assert (found["role"], found["aria-label"]) == ("progressbar", "upload")
    assert [found[f"aria-value{name}"] for name in ("min", "now", "max")] == ["0", "100", "100"]
    assert (found["width"], found["color"]) == ("100.00%", GREEN)
    assert end._repr_html_().endswith("<div>100% · 1,000 of 1,000 bytes · 0 s</div></div>")


def test_a_label_is_text_and_not_html():
    assert "<b>" not in html_bar('"<b>', 0.5, "<b>", is_good=True)
    assert 'aria-label="&quot;&lt;b&gt;"' in html_bar('"<b>', 0.5, "", is_good=True)


def test_it_counts_other_things_than_bytes(shown):
    with Progress("power cuts", 1067, "cuts") as bar:
        bar.update(534, "533 old, 1 new")
        assert shown[0][0].children[2].value == "533 old, 1 new · 50% · 534 of 1,067 cuts · 0 s"


def test_text_form_of_the_widget_does_not_depend_on_the_size(shown):
    for size in (1000, 1_380_352):
        with Progress("upload", size):
            pass
    assert len({text for _, text in shown}) == 1


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_it_stays_where_an_error_stopped_it(shown, error):
    bar = Progress("upload", 1000)
    bar.update(400)
    bar.__exit__(error, error(), None)
    html = shown[1][0]._repr_html_()
    found = attributes(html)
    assert (found["aria-valuenow"], found["width"], found["color"]) == ("40", "40.00%", RED)
    assert "<div>40% · 400 of 1,000 bytes · 0 s</div>" in html


def test_terminal_gets_one_line_on_stderr(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress("flash", 1000) as bar:
        bar.update(500, "write")
        half = sys.stderr.getvalue().rpartition("\r")[2]
    text = sys.stderr.getvalue()
    assert half.startswith(f"flash [{'#' * 15}{'.' * 15}] write · 50% · 500 of 1,000")
    assert f"[{'#' * 30}] write · 100% · 1,000 of 1,000" in text
    assert text.count("\n") == 1
    assert all(len(line.rstrip("\n")) <= LINE for line in text.split("\r"))
    assert capsys.readouterr().out == ""


def test_silent_without_a_terminal(capsys):
    with Progress("flash", 1000) as bar:
        bar.update(500)
    assert capsys.readouterr() == ("", "")


def test_silent_without_a_stderr(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with Progress("flash", 1000) as bar:
        bar.update(500)


def test_more_than_all_is_all(shown):
    with Progress("flash", 1000) as bar:
        bar.update(4096)
        assert shown[0][0].children[2].value == "100% · 1,000 of 1,000 bytes · 0 s"


def test_nothing_to_do_is_done(shown):
    with Progress("flash", 0):
        pass
    assert shown[0][0].children[1].value == 1


def test_nothing_is_done_until_one_knows_how_much_there_is(shown):
    with Progress("fetch", 0) as bar:
        text = shown[0][0].children[2]
        bar.update(0, "looking")
        assert text.value == "looking · 0% · 0 of 0 bytes · 0 s"
        bar.update(250, "write", 1000)
        assert text.value == "write · 25% · 250 of 1,000 bytes · 0 s"
    assert text.value == "write · 100% · 1,000 of 1,000 bytes · 0 s"


def test_a_bar_that_is_stopped_ends_as_after_an_error(shown):
    with Progress("fetch", 1000) as bar:
        bar.update(250)
        bar.stop()
    found = attributes(shown[-1][0]._repr_html_())
    assert (found["aria-valuenow"], found["color"]) == ("25", RED)


def test_in_a_real_kernel():
    """A cell shows one bar and one figure, leaves nothing that differs from run to run, and needs no kernel then."""
    bar = "from kit.progress import Progress\nwith Progress('upload', 8) as bar:\n    bar.update(4, 'write')"
    figure = "from kit.image.table import MICROPYTHON_OTA\nMICROPYTHON_OTA.plot()"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (bar, figure)])
    nbclient.NotebookClient(book, timeout=60, kernel_name="python3").execute()
    [shown], [picture] = (cell.outputs for cell in book.cells)
    assert shown.data.keys() == {"text/plain", "text/html"}
    assert shown.data["text/plain"] == "[progress bar: upload]"
    assert attributes(shown.data["text/html"])["aria-valuenow"] == "100"
    assert "image/png" in picture.data
