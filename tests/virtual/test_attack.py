"""What made a board deaf, and clients that take no answer: the virtual board has a chip's memory and send windows."""

import contextlib
import socket
from urllib.parse import urlsplit

FIELDS = "&".join(map(str, range(300)))


def connect(stack: contextlib.ExitStack, url: str, data: bytes) -> socket.socket:
    where = urlsplit(url)
    connection = stack.enter_context(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.settimeout(20)
    connection.connect((where.hostname, where.port))
    with contextlib.suppress(TimeoutError, ConnectionError):
        connection.sendall(data)
    return connection


def test_two_requests_of_300_fields_that_are_held(installed) -> None:
    """With the server before this one they left 2 kB to the system, and nothing reached the board any more."""
    head = f"POST /login?{FIELDS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            connect(stack, installed.http, head)
        assert installed.client().info()["version"] == "1.0.0"
    installed.client().login()


def test_six_clients_that_take_no_answer(installed) -> None:
    """They make room for one that does."""
    requests = b"GET /ota.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            connect(stack, installed.http, requests)
        for _ in range(3):
            assert installed.client().info()["version"] == "1.0.0"
