"""Clients that are slow, silent, many or wrong, on both interpreters: the board goes on serving the good ones."""

import contextlib
import select
import socket
import struct
import time
from dataclasses import replace

import pytest
import requests

PASSWORD = "a password of our own"
LONG = "x" * 10_000
SOCKETS = 10  # of a chip
FILES = {"micropython": 4, "cpython": 7}  # that are open besides: standard streams, flash, CPython's event loop


def answer(connection: socket.socket) -> bytes:
    """What the board sends until it closes."""
    with connection, connection.makefile("rb") as file:
        return file.read()


def is_closed(connection: socket.socket, seconds: float = 0) -> bool:
    """Tell whether the board has closed a connection, to which it has sent nothing, or does so now."""
    if not select.select([connection], [], [], seconds)[0]:
        return False
    with contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""
    return True


@pytest.mark.parametrize("beginning", ["", "GET /info HTTP/1.1\r\nX-Slow: "])
def test_twenty_idle_connections(beginning: str, interpreter, make_flash, serve) -> None:
    """They do not keep a good client out, and the ones that were there first go first."""
    board = serve(interpreter, make_flash(), head=60)
    idle = [board.connect() for _ in range(20)]
    for connection in idle:
        connection.sendall(beginning.encode())
    assert is_served(board)
    for connection in idle[:15]:
        assert is_closed(connection, seconds=20)
    assert not any(is_closed(connection) for connection in idle[15:])
    for connection in idle:
        connection.close()


def test_ten_sockets(interpreter, make_flash, serve) -> None:
    """The system gives the board no more than a chip has, and the clients that it keeps leave some free."""
    limit = ("sh", "-c", 'ulimit -n "$0"; exec "$@"', str(FILES[interpreter.name] + SOCKETS))
    board = serve(replace(interpreter, command=limit + interpreter.command), make_flash(), head=60)
    idle = [board.connect() for _ in range(20)]
    for _ in range(5):
        assert is_served(board)
    for connection in idle:
        connection.close()


def test_burst(compiled, make_flash, serve) -> None:
    """Never more at once than the chip has sockets for: it resets whom it has none for. One socket listens."""
    board = serve(compiled, make_flash(), head=60)
    for size in (9, 20):
        idle = [board.connect() for _ in range(size)]
        assert is_served(board)
        assert board.get("/inside").json()["most"] < SOCKETS
        for connection in idle:
            connection.close()


def test_small_bodies_that_stall_hold_no_place(interpreter, make_flash, serve) -> None:
    """Who sends no more than a part of a form goes as one who sends a part of a head; the oldest first."""
    board = serve(interpreter, make_flash(), password=PASSWORD, stall=30)
    board.log_in(PASSWORD)
    lines = (f"Authorization: Bearer {board.token}", "Content-Length: 20", "Expect: 100-continue")
    busy = [board.connect(f"{verb}", *lines) for verb in SMALL_BODIES for _ in range(2)]
    for connection in busy:
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert is_served(board)
    assert is_closed(busy[0], seconds=20)
    busy[1].sendall(b"password=not the one")
    assert b" 401 " in answer(busy[1])
    for connection in busy[2:]:
        assert not is_closed(connection)
        connection.close()


SMALL_BODIES = ("POST /login HTTP/1.1", "POST /password HTTP/1.1", "PUT /config HTTP/1.1")


def test_six_uploads(interpreter, make_flash, serve) -> None:
    """Nobody is evicted who may send an image: a seventh is sent away, and comes in when one has gone."""
    board = serve(interpreter, make_flash(), password=PASSWORD, stall=30)
    board.log_in(PASSWORD)
    lines = ("Content-Type: multipart/form-data; boundary=x", "Expect: 100-continue")
    busy = [board.start_upload(1000, b"", *lines) for _ in range(6)]
    for connection in busy:
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    with board.connect("GET /info HTTP/1.1") as seventh:
        assert is_closed(seventh, seconds=20)
    busy.pop().close()
    end = time.monotonic() + 10
    while not is_served(board):
        assert time.monotonic() < end
    for connection in busy:
        connection.sendall(b"x" * 1000)
        assert b"The form has no file." in answer(connection)


def is_served(board) -> bool:
    try:
        return board.get("/info").json()["version"] == "1.0.0"
    except requests.ConnectionError:
        return False


def test_head_has_a_deadline(interpreter, make_flash, serve) -> None:
    """One for the whole of it: a byte now and then does not help."""
    board = serve(interpreter, make_flash(), head=0.5)
    with board.connect() as silent, board.connect() as slow:
        slow.sendall(b"GET /info HTTP/1.1\r\n")
        end = time.monotonic() + 20
        while not is_closed(slow, seconds=0.1):
            assert time.monotonic() < end
            with contextlib.suppress(ConnectionError):
                slow.sendall(b"X-Slow: 1\r\n")
        assert is_closed(silent, seconds=20)


@pytest.mark.parametrize(
    "lines", [[f"X-Long: {LONG}"], [f"X-{n}: {LONG[:90]}" for n in range(100)]], ids=["one", "many"]
)
def test_headers_of_10_000_bytes(lines: list[str], board) -> None:
    assert b" 431 " in answer(board.connect("GET /info HTTP/1.1", *lines))
    assert board.get("/info", headers={"X-Long": LONG[:3000]}).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GARBAGE",
        b"GET /info",
        b"GET /info HTTP",
        b"GET /info HTTP/1.1\r\nno colon",
        b"GET /info HTTP/1.1\r\nX-Latin: Gr\xfc\xdfe",
        b"GET /info?x=%zz HTTP/1.1",
        b"POST /login HTTP/1.1\r\nContent-Length: many",
        b"POST /login HTTP/1.1\r\nContent-Length: -5",
    ],
)
def test_requests_that_make_no_sense(head: bytes, board) -> None:
    connection = board.connect()
    connection.sendall(head + b"\r\n\r\n")
    assert b" 400 " in answer(connection)
    assert is_served(board)
    assert "Traceback" not in board.output()


def test_bodies_that_stall(interpreter, make_flash, serve) -> None:
    """Small ones too, and also those that are only discarded."""
    board = serve(interpreter, make_flash(), password=PASSWORD, stall=0.3)
    board.log_in(PASSWORD)
    for path, expected in (("/login", b"401"), ("/update", b"UPDATE_ERROR_ABORT"), ("/nothing", b"404")):
        head = (f"POST {path} HTTP/1.1", "Content-Length: 500", f"Authorization: Bearer {board.token}")
        assert expected in answer(board.connect(*head, data=b"short"))
    with board.start_upload(300, b"\xe9" * 100) as cut:
        cut.shutdown(socket.SHUT_WR)
        assert b"UPDATE_ERROR_ABORT" in answer(cut)


def test_client_that_goes(board) -> None:
    """In the middle of its head, and before its answer."""
    for lines in ([], ["GET /info HTTP/1.1"], ["POST /login HTTP/1.1", "Content-Length: 100"]):
        connection = board.connect(*lines)
        connection.sendall(b"GET /in")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
        connection.close()
        assert is_served(board)
    assert "Traceback" not in board.output()
