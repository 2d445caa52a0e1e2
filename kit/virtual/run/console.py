"""The UART that the REPL uses: bytes received, bytes sent, and the streams that programs see."""

from __future__ import annotations

from collections import deque
from queue import SimpleQueue

from .frames import SERIAL
from .interrupt import OFF, pending
from .link import Link


class Console:
    """Received bytes wait here; the interrupt byte does not: it becomes a KeyboardInterrupt."""

    def __init__(self) -> None:
        self.link = Link(self._receive)
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        self._bytes: deque[int] = deque()

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
        self.link.send(SERIAL, data)

    def print(self, text: str) -> None:
        """Send text with the UART's line ends."""
        self.write(text.encode().replace(b"\n", b"\r\n"))


def part(data: str | bytes, *limits: int) -> str | bytes:
    """The part that write(data, n) or write(data, offset, n) of a MicroPython stream means."""
    if not limits:
        return data
    offset, n = limits if len(limits) == 2 else (0, limits[0])
    return data[offset : offset + n]


class BytesOutput:
    """sys.stdout.buffer."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, data: str | bytes, *limits: int) -> int:
        data = part(data, *limits)
        self._send(data.encode() if isinstance(data, str) else bytes(data))
        return len(data)

    def _send(self, data: bytes) -> None:
        self._console.write(data)

    def flush(self) -> None:
        """Does nothing: every write is sent at once."""


class Output(BytesOutput):
    """sys.stdout and sys.stderr, which turn line ends into CR LF."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.buffer = BytesOutput(console)

    def _send(self, data: bytes) -> None:
        self._console.write(data.replace(b"\n", b"\r\n"))


class Input:
    """sys.stdin; `text` says whether it gives str or bytes."""

    def __init__(self, console: Console, text: bool = True) -> None:
        self._console = console
        self._text = text
        if text:
            self.buffer = Input(console, text=False)

    def readable(self) -> bool:
        return self._console.available()

    def _give(self, data: bytes) -> str | bytes:
        return data.decode() if self._text else data

    def read(self, n: int = -1) -> str | bytes:
        data = bytearray()
        while len(data) != n:
            data.append(self._console.get())
        return self._give(bytes(data))

    def readinto(self, buf: bytearray, n: int = -1) -> int:
        data = self.read(len(buf) if n < 0 else n)
        buf[: len(data)] = data.encode() if self._text else data
        return len(data)

    def readline(self) -> str | bytes:
        data = bytearray()
        while not data.endswith(b"\n"):
            byte = self._console.get()
            data.append(0x0A if byte == 0x0D else byte)
        return self._give(bytes(data))
