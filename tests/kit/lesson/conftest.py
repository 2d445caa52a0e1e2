from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

import kit
from kit import origin
from kit.lesson.check import LOST, tasks

HEAD = "# 01 · Flash\n\n**What you'll need**\n- about 45 minutes\n\n![wires](images/wires.svg)"


def write_notebook(path: Path, *sources: str) -> None:
    """A notebook that was not run: the first text is Markdown, the others are code."""
    cells = [v4.new_markdown_cell(sources[0]), *map(v4.new_code_cell, sources[1:])]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(v4.new_notebook(cells=cells), path)


@pytest.fixture(scope="session")
def write() -> Callable[..., None]:
    return write_notebook


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small kit, whose files a test may change: its folder."""
    home = tmp_path / "checkout"
    for folder in ("docs", "kit", "notebooks/images", "notebooks/solutions"):
        (home / folder).mkdir(parents=True)
    write_notebook(home / "notebooks/00_start.ipynb", "# Start here\n\n[docs](../docs/help.md)", "kit.lessons()")
    write_notebook(
        home / "notebooks/01_flash.ipynb",
        HEAD,
        "slot = ...",
        "kit.check('01-slot')",
        'kit.check("01-size", names=slot)',
    )
    write_notebook(home / "notebooks/02_ota.ipynb", "# 02 · Update\n\nAsk [us](solutions/02_ota.ipynb).", "1 / 0")
    write_notebook(home / "notebooks/solutions/02_ota.ipynb", "# Solutions\n\nOf [02](../02_ota.ipynb).", "1 / 1")
    (home / "notebooks/images/wires.svg").write_text("<svg/>")
    (home / "notebooks/images/photo.png").write_bytes(b"\x89PNG of the README")
    (home / "docs/help.md").write_text("# Help\n\nSee [lesson 01](../notebooks/01_flash.ipynb), on Übung 1.\n", "utf-8")
    (home / "docs/teaching.md").write_text("# Answers\n")
    (home / "lab.example.toml").write_text('[wifi]\nssid = ""\n')
    monkeypatch.setattr(origin, "PACKAGE", home / "kit")
    return home


@pytest.fixture(scope="session")
def refuses() -> Callable[[str, dict, object], None]:
    """Function that gives a check what is no answer to it, on a board in a state of which another one is right."""

    def look(task: str, names: dict, right: object) -> None:
        name = tasks()[task].get("name")
        before = kit.check(task, {name: "anything"} if name else {})
        assert before.state == "not yet"
        assert LOST not in before.text
        if name:
            assert kit.check(task, names | {name: ...}).text.startswith("Not answered yet")
            for answer in (True, None, 1.0, b"", *([] if isinstance(right, list) else [["none"]])):
                told = kit.check(task, names | {name: answer})
                assert told.state == "wrong"
                assert "has to be" in told.text
                assert f"such as {right!r}" not in told.text or isinstance(right, str)

    return look
