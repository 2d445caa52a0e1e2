import pytest

import kit
from kit.board.board import Board


@pytest.fixture
def board() -> Board:
    """The tests' virtual board, with 1.0.0 on it."""
    board = kit.connect("virtual")
    board.ready(2)
    return board
