"""Frames between this process, which runs the board's programs, and its parent, which is the rest of the chip."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from .frames import HEADER, REPLY, SERIAL
from .interrupt import pending


class Link:
    """Speaks frames on the real stdin and stdout; a stray print of the host's libraries goes to stderr."""

    def __init__(self, on_serial: Callable[[bytes], None]) -> None:
        self._on_serial = on_serial
        self._replies: SimpleQueue[bytes] = SimpleQueue()
        self._input = os.fdopen(os.dup(0), "rb")
        self._output = os.dup(1)
        os.dup2(2, 1)

    def start(self) -> None:
        threading.Thread(target=self._receive, daemon=True).start()

    def send(self, kind: int, payload: bytes = b"") -> None:
        frame = memoryview(HEADER.pack(kind, len(payload)) + payload)
        with pending:
            try:
                while frame:
                    frame = frame[os.write(self._output, frame) :]
            except BrokenPipeError:
                os._exit(0)

    def request(self, kind: int, payload: bytes) -> tuple[int, bytes]:
        """Send a request for the flash and return the reply's status and data."""
        with pending:
            self.send(kind, payload)
            reply = self._replies.get()
        return reply[0], reply[1:]

    def _receive(self) -> None:
        while True:
            header = self._input.read(HEADER.size)
            if len(header) < HEADER.size:
                os._exit(0)  # the parent has gone: so has the power
            kind, length = HEADER.unpack(header)
            payload = self._input.read(length)
            if kind == SERIAL:
                self._on_serial(payload)
            elif kind == REPLY:
                self._replies.put(payload)
