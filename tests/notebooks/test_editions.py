"""The solved lessons, the students' edition made from them, and their parts."""

import ast
import builtins
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from kit.lesson.check import tasks
from kit.lesson.editions import student_edition

FOLDER = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted((FOLDER / "solutions").glob("*.ipynb"))
RESUME = re.compile(r"^import kit\n\nkit\.resume\((\d)(?:, part=(\d))?\)$")
CHECK = re.compile(r'^kit\.check\("([\w-]+)"\)$')
RESUME_ALL = """
import io, json, sys
from contextlib import redirect_stdout
import kit
lesson, parts = map(int, sys.argv[1:])
given, said = {}, {}
for part in [*range(1, parts + 1), *range(1, parts + 1)]:
    names, text = {}, io.StringIO()
    with redirect_stdout(text):
        kit.resume(lesson, part=part, names=names)
    assert said.setdefault(part, text.getvalue()) == text.getvalue(), (said[part], text.getvalue())
    given[part] = sorted(names)
print(json.dumps([given, said]))
"""


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def source(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def without_outputs(notebook: NotebookNode) -> list[tuple]:
    return [(cell.id, cell.cell_type, cell.source, cell.metadata) for cell in notebook.cells]


def code(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def parts(notebook: NotebookNode) -> list[list[str]]:
    """The code cells of each part, from its resume cell on."""
    found: list[list[str]] = []
    for cell in code(notebook):
        if RESUME.match(cell):
            found.append([])
        found[-1].append(cell)
    return found


def test_the_lessons_are_here():
    assert [path.name for path in LESSONS] == sorted(path.name for path in FOLDER.glob("0[1-9]_*.ipynb"))


def test_the_students_edition_is_what_is_made_now(path: Path, source: NotebookNode):
    stored = nbformat.read(FOLDER / path.name, as_version=4)
    assert without_outputs(stored) == without_outputs(student_edition(source)), (
        "change the source, notebooks/solutions/, and run python -m kit.lesson notebooks/"
    )


def test_no_answer_stands_in_the_students_edition(source: NotebookNode):
    solved = [cell for cell in source.cells if "solution" in cell.metadata.get("tags", [])]
    assert solved
    student = {cell.id: cell for cell in student_edition(source).cells}
    for cell in solved:
        assert student[cell.id].source == cell.metadata.kit.stub != cell.source
        assert not student[cell.id].metadata


def test_each_check_is_made_once(path: Path, source: NotebookNode):
    made = [found[1] for cell in code(source) if (found := CHECK.match(cell))]
    assert len(made) == len(set(made))
    assert set(made) == {task for task in tasks() if task.startswith(path.name[:2])}


def test_the_solved_edition_is_right_and_the_students_is_not_yet(path: Path, source: NotebookNode):
    student = nbformat.read(FOLDER / path.name, as_version=4)
    for notebook, starts in ((source, ("Right: ",)), (student, ("Not yet: ", "Not answered yet: "))):
        for cell in notebook.cells:
            if cell.cell_type == "code" and CHECK.match(cell.source):
                assert cell.outputs[0]["data"]["text/plain"].startswith(starts), cell.source


def loads_and_stores(cells: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield names in the order in which cells use them, and whether each is given a value there."""
    for cell in cells:
        if cell.startswith("%%"):
            continue
        tree = ast.parse(cell)
        inner = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        inner |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        inner |= {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        inner |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ExceptHandler)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id not in inner:
                yield node.id, False
        for name in inner:
            yield name, True


def test_a_part_uses_no_name_of_another_one(path: Path, source: NotebookNode, tmp_path: Path):
    """Each part begins on a board in another state, twice, and says the same."""
    lesson, found = int(path.name[:2]), parts(source)
    numbers = [RESUME.match(part[0]).groups(default="1") for part in found]
    assert numbers == [(str(lesson), str(number)) for number in range(1, len(found) + 1)]
    assert len(found) in (3, 4)
    environment = os.environ | {"KIT_FLASH": str(tmp_path / "flash.bin"), "XDG_DATA_HOME": str(tmp_path)}
    command = [sys.executable, "-c", RESUME_ALL, str(lesson), str(len(found))]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=170, check=False
    )
    assert not done.returncode, done.stderr
    given, said = json.loads(done.stdout)
    for number, cells in enumerate(found, 1):
        assert said[str(number)].endswith(f"Part {number} of lesson {lesson:02} can begin.\n")
        known = {*given[str(number)], *dir(builtins)}
        for name, is_stored in loads_and_stores(cells):
            if is_stored:
                known.add(name)
            assert name in known, f"part {number} uses {name}"


def words(text: str) -> int:
    return len(text.split())


def test_length(source: NotebookNode):
    """Of the lesson as a learner meets it: short cells, and few words for each."""
    cells = [cell for cell in code(source) if not RESUME.match(cell) and not CHECK.match(cell)]
    lines = sorted(len([line for line in cell.splitlines() if line.strip()]) for cell in cells)
    assert lines[len(lines) // 2] <= 3
    assert sum(words(cell.source) for cell in source.cells if cell.cell_type == "markdown") <= 70 * len(cells)


def test_the_first_lesson_begins_soon():
    first = nbformat.read(LESSONS[0], as_version=4).cells
    before = next(number for number, cell in enumerate(first) if cell.cell_type == "code")
    assert sum(words(cell.source) for cell in first[:before]) <= 120


def test_both_editions_are_executed_and_written(tmp_path: Path):
    (tmp_path / "solutions").mkdir()
    source = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("[next](../02_ota.ipynb)", id="text"),
            nbformat.v4.new_code_cell("import os\nanswer = os.environ['KIT_BOARD']", id="answer"),
            nbformat.v4.new_code_cell("answer", id="shown"),
        ]
    )
    source.cells[1].metadata = NotebookNode(tags=["solution", "raises-exception"], kit={"stub": "answer = ..."})
    nbformat.write(source, tmp_path / "solutions" / "01_flash.ipynb")
    subprocess.run([sys.executable, "-m", "kit.lesson", str(tmp_path)], check=True, timeout=100)
    solved, student = (
        nbformat.read(tmp_path / name, as_version=4) for name in ("solutions/01_flash.ipynb", "01_flash.ipynb")
    )
    assert without_outputs(student) == without_outputs(student_edition(solved))
    assert [cell.source for cell in student.cells] == ["[next](02_ota.ipynb)", "answer = ...", "answer"]
    for edition, shown in ((solved, "'virtual'"), (student, "Ellipsis")):
        assert edition.cells[2].outputs[0]["data"]["text/plain"] == shown
        assert [cell.execution_count for cell in edition.cells[1:]] == [1, 2]


def test_a_folder_without_lessons(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "kit.lesson", str(tmp_path)], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"There is no lesson in {tmp_path / 'solutions'}. Give the folder notebooks/ of the course.\n"
