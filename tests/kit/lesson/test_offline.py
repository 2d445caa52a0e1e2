"""The folder for a room without the internet; `.ci/run` makes a real one, and runs a lesson from it."""

import subprocess
from pathlib import Path

import pytest

from kit.errors import ImageError, LessonError
from kit.image.release import RELEASE
from kit.lesson.offline import gather


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list:
    """What pip was called with; the last item is the exit status that it has."""
    calls = [0]

    def run(command: list, check: bool) -> subprocess.CompletedProcess:
        calls.insert(-1, command)
        return subprocess.CompletedProcess(command, calls[-1])

    monkeypatch.setattr("kit.lesson.offline.subprocess.run", run)
    return calls


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "cached.bin"
    file.write_bytes(b"release")
    monkeypatch.setattr("kit.lesson.offline.download_release", lambda: file)
    return file


def test_all_is_in_one_folder(tmp_path: Path, pip: list, release: Path):
    room = tmp_path / "room"
    said = gather(room)
    assert (room / RELEASE).read_bytes() == b"release"
    assert (room / "lessons" / "01_flash.ipynb").is_file()
    assert pip[0][2:5] == ["pip", "wheel", "--wheel-dir"]
    assert f"--find-links {room} esp32-ota-kit" in said
    assert "is missing" not in said


def test_without_the_release_it_says_what_to_put_there(tmp_path: Path, pip: list, monkeypatch: pytest.MonkeyPatch):
    def fail() -> None:
        raise ImageError("MicroPython could not be downloaded.", "Try again.")

    monkeypatch.setattr("kit.lesson.offline.download_release", fail)
    said = gather(tmp_path / "room")
    assert f"{RELEASE} is missing: MicroPython could not be downloaded." in said
    assert "https://micropython.org/" in said


def test_pip_fails(tmp_path: Path, pip: list, release: Path):
    pip[-1] = 1
    with pytest.raises(LessonError, match="pip could not bring or make all wheels"):
        gather(tmp_path / "room")


def test_a_file_stands_there(tmp_path: Path, pip: list, release: Path):
    with pytest.raises(LessonError):
        gather(release)
    assert len(pip) == 1  # pip was not called


def test_not_in_a_checkout(tmp_path: Path, pip: list, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.lesson.offline.origin", lambda: tmp_path)
    with pytest.raises(LessonError, match="from a checkout only"):
        gather(tmp_path / "room")
    assert list(tmp_path.iterdir()) == []
