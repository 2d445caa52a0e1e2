"""What README and docs/ say against what there is."""

import re
from pathlib import Path

import pytest

import kit

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TROUBLE = ROOT / "docs/troubleshooting.md"


def test_each_error_of_the_updater_has_its_row():
    kinds = re.findall(r"^([A-Z_0-9]+) \d{3} ", (ROOT / "firmware/app/kinds.py").read_text(), re.MULTILINE)
    rows = re.findall(r"^\| `UPDATE_ERROR_(\w+)` \|", TROUBLE.read_text(), re.MULTILINE)
    assert len(rows) > 10
    assert rows == kinds


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_calls_exists(page: Path):
    names = re.findall(r"\bkit\.([a-z_]\w*)\(", page.read_text())
    assert [name for name in names if name not in dir(kit)] == []
    verbs = re.findall(r"\bboard\.(\w+)\(", page.read_text())
    assert [verb for verb in verbs if not hasattr(kit.Board, verb)] == []
