import socket
import threading

import pytest

from kit.board.board import Board
from kit.errors import BoardError, RollbackError, UpdateError
from kit.faults import another_upload, hanging
from kit.image.update_image import build
from kit.ota.client import OtaClient


@pytest.fixture
def ota(board: Board) -> OtaClient:
    ota = OtaClient(board.url)
    ota.login()
    return ota


def test_two_uploads_at_once(board: Board, ota: OtaClient):
    image = build("1.1.0")
    with another_upload(board, image), pytest.raises(UpdateError, match="UPDATE_ERROR_BUSY"):
        ota.upload(image)
    assert ota.upload(image).version == "1.1.0"


def test_the_other_one_is_not_taken_while_an_update_runs(board: Board):
    image = build("1.1.0")
    with (
        another_upload(board, image),
        pytest.raises(BoardError, match="does not take the other upload"),
        another_upload(board, image),
    ):
        pass


def test_what_is_no_board_of_ours_takes_no_upload():
    with socket.create_server(("127.0.0.1", 0)) as server:
        board = Board("nowhere", url=f"http://127.0.0.1:{server.getsockname()[1]}", control="none")

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1000)
                client.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(BoardError, match="does not take"), another_upload(board, build("1.1.0")):
            pass
        thread.join()


def test_a_version_that_hangs_is_reset_by_the_watchdog(board: Board, ota: OtaClient):
    with board.listening() as log, pytest.raises(RollbackError):
        ota.upload(hanging("1.1.0"))
    assert "Task watchdog got triggered" in repr(log)
    assert ota.info()["version"] == "1.0.0"
