"""The marks by which boards know this computer: strangers who guess a password lock out strangers, and not it."""

import re

from kit.ota.kept import keep, read_kept

FILE = "devices.json"
MARK = "[0-9a-f]{40}"  # as firmware/app/guesses.py makes them
HEADER = "X-Device"


def mark_for(board: str) -> str:
    """Return the mark that a board, by its hostname, gave at a login before; empty where there is none."""
    mark = read_kept(FILE).get(board)
    return mark if isinstance(mark, str) and re.fullmatch(MARK, mark) else ""


def keep_mark(board: str, mark: object) -> None:
    """Keep the mark that a board gave, in a file for this user only; where that is not possible, do without."""
    if isinstance(mark, str) and re.fullmatch(MARK, mark) and mark != mark_for(board):
        keep(FILE, {board: mark})
