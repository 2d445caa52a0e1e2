"""Somebody else who updates the same board."""

import base64
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

from kit.board.board import Board
from kit.errors import BoardError
from kit.image.update_image import UpdateImage
from kit.settings import ota_password

TIMEOUT = 10  # s; the board waits as long for the body
CONTINUE = b"HTTP/1.1 100"  # the answer to an Expect: 100-continue, when the board wants the body


@contextmanager
def another_upload(board: Board, image: UpdateImage) -> Iterator[None]:
    """Have an upload by another client run, which stops after its head and breaks off when the `with` block ends.

    Raises:
        BoardError: the board does not take it.
    """
    address = urlsplit(board.url)
    login = base64.b64encode(f"admin:{ota_password(board.is_virtual)}".encode()).decode()
    head = {"Authorization": f"Basic {login}", "Content-Length": str(image.size), "Expect": "100-continue"}
    with closing(HTTPConnection(address.netloc, timeout=TIMEOUT)) as connection:
        connection.request("POST", "/update", headers=head)
        if not connection.sock.recv(len(CONTINUE)) == CONTINUE:
            raise BoardError("The board does not take the other upload.", "Wait until no update runs, and try again.")
        yield
