import json
import os
from pathlib import Path

import pytest

from kit.lesson.progress import FILE, RECORD, note, noted


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, one that was laid out."""
    (tmp_path / RECORD).write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("here")
def test_states_are_kept():
    assert noted() == {}
    note("02-slot", "wrong")
    note("03-cut", "not yet")
    note("02-slot", "right")
    assert noted() == {"02-slot": "right", "03-cut": "not yet"}


@pytest.mark.usefixtures("here")
def test_what_was_right_stays_right():
    note("02-slot", "right")
    note("02-slot", "not yet")
    assert noted() == {"02-slot": "right"}


def test_nothing_is_kept_in_a_checkout(here: Path):
    (here / RECORD).unlink()
    (here / "00_start.ipynb").touch()
    note("02-slot", "right")
    assert os.listdir(here) == ["00_start.ipynb"]


BROKEN = [b"", b"{", b"\xff\xfe", b"[]", b"7", b"null", b"[" * 100_000, b'{"02-slot": "ri']


@pytest.mark.parametrize("content", BROKEN, ids=lambda content: repr(content[:8]))
def test_a_broken_file_counts_as_nothing_done(here: Path, content: bytes):
    (here / FILE).write_bytes(content)
    assert noted() == {}
    note("02-slot", "right")
    assert json.loads((here / FILE).read_bytes()) == {"02-slot": "right"}


def test_what_is_no_state_does_not_count(here: Path):
    (here / FILE).write_text('{"02-slot": 7, "02-next": null, "02-size": ["right"], "02-hash": "right"}')
    assert noted() == {"02-hash": "right"}


def test_where_nothing_can_be_written(here: Path):
    (here / FILE).mkdir()
    note("02-slot", "right")
    assert noted() == {}
    assert sorted(os.listdir(here)) == [RECORD, FILE]


def test_a_write_that_fails_keeps_what_was_there(here: Path, monkeypatch: pytest.MonkeyPatch):
    note("02-slot", "right")

    def fill(path: Path, data: bytes) -> None:
        with open(path, "wb") as file:
            file.write(data[:5])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    note("03-cut", "right")
    assert noted() == {"02-slot": "right"}
    assert sorted(os.listdir(here)) == [RECORD, FILE]
