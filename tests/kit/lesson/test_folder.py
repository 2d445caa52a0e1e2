import errno
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from kit.errors import LessonError
from kit.lesson import folder
from kit.lesson.folder import lay_out
from kit.lesson.progress import RECORD

LINK = re.compile(r'(?:]\(|(?:href|src)=")(?!https?:|data:|#)([^)#"\s]+)')
STUDENTS = {"00_start.ipynb", "01_flash.ipynb", "02_ota.ipynb", "docs/help.md", "images/wires.svg"}
STUDENTS |= {".gitignore", "lab.example.toml", "lab.toml", RECORD}
TEACHERS = {"docs/teaching.md", "solutions/02_ota.ipynb"}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "my_lessons"


def files(place: Path) -> dict[str, bytes]:
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def edit(notebook: Path, source: str = "my answer") -> None:
    """Type into the last cell."""
    content = nbformat.read(notebook, as_version=4)
    content.cells[-1].source = source
    nbformat.write(content, notebook)


def run(notebook: Path) -> None:
    """Change what Jupyter changes when a notebook is run and saved."""
    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = 7, [v4.new_output("stream", text="of my board")]
            cell.metadata["execution"] = {"iopub.status.busy": "now"}
    content.metadata |= {"widgets": {"state": {}}, "language_info": {"name": "python", "version": "3.13.1"}}
    nbformat.write(content, notebook)


@pytest.mark.usefixtures("checkout")
@pytest.mark.parametrize(("solved", "names"), [(False, STUDENTS), (True, STUDENTS | TEACHERS)])
def test_what_there_is(mine: Path, solved: bool, names: set[str]):
    laid = lay_out(mine, solved)
    assert set(files(mine)) == names
    assert set(laid.written) == names - {RECORD}
    assert "Übung" in (mine / "docs/help.md").read_text("utf-8")
    assert stat.S_IMODE((mine / "lab.toml").stat().st_mode) == 0o600 or sys.platform == "win32"


@pytest.mark.usefixtures("checkout")
def test_the_solutions_come_later(mine: Path):
    lay_out(mine)
    assert set(lay_out(mine, solved=True).written) == TEACHERS
    assert lay_out(mine).written == []
    assert set(files(mine)) == STUDENTS | TEACHERS


def links(text: str) -> list[str]:
    return LINK.findall(text.replace('\\"', '"'))  # as a notebook has it


@pytest.mark.parametrize("solved", [False, True])
def test_links_lead_somewhere(mine: Path, solved: bool):
    lay_out(mine, solved)
    found = {
        (path, link)
        for path in [*mine.rglob("*.ipynb"), *mine.rglob("*.md")]
        for link in links(path.read_text("utf-8"))
    }
    assert [f"{path}: {link}" for path, link in found if not (path.parent / link).is_file()] == []
    led_to = {(path.parent / link).resolve().relative_to(mine).as_posix() for path, link in found}
    assert {"01_flash.ipynb", "docs/troubleshooting.md", "images/wiring.svg"} <= led_to


@pytest.mark.usefixtures("checkout")
def test_links_are_set_right(mine: Path):
    lay_out(mine)
    assert links((mine / "00_start.ipynb").read_text()) == ["docs/help.md"]
    assert "Ask us." in (mine / "02_ota.ipynb").read_text()
    assert links((mine / "docs/help.md").read_text("utf-8")) == ["../01_flash.ipynb"]


@pytest.mark.usefixtures("checkout")
def test_once_more_changes_nothing(mine: Path):
    lay_out(mine)
    before = files(mine)
    laid = lay_out(mine)
    assert (laid.written, laid.beside, files(mine)) == ([], {}, before)
    assert "up to date" in str(laid)


@pytest.fixture
def newer(checkout: Path, mine: Path, write: Callable) -> Callable[[str], None]:
    """Function that makes a newer kit; the lessons of the first one are laid out."""
    lay_out(mine)

    def make(text: str) -> None:
        write(checkout / "notebooks/02_ota.ipynb", f"# 02 · Update, {text}", "1 / 0")
        (checkout / "docs/help.md").write_text(f"# Help, {text}\n")
        (checkout / "notebooks/images/wires.svg").write_text(f"<svg>{text}</svg>")

    return make


