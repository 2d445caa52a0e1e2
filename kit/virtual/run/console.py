"""The UART that the REPL uses."""

import time
from collections.abc import Callable
from queue import SimpleQueue

from .interrupt import OFF, pending

SECONDS_PER_BYTE = 10 / 115200  # MICROPY_HW_UART_REPL_BAUD, eight data bits between start and stop
LONGEST_DEBT = 0.002  # s; shorter waits are saved up, since sleep() is not finer


class Console:
    """Received bytes wait here; the interrupt byte does not: it becomes a KeyboardInterrupt."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._received: SimpleQueue[int] = SimpleQueue()
        self._owed = 0.0  # s
        self.get = self._received.get  # returns the next received byte, once there is one

    def receive(self, data: bytes) -> None:
        if pending.char != OFF and pending.char in data:
            data = data.replace(bytes([pending.char]), b"")
            pending.keyboard()
        for byte in data:
            self._received.put(byte)

    def available(self) -> bool:
        return not self._received.empty()

    def write(self, data: bytes) -> None:
        """Send bytes at the UART's speed: a program that only prints must not drown the host."""
        self._send(data)
        self._owed += len(data) * SECONDS_PER_BYTE
        if self._owed >= LONGEST_DEBT:
            owed, self._owed = self._owed, 0.0
            time.sleep(owed)

    def print(self, text: str) -> None:
        """Send text with the UART's line ends."""
        self.write(text.encode().replace(b"\n", b"\r\n"))
