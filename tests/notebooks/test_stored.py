import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(path for path in FOLDER.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)")  # to a file of ours, in Markdown


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.relative_to(FOLDER).as_posix())
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def notebook(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_lessons_are_here():
    assert NOTEBOOKS, f"no notebook in {FOLDER}"


def test_cells_were_run_once_from_top_to_bottom(notebook: dict):
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1)), (
        "nbval compares no outputs of a cell without a count: restart the kernel, run all cells, save"
    )


def test_no_widget_state_is_stored(notebook: dict):
    assert "widgets" not in notebook["metadata"], (
        "widget state changes with every run: switch off Settings > Save Widget State Automatically, save again"
    )


def test_links_lead_somewhere(path: Path, notebook: dict):
    texts = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    links = [link for text in texts for link in LINK.findall(text)]
    assert [link for link in links if not (path.parent / link).is_file()] == []