def test_what_was_not_changed_is_updated(newer: Callable, mine: Path):
    newer("improved")
    run(mine / "02_ota.ipynb")
    laid = lay_out(mine)
    assert (laid.written, laid.beside) == (["02_ota.ipynb", "images/wires.svg", "docs/help.md"], {})
    assert all("improved" in (mine / name).read_text("utf-8") for name in laid.written)
    assert set(files(mine)) == STUDENTS


def test_outputs_stay_while_the_cells_are_the_same(newer: Callable, checkout: Path, mine: Path):
    run(mine / "01_flash.ipynb")
    run(checkout / "notebooks/01_flash.ipynb")  # the kit was run anew
    before = files(mine)
    assert lay_out(mine).written == []
    assert files(mine) == before


@pytest.mark.parametrize("then", [edit, run, lambda path: path.write_text('{"cells": [')], ids=["more", "run", "cut"])
def test_what_was_changed_stays(newer: Callable, mine: Path, then: Callable):
    edit(mine / "02_ota.ipynb")
    then(mine / "02_ota.ipynb")
    (mine / "docs/help.md").write_text("my notes")
    typed = (mine / "02_ota.ipynb").read_bytes()
    assert lay_out(mine).beside == {}  # nothing is new
    newer("improved")
    laid = lay_out(mine)
    assert laid.beside == {"02_ota.ipynb": "02_ota.new.ipynb", "docs/help.md": "docs/help.new.md"}
    assert "You changed 02_ota.ipynb, so it stays; the kit's is now 02_ota.new.ipynb." in str(laid)
    (mine / "docs/help.new.md").unlink()  # seen
    assert (lay_out(mine).written, lay_out(mine).beside) == ([], {})
    assert (mine / "02_ota.ipynb").read_bytes() == typed
    assert (mine / "docs/help.md").read_text() == "my notes"
    assert "improved" in (mine / "02_ota.new.ipynb").read_text("utf-8")
    assert set(files(mine)) == STUDENTS | {"02_ota.new.ipynb"}


def test_the_new_one_is_nobodys_until_it_is_changed(newer: Callable, mine: Path):
    edit(mine / "02_ota.ipynb", "in the first")
    for text in ("second", "third"):
        newer(text)
        lay_out(mine)
    assert "third" in (mine / "02_ota.new.ipynb").read_text("utf-8")
    edit(mine / "02_ota.new.ipynb", "in the third")
    newer("fourth")
    lay_out(mine)
    words = {"02_ota.ipynb": "in the first", "02_ota.new.ipynb": "in the third", "02_ota.new.new.ipynb": "fourth"}
    assert {name: word for name, word in words.items() if word in (mine / name).read_text("utf-8")} == words


def test_the_new_one_may_take_the_place_of_the_old(newer: Callable, mine: Path):
    edit(mine / "02_ota.ipynb")
    newer("second")
    lay_out(mine)
    (mine / "02_ota.new.ipynb").replace(mine / "02_ota.ipynb")
    newer("third")
    assert lay_out(mine).beside == {}
    assert "third" in (mine / "02_ota.ipynb").read_text("utf-8")


def test_a_lesson_that_was_renamed_comes_anew(newer: Callable, mine: Path):
    edit(mine / "01_flash.ipynb")
    (mine / "01_flash.ipynb").rename(mine / "my first try.ipynb")
    assert lay_out(mine).written == ["01_flash.ipynb"]
    assert "my answer" in (mine / "my first try.ipynb").read_text()


@pytest.mark.usefixtures("checkout")
def test_a_file_that_was_there_before(mine: Path):
    mine.mkdir()
    (mine / "02_ota.ipynb").write_text("a letter")
    assert lay_out(mine).beside == {"02_ota.ipynb": "02_ota.new.ipynb"}
    assert (mine / "02_ota.ipynb").read_text() == "a letter"
    assert lay_out(mine).beside == {}


