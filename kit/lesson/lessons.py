"""The lessons: what they are called, how long they take, and what of them is done."""

import json
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

from kit.lesson.progress import noted
from kit.origin import origin
from kit.shown import Table

START = "00_start.ipynb"


@dataclass(frozen=True)
class Lesson:
    """One lesson, as its notebook says it; `checks` are the ids of its questions."""

    file: str
    title: str
    time: str
    checks: frozenset[str]

    def __format__(self, spec: str) -> str:
        return format(self.title, spec)

    def _repr_html_(self) -> str:
        return f'<a href="{escape(self.file)}">{escape(self.title)}</a>'


@dataclass(frozen=True, repr=False)
class Lessons(Table):
    """All lessons, and the checks that were right."""

    COLUMNS = ("<44", "<8", "")

    lessons: tuple[Lesson, ...]
    right: frozenset[str]

    def _cells(self) -> list[tuple[object, ...]]:
        rows = [(lesson, lesson.time, self._done(lesson)) for lesson in self.lessons]
        return [("lesson", "time", "right answers"), *rows]

    def _done(self, lesson: Lesson) -> str:
        right = len(lesson.checks & self.right)
        return f"{right} of {len(lesson.checks)}" if right else "none yet"


def lessons() -> Lessons:
    """Show the lessons, their times, and what is done in this folder."""
    right = frozenset(check for check, state in noted().items() if state == "right")
    return Lessons(tuple(_read(path) for path in notebooks() if path.name != START), right)


def notebooks() -> list[Path]:
    """Return the notebooks of the lessons, the start page first."""
    return sorted((origin() / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def _read(notebook: Path) -> Lesson:
    cells = json.loads(notebook.read_bytes())["cells"]
    texts = {kind: [_text(cell) for cell in cells if cell["cell_type"] == kind] for kind in ("markdown", "code")}
    title = re.search(r"^# (.+)", texts["markdown"][0], re.MULTILINE)
    minutes = re.search(r"(\d+)\s+min", texts["markdown"][0])
    checks = re.findall(r"""\bcheck\(["'](.+?)["']""", "\n".join(texts["code"]))
    time = f"{minutes[1]} min" if minutes else ""
    return Lesson(notebook.name, title[1] if title else notebook.stem, time, frozenset(checks))


def _text(cell: dict) -> str:
    return "".join(cell["source"])
