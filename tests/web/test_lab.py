"""The lessons as a learner sees them: JupyterLab in a browser, every cell run, a virtual board that does not wait."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbformat import NotebookNode, v4
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.color import Color

from kit.lesson.folder import lay_out
from kit.lesson.lessons import START
from kit.shown import GREEN, html_bar, html_link

# It shows each kind of output; the others have nothing that is new to a browser, and take minutes.
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("02_*.ipynb"))
RED = "[data-mime-type='application/vnd.jupyter.stderr']"  # tracebacks too
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
BROKEN = """\
from kit.progress import Progress

with Progress("flash", 10):
    pass
with Progress("upload", 10) as bar:
    bar.update(5)
    raise OSError("the link is down")
"""


class Shown(NamedTuple):
    """What stands below a cell."""

    figures: int
    full_bars: int  # green, and as wide as their track
    red: int  # errors and lines on stderr


def shown(cell: WebElement) -> Shown:
    images = cell.find_elements(By.CSS_SELECTOR, ".jp-RenderedHTML img[alt]")  # what image/png becomes has no words
    bars = cell.find_elements(By.CSS_SELECTOR, ".jp-RenderedHTML [role=progressbar][aria-valuenow='100'] > div")
    return Shown(
        figures=sum(int(image.get_property("naturalWidth")) > 0 for image in images),
        full_bars=sum(is_full(bar) for bar in bars),
        red=len(cell.find_elements(By.CSS_SELECTOR, RED)),
    )


def is_full(bar: WebElement) -> bool:
    """Tell whether a bar is as wide as its track, and green."""
    is_green = Color.from_string(bar.value_of_css_property("background-color")).hex == GREEN
    return is_green and bar.size["width"] == bar.find_element(By.XPATH, "..").size["width"] > 0


def promised(cell: NotebookNode) -> Shown:
    """What the stored outputs of a cell promise to a reader of the notebook."""
    data = [output.get("data", {}) for output in cell.outputs]
    errors = sum(output.output_type == "error" for output in cell.outputs)
    return Shown(
        figures=sum("image/png" in types for types in data),
        full_bars=0 if errors else sum(types.get("text/plain", "").count("[progress bar: ") for types in data),
        red=errors + sum(output.get("name") == "stderr" for output in cell.outputs),
    )


@pytest.mark.timeout(600)  # a whole lesson, with its uploads, on a computer that may be busy
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_lesson_runs_from_top_to_bottom(
    notebook: Path, open_lesson: Callable, started: Callable, wait_until: Callable, screenshots: Path | None
):
    cells = nbformat.read(notebook, as_version=4).cells
    code = [index for index, cell in enumerate(cells) if cell.cell_type == "code"]
    lesson = open_lesson(notebook)
    lesson.run_all()
    # Where a cell fails on purpose, JupyterLab goes on, and says at once that it is done.
    with contextlib.suppress(AssertionError):
        wait_until(lambda: all(lesson.counts()[index] for index in code), 500)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not lesson.missing_images())
    if screenshots:
        lesson.save_pages(screenshots, notebook.stem)
    for index in code:
        cell, promise = lesson.cell(index), promised(cells[index])
        with contextlib.suppress(AssertionError):
            wait_until(lambda cell=cell, promise=promise: shown(cell) == promise)  # the page lags behind the kernel
        assert shown(cell) == promise, f"cell {index}: {cell.text}"
    assert not lesson.missing_images()
    assert [lesson.counts()[index] for index in code] == list(range(1, len(code) + 1))
    running = " ".join(started().values())  # all of this has to be gone when the test has ended
    assert all(name in running for name in ("jupyter-lab", "ipykernel_launcher", "kit.virtual", "chromedriver"))


def test_the_start_page_leads_on(tmp_path: Path, open_lesson: Callable, wait_until: Callable, screenshots: Path | None):
    lay_out(tmp_path / "my_lessons")
    page = open_lesson(tmp_path / "my_lessons" / START)
    page.run_all()
    wait_until(lambda: page.counts() == [None, 1, None])
    if screenshots:
        page.save_pages(screenshots, "00_start")

    def shows(path: str) -> bool:
        return page.js("return jupyterapp.shell.currentWidget.context?.path") == path

    for cell, link, path in ((1, "01 · ", "01_flash.ipynb"), (2, "trouble", "docs/troubleshooting.md")):
        page.js("jupyterapp.commands.execute('docmanager:open', {path: arguments[0]})", START)
        wait_until(lambda: shows(START))
        wait_until(lambda cell=cell, link=link: page.cell(cell).find_elements(By.PARTIAL_LINK_TEXT, link))
        page.cell(cell).find_element(By.PARTIAL_LINK_TEXT, link).click()
        wait_until(lambda path=path: shows(path))


def test_what_goes_wrong_is_seen(tmp_path: Path, open_lesson: Callable, wait_until: Callable):
    cells = [v4.new_code_cell(BROKEN, metadata={"tags": ["raises-exception"]}), v4.new_code_cell("1 / 0")]
    cells += [v4.new_code_cell("print('not reached')"), v4.new_markdown_cell("![nothing](nowhere.png)")]
    notebook = tmp_path / "lessons" / "broken.ipynb"
    notebook.parent.mkdir()
    nbformat.write(v4.new_notebook(cells=cells, metadata=KERNEL), notebook)
    lesson = open_lesson(notebook)
    lesson.run_all()
    wait_until(lambda: lesson.counts() == [1, 2, None, None])  # the count of a cell that failed comes late
    wait_until(lambda: shown(lesson.cell(0)) == Shown(figures=0, full_bars=1, red=1))
    assert "OSError: the link is down" in lesson.cell(0).text
    wait_until(lambda: shown(lesson.cell(1)) == Shown(figures=0, full_bars=0, red=1))
    assert shown(lesson.cell(2)) == Shown(figures=0, full_bars=0, red=0)
    assert "nothing" in lesson.missing_images()[0]


def test_bar_and_link_are_there_in_a_notebook_that_only_was_opened(
    tmp_path: Path, open_lesson: Callable, wait_until: Callable, monkeypatch: pytest.MonkeyPatch
):
    """Even in one that JupyterLab does not trust, of whose HTML it keeps what is seen."""
    monkeypatch.setenv("KIT_PROXY", "/user/ada/proxy")
    html = html_bar("upload", 1, "confirmed", is_good=True)
    link = html_link("http://127.0.0.1:8000", "the board's web page")
    outputs = [v4.new_output("display_data", {"text/html": text, "text/plain": ""}) for text in (html, link)]
    cells = [v4.new_code_cell("", execution_count=1, outputs=outputs)]
    notebook = tmp_path / "lessons" / "kept.ipynb"
    notebook.parent.mkdir()
    nbformat.write(v4.new_notebook(cells=cells, metadata=KERNEL), notebook)
    lesson = open_lesson(notebook)
    wait_until(lambda: "web page" in lesson.cell(0).text)
    assert "upload" in lesson.cell(0).text
    assert is_full(lesson.cell(0).find_element(By.CSS_SELECTOR, ".jp-RenderedHTML div div div"))
    link = lesson.cell(0).find_element(By.CSS_SELECTOR, ".jp-RenderedHTML a")
    assert link.get_dom_attribute("href") == "/user/ada/proxy/8000/"
