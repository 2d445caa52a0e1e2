import io
import sys
from types import SimpleNamespace

import IPython
import IPython.display
import nbclient
import nbformat
import pytest

from kit.progress import LINE, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch):
    monkeypatch.setattr("kit.progress.time", SimpleNamespace(monotonic=lambda: 0.0))


@pytest.fixture
def shown(monkeypatch):
    """What a fake kernel displayed, each with its text form at that moment."""
    shown = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setattr(IPython.display, "display", lambda widget: shown.append((widget, repr(widget))))
    return shown


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
    assert gauge.value == gauge.max
    assert gauge.bar_style == "success"
    assert len(shown) == 1
    assert capsys.readouterr() == ("", "")


def test_it_counts_other_things_than_bytes(shown):
    with Progress("power cuts", 1067, "cuts") as bar:
        bar.update(534, "533 old, 1 new")
        assert shown[0][0].children[2].value == "533 old, 1 new · 50% · 534 of 1,067 cuts · 0 s"


def test_text_form_of_the_widget_does_not_depend_on_the_size(shown):
    for size in (1000, 1_380_352):
        with Progress("upload", size):
            pass
    assert shown[0][1] == shown[1][1]


def test_widget_stays_where_an_error_stopped_it(shown):
    bar = Progress("upload", 1000)
    bar.update(400)
    bar.__exit__(OSError, OSError("gone"), None)
    _, gauge, text = shown[0][0].children
    assert (gauge.value, gauge.bar_style) == (pytest.approx(0.4), "danger")
    assert text.value == "40% · 400 of 1,000 bytes · 0 s"


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


def test_in_a_real_kernel():
    """A cell shows one widget and one figure, and leaves nothing that differs from run to run."""
    bar = "from kit.progress import Progress\nwith Progress('upload', 8) as bar:\n    bar.update(4, 'write')"
    figure = "from kit.image.table import MICROPYTHON_OTA\nMICROPYTHON_OTA.plot()"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (bar, figure)])
    nbclient.NotebookClient(book, timeout=60, kernel_name="python3").execute()
    [widget], [picture] = (cell.outputs for cell in book.cells)
    assert "application/vnd.jupyter.widget-view+json" in widget.data
    assert widget.data["text/plain"] == "[progress bar: upload]"
    assert "image/png" in picture.data
    states = book.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    [gauge] = [state["state"] for state in states if state["model_name"] == "FloatProgressModel"]
    assert gauge["value"] == gauge["max"] == 1
