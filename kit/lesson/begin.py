"""What parts of lessons begin with: a board with a version on it, and a client for it."""

import io
from contextlib import redirect_stdout
from pathlib import Path

from kit.board.board import Board
from kit.board.connection import connect
from kit.board.readiness import FIRST_VERSION, bring_first_version, runs
from kit.image.update_image import build
from kit.lesson.names import Names
from kit.ota.client import OtaClient


def begin(names: Names) -> Board:
    """Give the names `board` and `ota` to the board, on which version 1.0.0 runs afterwards, and its client."""
    names.board = board = connect()
    bring_first_version(board)
    names.ota = OtaClient(board.url)
    return board


def begin_updated(names: Names, app: Path | None = None, version: str | None = None) -> Board:
    """As `begin`, but with a later version on the board: the one that runs, or 1.1.0, sent through the air.

    Args:
        version: the only later one that may stay; None for any.
    """
    board = names.board = connect()
    if runs(board, FIRST_VERSION) or not runs(board, version):
        bring_first_version(board)
        names.ota = OtaClient(board.url)
        names.ota.login()
        names.ota.upload(build("1.1.0", board=board, app=app), whole=True)  # its bar gives no answer away
    names.ota = OtaClient(board.url)
    return board


def log_in(names: Names) -> None:
    """Give the name `ota` to a client for the board, logged in, and print nothing."""
    names.ota = OtaClient(names.board.url)
    with redirect_stdout(io.StringIO()):
        names.ota.login()
