"""tests/SYLLABUS.md says what it says."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (TESTS / "SYLLABUS.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| case")
]


def test_every_case_has_a_test_or_a_reason():
    assert len(ROWS) > 50
    for case, what, here in ROWS:
        assert case
        assert what
        assert "`" in here or here.startswith("Does not apply: "), case


def test_every_test_exists():
    named = [name for *_, here in ROWS for name in re.findall(r"`([^`]+)`", here)]
    assert named
    for name in named:
        path, _, function = name.partition("::")
        assert re.search(rf"^def {function}\(", (TESTS / path).read_text(encoding="utf-8"), re.MULTILINE), name
