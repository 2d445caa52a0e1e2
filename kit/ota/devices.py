"""The marks by which boards know this computer: strangers who guess a password lock out strangers, and not it."""

import json
import os
import re
from contextlib import suppress
from pathlib import Path

import platformdirs

MARK = "[0-9a-f]{40}"  # as firmware/app/guesses.py makes them
HEADER = "X-Device"


def mark_for(board: str) -> str:
    """Return the mark that a board, by its hostname, gave at a login before; empty where there is none."""
    mark = _marks().get(board)
    return mark if isinstance(mark, str) and re.fullmatch(MARK, mark) else ""


def keep_mark(board: str, mark: object) -> None:
    """Keep the mark that a board gave, in a file for this user only; where that is not possible, do without."""
    if not (isinstance(mark, str) and re.fullmatch(MARK, mark)) or mark == mark_for(board):
        return
    marks = _marks() | {board: mark}
    new = _file().with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(marks, file)
        new.replace(_file())


def _file() -> Path:
    return platformdirs.user_data_path("esp32-ota-kit") / "devices.json"


def _marks() -> dict:
    with suppress(OSError, ValueError, RecursionError):  # no file yet, or none of ours
        found = json.loads(_file().read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}
