"""An upload and the cable, in two processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.board.board import Board
from kit.errors import AddressError, BoardError
from kit.image import standin
from kit.image.update_image import build
from kit.uploads import meet, uploader, uploading

URL, PORT = "http://192.168.4.2", "/dev/ttyNothing"
UPLOAD = """\
import sys
from kit.uploads import meet, uploading

if sys.argv[2:]:
    meet(sys.argv[1], sys.argv[2])
with uploading(sys.argv[1], "192.168.4.2"):
    print("runs", flush=True)
    sys.stdin.read()
"""
VERBS = {
    "reset": lambda board, **force: board.reset(**force),
    "flash": lambda board, **force: board.flash(build("1.0.0", base=standin.image_set()), **force),
    "erase": lambda board, **force: board.erase(confirm=True, **force),
    "install": lambda board, **force: board.install(**force),
    "partitions": lambda board: board.partitions(),
    "otadata": lambda board: board.otadata(),
    "read": lambda board: board.read(0, 4),
    "files": lambda board: board.files(),
}


@contextmanager
def another_process(*arguments: str, **variables: str) -> Iterator[subprocess.Popen]:
    """One that uploads while the block runs."""
    command, pipe = [sys.executable, "-c", UPLOAD, *arguments], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ | variables) as process:
        assert process.stdout.readline() == "runs\n"
        yield process


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.setattr("kit.uploads._ports", {})
    return Board(PORT, url=URL, control="http://127.0.0.1:1/key")  # virtual, so that it takes a stand-in


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_restarts_a_board_that_is_updated(board: Board, verb: str):
    with another_process(URL, JPY_SESSION_NAME="/home/me/02_ota.ipynb") as process:
        with pytest.raises(BoardError) as caught:
            VERBS[verb](board)
        assert f"(02_ota.ipynb, process {process.pid})" in caught.value.cause
        assert "force=True" in caught.value.advice
    with pytest.raises(AddressError):  # now it looks for the port
        VERBS[verb](board)


@pytest.mark.parametrize("verb", ["reset", "flash", "erase", "install"])
def test_unless_it_is_forced(board: Board, verb: str):
    with another_process(URL), pytest.raises(AddressError):
        VERBS[verb](board, force=True)


@pytest.mark.skipif(os.name == "nt", reason="kills")
def test_the_lock_of_a_process_that_was_killed_does_not_count(board: Board):
    with another_process(URL) as process:
        assert uploader(PORT)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        assert uploader(PORT) == ""


@pytest.mark.parametrize(
    ("uploads", "knows"),
    [
        (["http://192.168.4.2:80/"], "http://192.168.4.2"),
        (["http://esp32-ota-0110.local"], "http://192.168.4.2"),  # the board has said its IP address
        (["http://esp32-ota-0110.local:8080"], "http://192.168.4.2:8080"),
        (["http://Hub.example:8000", PORT], ""),  # the other process knows the port
        (["192.168.4.2"], "192.168.4.2"),
    ],
)
def test_they_meet(board: Board, uploads: list[str], knows: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.uploads._ports", {})
    if knows:
        meet(knows, PORT)
    with another_process(*uploads):
        assert uploader(PORT)


def test_another_board_is_not_meant(board: Board):
    meet("http://192.168.4.3", "/dev/ttyOther")
    with another_process("http://192.168.4.2:8080"), another_process("http://127.0.0.1:8080", "/dev/ttyThird"):
        assert uploader(PORT) == uploader("/dev/ttyOther") == ""


def test_a_second_upload_is_left_to_the_board(board: Board):
    with another_process(URL, PORT) as process, uploading(URL, None):
        assert f"process {process.pid}" in uploader(PORT)


@pytest.mark.parametrize("url", ["http://[", 5, "http://x:port", ""])
def test_what_is_no_url_meets_nobody(url: object):
    Board(PORT, url=url)
    assert uploader(PORT) == ""


@pytest.mark.parametrize("ip", [None, "\ud800", ["x"], "x" * 10_000])
def test_a_board_that_says_nonsense(board: Board, ip: object):
    with uploading(URL, ip):
        assert uploader(PORT)
    assert uploader(PORT) == ""


def test_without_a_folder_for_locks_uploads_run(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("platformdirs.user_data_path", lambda _: tmp_path / "file")
    with uploading(URL, None):
        assert uploader(PORT) == ""