@pytest.mark.parametrize("record", [None, b"", b"\xff", b"[1, 2]", b'"x"', b"[" * 100_000, b'{"02_ota.ipynb": 7}'])
def test_a_record_that_is_lost_costs_nothing(newer: Callable, mine: Path, record: bytes | None):
    edit(mine / "02_ota.ipynb")
    newer("improved")
    (mine / RECORD).unlink()
    if record is not None:
        (mine / RECORD).write_bytes(record)
    before = files(mine)
    lay_out(mine)
    after = files(mine)
    assert {name: after[name] for name in before if name != RECORD} == {n: d for n, d in before.items() if n != RECORD}
    assert "02_ota.new.ipynb" in after
    assert lay_out(mine).written == []


def test_settings_are_the_learners(newer: Callable, checkout: Path, mine: Path):
    (mine / "lab.toml").write_text('[wifi]\nssid = "home"\n')
    (checkout / "lab.example.toml").write_text('[wifi]\nssid = ""  # the name\n')
    assert lay_out(mine).written == ["lab.example.toml"]
    assert (mine / "lab.toml").read_text() == '[wifi]\nssid = "home"\n'


@pytest.mark.usefixtures("checkout")
def test_git_leaves_settings_alone(mine: Path, need_tool: Callable[[str], str]):
    lay_out(mine)

    def git(*words: str) -> str:
        line = [need_tool("git"), "-C", mine, *words]
        return subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout

    git("init")
    git("add", "--all")
    assert set(git("ls-files").split()) == STUDENTS - {"lab.toml"}


@pytest.mark.usefixtures("checkout")
def test_settings_in_force_are_not_hidden_by_empty_ones(mine: Path):
    (mine.parent / "lab.toml").write_text('[wifi]\nssid = "secret"\n')
    laid = lay_out(mine)
    assert not (mine / "lab.toml").exists()
    assert f"{mine.parent / 'lab.toml'} is in force here too." in str(laid)
    assert not [name for name, data in files(mine).items() if b"secret" in data]


@pytest.mark.usefixtures("checkout")
def test_a_disk_that_is_full(mine: Path, monkeypatch: pytest.MonkeyPatch):
    write, written = folder.write_whole, []

    def write_two(path: Path, data: bytes) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(write(path, data))

    with monkeypatch.context() as full:
        full.setattr(folder, "write_whole", write_two)
        with pytest.raises(LessonError, match=r"my_lessons cannot be written: No space left on device\. "):
            lay_out(mine)
    assert lay_out(mine).beside == {}
    assert set(files(mine)) == STUDENTS


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "kit", "lessons", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def test_the_command(mine: Path):
    done = command(mine, "--solved")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"To begin: jupyter lab {mine / '00_start.ipynb'}\n")
    assert (mine / "solutions/01_flash.ipynb").is_file()


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("file", "is a file."),
        ("file/lessons", "cannot be written: Not a directory."),
        ("/proc/lessons", "cannot be written: No such file or directory."),
        ("loop", "cannot be written: File exists."),
        ("n" * 300, "cannot be written: File name too long."),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="/proc, and the words of an operating system")
def test_no_place_for_lessons(tmp_path: Path, place: str, cause: str):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    done = command(tmp_path / place)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"\S+ {cause} [A-Z].+\.\n", done.stderr)


@pytest.mark.parametrize("place", ["", "kit", "kit/lesson/mine", "notebooks", "docs/../notebooks/solutions"])
def test_no_lessons_inside_the_kit(checkout: Path, place: str):
    before = files(checkout)
    with pytest.raises(LessonError, match=r"^\S+ belongs to the kit itself\. Name a folder of your own"):
        lay_out(checkout / place)
    assert files(checkout) == before
    assert lay_out(checkout / "my_lessons").written


def test_another_file_of_ours_in_the_way(newer: Callable, mine: Path):
    shutil.rmtree(mine / "docs")
    (mine / "docs").write_text("a file")
    with pytest.raises(LessonError, match=r"docs/?\S* cannot be written: "):
        lay_out(mine)
