"""A folder of the learner's own: the lessons laid out, and later brought up to date around the learner's work."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import LessonError
from kit.image.file import write_whole
from kit.lesson.lessons import START, notebooks
from kit.lesson.progress import RECORD
from kit.origin import is_ours, origin
from kit.settings import FILE

TEACHERS = "teaching.md"  # has the answers
TO_SOLUTION = re.compile(r"\[([^][]*)]\((?:\.\./)*(?:notebooks/)?solutions/[^)]*\)")
# In a checkout docs/ and notebooks/ lie side by side, here docs/ lies in the folder of the lessons.
MOVED = {"../docs/": "docs/", "../notebooks/": "../"}


@dataclass
class Folder:
    """What was done in a folder: the files that were written, and those written beside what the learner changed."""

    path: Path
    record: dict[str, str]  # digests of what each file was when it was laid out last
    written: list[str] = field(default_factory=list)
    beside: dict[str, str] = field(default_factory=dict)
    settings: Path | None = None  # a lab.toml further up, which is in force here

    def __str__(self) -> str:
        lines = [f"Written into {self.path}: {', '.join(self.written) or 'nothing, all is up to date'}."]
        lines += [f"You changed {mine}, so it stays; the kit's is now {new}." for mine, new in self.beside.items()]
        lines += [f"{self.settings} is in force here too."] if self.settings else []
        return "\n".join([*lines, f"To begin: jupyter lab {self.path / START}"])

    def lay(self, name: str, data: bytes) -> None:
        """Write a file of the kit's, unless the learner has changed what is there: then write it beside."""
        path, new, laid = self.path / name, digest(data), self.record.get(name)
        there = digest(path.read_bytes()) if path.exists() else None
        if there is None or there == laid != new:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
            self.written.append(name)
        elif new not in (there, laid):
            self.beside[name] = str(Path(name).with_suffix(f".new{path.suffix}"))
            self.lay(self.beside[name], data)
        self.record[name] = new

    def lay_settings(self, example: bytes) -> None:
        """Write settings to fill in, for this user only; what is in force is not touched, nor hidden by empty ones."""
        mine = self.path / FILE
        above = (folder / FILE for folder in self.path.resolve().parents)
        if os.path.lexists(mine):
            return
        self.settings = next(filter(Path.is_file, above), None)
        if not self.settings:
            with open(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(example)
            self.written.append(FILE)


def lay_out(folder: str | Path, solved: bool = False) -> Folder:
    """Lay out the lessons in a folder, or bring them up to date there.

    A file that the learner has changed stays, and the new one is written beside it. Of a notebook only its cells count:
    one that was merely run is brought up to date, when the kit has other cells for it, and loses its outputs then.

    Args:
        folder: where; it need not exist.
        solved: whether the solutions go there too.

    Raises:
        LessonError: this is no place for them.
    """
    path = Path(folder)
    if is_ours(path):
        raise LessonError(f"{folder} belongs to the kit itself.", "Name a folder of your own, such as my_lessons.")
    laid = Folder(path, _read_record(path / RECORD))
    try:
        if path.is_file():
            raise LessonError(f"{folder} is a file.", "Name a folder, which need not exist.")
        path.mkdir(parents=True, exist_ok=True)
        try:
            for name, data in _files(solved):
                laid.lay(name, data)
        finally:
            write_whole(path / RECORD, json.dumps(laid.record, indent=1).encode())
        laid.lay_settings((origin() / "lab.example.toml").read_bytes())
    except OSError as error:
        cause = f"{error.filename or path} cannot be written: {error.strerror}."
        raise LessonError(cause, "Name another folder, or make room there.") from None
    return laid


def digest(data: bytes) -> str:
    """Return the digest of a file, of a notebook that of its cells as they are typed: running them is no change."""
    try:
        cells = json.loads(data)["cells"]
        typed = [[cell.get("id"), cell["cell_type"], "".join(cell["source"])] for cell in cells]
        data = json.dumps(typed).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass  # no notebook, or none any more
    return hashlib.sha256(data).hexdigest()


def _read_record(path: Path) -> dict[str, str]:
    """Return what was laid out; if that cannot be read, every file counts as the learner's."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def _files(solved: bool) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file, links set right."""
    yield ".gitignore", f"{FILE}\n*.pem\n".encode()  # whosever repository the folder lies in
    home, lessons = origin(), notebooks()
    if solved:
        lessons += sorted((home / "notebooks" / "solutions").glob("*.ipynb"))
    sources = b"".join(path.read_bytes() for path in lessons)
    images = [path for path in (home / "notebooks" / "images").glob("*.*") if f"images/{path.name}".encode() in sources]
    docs = [path for path in (home / "docs").rglob("*.*") if solved or path.name != TEACHERS]
    for path in [*lessons, *sorted(images), *sorted(docs), home / "lab.example.toml"]:
        name = path.relative_to(home).as_posix().removeprefix("notebooks/")
        data = path.read_bytes()
        yield name, _move_links(data.decode()).encode() if path.suffix in (".ipynb", ".md") else data


def _move_links(text: str) -> str:
    text = TO_SOLUTION.sub(r"\1", text)  # which may not be there
    for checkout, here in MOVED.items():
        text = text.replace(checkout, here)
    return text
