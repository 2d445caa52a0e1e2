"""Bringing a board to where a lesson starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kit.board.boot_log import CORRUPT
from kit.errors import BoardError, KitError
from kit.image.update_image import build
from kit.ota.client import OtaClient

if TYPE_CHECKING:
    from kit.board.board import Board

FIRST_VERSION = "1.0.0"
LESSONS = 6


def make_ready(board: Board, lesson: int) -> None:
    """Do what `Board.ready` says."""
    if lesson not in range(1, LESSONS + 1):
        raise BoardError(f"There is no lesson {lesson!r}.", f"Give its number, from 1 to {LESSONS}: board.ready(2).")
    if lesson > 1:
        bring_first_version(board)
    print(f"The board is ready for lesson {lesson:02}.")


def bring_first_version(board: Board) -> None:
    """Flash and install version 1.0.0, unless it runs already and is confirmed, on a board that takes any update."""
    # A board that is just starting does not answer yet: after a reset it is known to be up.
    if runs(board, FIRST_VERSION) or (board.reset() and runs(board, FIRST_VERSION)):
        if not is_open(board):
            board.install(signers=[])
        return
    image = build(FIRST_VERSION, board=board)
    board.flash(image)
    if board.is_virtual and CORRUPT in board.reset():  # on a real board the learner decides: install says how
        board.flash(image, erase=True)
    board.install(signers=[])


def runs(board: Board, version: str | None = None) -> bool:
    """Tell whether a version, without one any, runs on the board and is confirmed."""
    try:
        info = OtaClient(board.url).info()
    except KitError:
        return False  # it has no address yet, does not answer, or something else answers there
    return info.get("version") == (version or info["version"]) and info.get("image_state") == "VALID"


def is_open(board: Board) -> bool:
    """Tell whether a board that runs takes what nobody signed, of any security version, by plain HTTP."""
    if board.url.startswith("https:"):
        return False
    info = OtaClient(board.url).info()
    return not info.get("signers") and not info.get("security_version")
