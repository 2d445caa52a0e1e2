"""The two editions of a lesson: the solved one is the source, and the student's is made from it.

A cell with the tag `solution` has in its metadata, `kit.stub`, what stands there for students.
"""

import os
import tempfile
from copy import deepcopy
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from kit.errors import KitError

SOLUTION = "solution"


def student_edition(source: NotebookNode) -> NotebookNode:
    """Return the student's edition of a solved lesson, without outputs."""
    lesson = deepcopy(source)
    for cell in lesson.cells:
        if SOLUTION in cell.metadata.get("tags", []):
            cell.source = cell.metadata.kit.stub
            cell.metadata = NotebookNode()
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("](../", "](")  # it lies one folder higher
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return lesson


def write_editions(folder: Path) -> None:
    """Execute each lesson in `folder`/solutions, and write and execute the student's edition of it beside.

    Raises:
        KitError: there is no lesson.
    """
    sources = sorted(folder.glob("solutions/*.ipynb"))
    if not sources:
        raise KitError(f"There is no lesson in {folder / 'solutions'}.", "Give the folder notebooks/ of the course.")
    for path in sources:
        source = nbformat.read(path, as_version=4)
        for edition, place in ((source, path), (student_edition(source), folder / path.name)):
            print(place, flush=True)
            execute(edition)
            nbformat.write(edition, place)


def execute(notebook: NotebookNode) -> None:
    """Run all cells on a blank virtual board of their own, in a folder of their own; keep no state of widgets.

    Raises:
        CellExecutionError: a cell fails that has no tag `raises-exception`.
    """
    with tempfile.TemporaryDirectory() as folder:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KIT_") or name == "KIT_PACE"}
        own = {"KIT_BOARD": "virtual", "KIT_FLASH": str(Path(folder, "flash.bin")), "XDG_DATA_HOME": folder}
        work = Path(folder, "work")
        work.mkdir()
        client = NotebookClient(notebook, timeout=600, store_widget_state=False)
        client.execute(cwd=str(work), env=clean | own)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
