"""The marks that boards give this computer."""

import stat
from pathlib import Path

import platformdirs
import pytest

from kit.ota.devices import keep_mark, mark_for

ONE, OTHER = "0123456789" * 4, "abcdef0123" * 4


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    data = tmp_path / "data"
    monkeypatch.setattr(platformdirs, "user_data_path", lambda name: data / name)
    return data / "esp32-ota-kit"


def test_a_mark_for_each_board(folder: Path) -> None:
    assert mark_for("one") == ""
    keep_mark("one", ONE)
    keep_mark("other", OTHER)
    assert (mark_for("one"), mark_for("other"), mark_for("third")) == (ONE, OTHER, "")
    keep_mark("one", OTHER)
    assert (mark_for("one"), mark_for("other")) == (OTHER, OTHER)
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("mark", ["", None, 5, ["x"], ONE[:-1], ONE + "0", ONE.upper() + "G", "\r\n" + ONE, ONE + "\n"])
def test_what_is_no_mark_is_not_kept(mark: object, folder: Path) -> None:
    keep_mark("one", mark)
    assert mark_for("one") == ""
    assert not folder.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", '{"one": 5}', '{"one": "x\\r\\ny"}', "[" * 100_000])
def test_a_file_that_is_none_of_ours(text: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "devices.json").write_text(text)
    assert mark_for("one") == ""
    keep_mark("one", ONE)
    assert mark_for("one") == ONE


def test_bytes_that_are_no_text(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "devices.json").write_bytes(b"\xff\xfe")
    assert mark_for("one") == ""


def test_a_folder_that_cannot_be_made(folder: Path) -> None:
    """A login works all the same."""
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("a file in its place")
    keep_mark("one", ONE)
    assert mark_for("one") == ""
