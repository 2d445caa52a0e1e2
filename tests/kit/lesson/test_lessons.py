import re
from collections.abc import Callable
from pathlib import Path

import pytest

import kit
from kit.lesson.progress import FILE

README = (Path(__file__).parents[3] / "README.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("checkout")
def test_what_there_is(cells: Callable):
    rows = [["lesson", "time", "right answers"], ["01 · Flash", "45 min", "none yet"], ["02 · Update", "", "none yet"]]
    assert [re.split(r"  +", line) for line in repr(kit.lessons()).splitlines()] == [
        list(filter(None, row)) for row in rows
    ]
    html = kit.lessons()._repr_html_()
    assert '<a href="01_flash.ipynb">01 · Flash</a>' in html
    assert cells(re.sub("</?a.*?>", "", html)) == rows


@pytest.mark.usefixtures("checkout")
def test_what_is_done(here: Path):
    (here / FILE).write_text('{"01-slot": "right", "01-size": "wrong", "01-gone": "right", "02-slot": "right"}')
    assert re.findall(r"\d of \d|none yet", repr(kit.lessons())) == ["1 of 2", "none yet"]
    (here / FILE).write_text('{"01-slot": "right", "01-size": "right"}')
    assert re.findall(r"\d of \d|none yet", repr(kit.lessons())) == ["2 of 2", "none yet"]
    (here / FILE).write_text("broken")
    assert re.findall(r"\d of \d|none yet", repr(kit.lessons())) == ["none yet", "none yet"]


def test_names_are_shown_as_they_are(checkout: Path, write: Callable):
    write(checkout / "notebooks/03_<b>.ipynb", "No head line", "")
    write(checkout / "notebooks/04_more.ipynb", "# 04 · A & <b>", "")
    html = kit.lessons()._repr_html_()
    assert '<a href="03_&lt;b&gt;.ipynb">03_&lt;b&gt;</a>' in html
    assert "04 · A &amp; &lt;b&gt;" in html


def test_readme_names_the_same_times():
    lessons = kit.lessons().lessons
    assert len(lessons) > 3
    for lesson in lessons:
        assert re.search(rf"^\| \[.*\(notebooks/{lesson.file}\) \|.*\| {lesson.time} \|$", README, re.MULTILINE), lesson
