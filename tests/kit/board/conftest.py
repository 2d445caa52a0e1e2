from collections.abc import Iterator
from pathlib import Path

import pytest

import kit
from kit.board.board import Board
from kit.virtual import join


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """A blank virtual board of this test's own, at the address that counts."""
    monkeypatch.setenv("KIT_FLASH", str(tmp_path / "flash.bin"))
    yield kit.connect()
    join._leases.clear()  # nobody uses it any more, so that it ends
