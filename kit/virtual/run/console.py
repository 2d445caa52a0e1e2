"""The UART that the REPL uses: bytes received, bytes sent, and the streams that programs see."""

from __future__ import annotations

import time
from collections import deque
from queue import SimpleQueue

from .frames import SERIAL
from .interrupt import OFF, pending
from .link import Link

SECONDS_PER_BYTE = 10 / 115200  # MICROPY_HW_UART_REPL_BAUD, eight data bits between start and stop
LONGEST_DEBT = 0.002  # s; shorter waits are saved up, since sleep() is not finer


class Console:
    """Received bytes wait here; the interrupt byte does not: it becomes a KeyboardInterrupt."""

    def __init__(self) -> None:
        self.link = Link(self._receive)
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        self._bytes: deque[int] = deque()
        self._owed = 0.0  # s

    def _receive(self, data: bytes) -> None:
        if pending.char != OFF and pending.char in data:
            data = data.replace(bytes([pending.char]), b"")
            pending.keyboard()
        if data:
            self._queue.put(data)

    def available(self) -> bool:
        return bool(self._bytes) or not self._queue.empty()

    def get(self) -> int:
        """Return the next received byte, once there is one."""
        while not self._bytes:
            self._bytes.extend(self._queue.get())
        return self._bytes.popleft()

    def write(self, data: bytes) -> None:
        """Send bytes at the UART's speed: a program that only prints must not drown the host."""
        self.link.send(SERIAL, data)
        self._owed += len(data) * SECONDS_PER_BYTE
        if self._owed >= LONGEST_DEBT:
            owed, self._owed = self._owed, 0.0
            time.sleep(owed)

    def print(self, text: str) -> None:
        """Send text with the UART's line ends."""
        self.write(text.encode().replace(b"\n", b"\r\n"))


def part(data: str | bytes, *limits: int) -> str | bytes:
    """The part that write(data, n) or write(data, offset, n) of a MicroPython stream means."""
    if not limits:
        return data
    offset, n = limits if len(limits) == 2 else (0, limits[0])
    return data[offset : offset + n]


class Output:
    """sys.stdout and sys.stderr, which turn line ends into CR LF; their `buffer` does not."""

    def __init__(self, console: Console, line_end: bytes = b"\r\n") -> None:
        self._console = console
        self._line_end = line_end

    @property
    def buffer(self) -> Output:
        return Output(self._console, b"\n")

    def write(self, data: str | bytes, *limits: int) -> int:
        data = part(data, *limits)
        raw = data.encode() if isinstance(data, str) else bytes(data)
        self._console.write(raw.replace(b"\n", self._line_end))
        return len(data)

    def flush(self) -> None:
        """Does nothing: every write is sent at once."""


class Input:
    """sys.stdin.buffer."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.readable = console.available

    def read(self, n: int = -1) -> bytes:
        data = bytearray()
        while len(data) != n:
            data.append(self._console.get())
        return bytes(data)

    def readinto(self, buf: bytearray, n: int = -1) -> int:
        data = Input.read(self, len(buf) if n < 0 else n)
        buf[: len(data)] = data
        return len(data)

    def readline(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            line += Input.read(self, 1).replace(b"\r", b"\n")
        return line


class TextInput(Input):
    """sys.stdin."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.buffer = Input(console)

    def read(self, n: int = -1) -> str:
        return super().read(n).decode()

    def readline(self) -> str:
        return super().readline().decode()
