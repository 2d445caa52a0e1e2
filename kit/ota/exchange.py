"""One request to a web server and its answer, over a connection of its own.

http.client waits for each byte anew, and reads as much as comes: a server that drips or never ends would take all time
and all memory. Here the whole answer has one deadline and one limit.
"""

from __future__ import annotations

import hashlib
import io
import os
import socket
import ssl
import struct
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from urllib.parse import SplitResult

from requests.certs import where

LIMIT = 0x10000  # bytes of an answer with its head; the longest of a board is its log, of 16 kB
CONNECT = 5.0  # seconds
SEND = 15.0  # seconds for 16 kB of a body: longer than the 10 s for which a board discards the rest of a refused image
RESET_ON_CLOSE = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)  # struct linger


class UnreachedError(OSError):
    """There is no connection; its cause says why."""


class WrongPinError(OSError):
    """Somebody else's certificate: not the board is there."""


@dataclass(frozen=True)
class Answer:
    """What a server answered to the request for a path."""

    path: str
    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_ok(self) -> bool:
        """Tell whether the server did what it was asked for."""
        return 200 <= self.status < 300


class Exchange:
    """One request to a web server, which another thread may break off.

    Args:
        url: its address.
        pin: the SHA-256 of its certificate in hex, which says all; without one it must be an authority's.
    """

    def __init__(self, url: SplitResult, pin: str | None = None) -> None:
        options = {"context": _context(pin)} if url.scheme == "https" else {}
        kind = HTTPSConnection if options else HTTPConnection
        self._connection = kind(url.hostname, url.port, timeout=CONNECT, **options)
        self._pin = pin if options else None
        self._body = io.BytesIO()
        self._is_over = False

    @property
    def sent(self) -> int:
        """Bytes of the body that are on their way; up to 16 kB of them wait here."""
        return self._body.tell()

    def run(self, method: str, path: str, body: bytes, headers: Mapping[str, str | bytes], seconds: float) -> Answer:
        """Send the request and return the answer, for which there are so many seconds once all is sent.

        Raises:
            OSError, HTTPException, ValueError: there is no proper answer; UnreachedError: not even a connection.
        """
        with closing(self._connection):
            self._connect(seconds)
            refusal = self._send(method, path, body, dict(headers))
            answer = self._receive(method, path, seconds)
        if refusal and answer.is_ok:
            raise refusal
        return answer

    def break_off(self) -> None:
        """End it from another thread, and with it what is still on its way to the server."""
        self._is_over = True
        with suppress(AttributeError, OSError):  # there is no connection, not yet or no more
            self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            socket.socket.shutdown(self._connection.sock, socket.SHUT_RDWR)  # wakes the other thread, which closes it

    def _connect(self, seconds: float) -> None:
        self._connection.timeout = min(CONNECT, seconds)
        try:
            self._connection.connect()
            self._compare_pin()
        except (ssl.SSLError, WrongPinError):  # there is a connection
            raise
        except OSError as error:
            raise UnreachedError from error
        if self._is_over:
            raise ConnectionAbortedError
        self._connection.sock.settimeout(SEND)

    def _compare_pin(self) -> None:
        """Before a byte of the request leaves."""
        if self._pin and hashlib.sha256(self._connection.sock.getpeercert(True) or b"").hexdigest() != self._pin:
            raise WrongPinError

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str | bytes]) -> OSError | None:
        """Send the request; return the error of a server that hung up before it had all, and may have said why."""
        headers |= {"Connection": "close"} | ({"Content-Length": str(len(body))} if method != "GET" else {})
        self._body = io.BytesIO(body)
        try:  # in pieces, each with its own time
            self._connection.request(method, path, self._body if body else None, headers)
        except (ConnectionError, ssl.SSLEOFError) as error:
            return error

    def _receive(self, method: str, path: str, seconds: float) -> Answer:
        with closing(HTTPResponse(_Received(self._connection.sock, seconds), method=method)) as response:
            response.begin()
            body = response.read(LIMIT)
            if response.length:
                raise IncompleteRead(body, response.length)
            return Answer(path, response.status, response.reason, response.headers, body)


def _context(pin: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=where())
    if pin:  # no authority signs the certificate of a board; the pin is compared instead
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class _Received(io.RawIOBase):
    """What comes over a socket, up to a deadline and to a limit."""

    def __init__(self, line: socket.socket, seconds: float) -> None:
        self._line, self._left = line, LIMIT
        self._end = time.monotonic() + seconds

    def makefile(self, _: str) -> io.BufferedReader:
        """Give what HTTPResponse asks a socket for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise TimeoutError
        if not self._left:
            raise HTTPException("The answer is too long.")
        self._line.settimeout(seconds)
        got = self._line.recv_into(buffer[: self._left])
        self._left -= got
        return got
