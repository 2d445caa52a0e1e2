"""The wires to the parent, which is the rest of the chip: flash requests, and the UART that the REPL uses."""

import os
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from .errors import BoardOSError
from .frames import HEADER, PRESS, SERIAL
from .interrupt import OFF, pending

FLASH_ERROR = (-0x6001, "ESP_ERR_FLASH_OP_FAIL")
SECONDS_PER_BYTE = 10 / 115200  # MICROPY_HW_UART_REPL_BAUD, eight data bits between start and stop
LONGEST_DEBT = 0.002  # s; shorter waits are saved up, since sleep() is not finer


class Link:
    """Speaks frames on the real stdin and stdout; a stray print of the host's libraries goes to stderr."""

    def __init__(self, on_serial: Callable[[bytes], None]) -> None:
        self.held: set[int] = set()  # pins that a button holds low
        self._on_serial = on_serial
        self._replies: SimpleQueue[bytes] = SimpleQueue()
        self._input = os.fdopen(os.dup(0), "rb")
        self._output = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        threading.Thread(target=self._receive, daemon=True).start()

    def send(self, kind: int, payload: bytes) -> None:
        """Send one frame, from any thread; in the main one `pending` is held, since a torn write cannot be mended."""
        try:
            self._output.write(HEADER.pack(kind, len(payload)) + payload)
            self._output.flush()
        except BrokenPipeError:
            os._exit(0)

    def request(self, kind: int, payload: bytes) -> bytes:
        """Send a request for the flash and return the data of the reply."""
        with pending:
            self.send(kind, payload)
            reply = self._replies.get()
        if reply[0]:
            raise BoardOSError(*FLASH_ERROR)
        return reply[1:]

    def _receive(self) -> None:
        while len(header := self._input.read(HEADER.size)) == HEADER.size:
            kind, length = HEADER.unpack(header)
            payload = self._input.read(length)
            if kind == PRESS:
                number, held = payload
                (self.held.add if held else self.held.discard)(number)
            else:
                (self._on_serial if kind == SERIAL else self._replies.put)(payload)
        os._exit(0)  # the parent has gone: so has the power


class Console:
    """Received bytes wait here; the interrupt byte does not: it becomes a KeyboardInterrupt."""

    def __init__(self) -> None:
        self._received: SimpleQueue[int] = SimpleQueue()
        self._owed = 0.0  # s
        self.get = self._received.get  # returns the next received byte, once there is one
        self.link = Link(self._receive)

    def _receive(self, data: bytes) -> None:
        if pending.char != OFF and pending.char in data:
            data = data.replace(bytes([pending.char]), b"")
            pending.keyboard()
        for byte in data:
            self._received.put(byte)

    def available(self) -> bool:
        return not self._received.empty()

    def write(self, data: bytes) -> None:
        """Send bytes at the UART's speed: a program that only prints must not drown the host."""
        with pending:
            self.link.send(SERIAL, data)
        self._owed += len(data) * SECONDS_PER_BYTE
        if self._owed >= LONGEST_DEBT:
            owed, self._owed = self._owed, 0.0
            time.sleep(owed)

    def print(self, text: str) -> None:
        """Send text with the UART's line ends."""
        self.write(text.encode().replace(b"\n", b"\r\n"))
