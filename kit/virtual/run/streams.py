"""Streams and buffers as MicroPython has them (py/stream.c, py/runtime.c of v1.26)."""

import io

from .console import Console
from .memory import memory

allocate = memory.allocate


class _Buffer(type):
    """Class of the board's `bytes` and `bytearray`: what they make fits the heap, and literals are instances, too."""

    def __call__(cls, *args: object) -> bytes | bytearray:
        if args and isinstance(args[0], int):
            allocate(args[0])
        return super().__call__(*args)

    def __instancecheck__(cls, thing: object) -> bool:
        return isinstance(thing, cls.__base__)


BUFFERS = {cls.__name__: _Buffer(cls.__name__, (cls,), {"__module__": "builtins"}) for cls in (bytes, bytearray)}


def as_bytes(data: object) -> bytes:
    """What MicroPython takes where it wants a buffer: a str is one, of its UTF-8."""
    return data.encode() if isinstance(data, str) else data


class Stream(io.RawIOBase):
    """Reading goes on until all has come, nothing comes any more, or (None) nothing can come now.

    A subclass has `receive(view)`, which fills the beginning of a buffer and returns the number of bytes: 0 at the end,
    None for "would block".
    """

    def readinto(self, buf: bytearray, n: int = -1) -> int | None:
        view = memoryview(buf)[: len(buf) if n < 0 else n]
        done = 0
        while done < len(view):
            got = self.receive(view[done:])
            if not got:
                return done or got
            done += got
        return done

    def read(self, n: int = -1) -> bytes | None:
        allocate(n)
        data = super().read(n)
        allocate(len(data or b""))
        return data

    def readline(self) -> bytes | None:
        line = b""
        while not line.endswith(b"\n"):
            byte = Stream.read(self, 1)
            if not byte:
                return line or byte
            line += byte
        return line


def part(data: str | bytes, *limits: int) -> str | bytes:
    """The part that write(data, n) or write(data, offset, n) of a stream means."""
    if not limits:
        return data
    offset, n = limits if len(limits) == 2 else (0, limits[0])
    return data[offset : offset + n]


class Output:
    """sys.stdout and sys.stderr, which turn line ends into CR LF; their `buffer` does not."""

    def __init__(self, console: Console, line_end: bytes = b"\r\n") -> None:
        self._console, self._line_end = console, line_end
        self.buffer = self if line_end == b"\n" else Output(console, b"\n")

    def write(self, data: str | bytes, *limits: int) -> int:
        data = part(data, *limits)
        raw = data.encode() if isinstance(data, str) else bytes(data)
        self._console.write(raw.replace(b"\n", self._line_end))
        return len(data)


class Input(Stream):
    """sys.stdin.buffer."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def events(self, wanted: int) -> int:
        """Return which of the events happen now: bytes wait (1)."""
        return wanted & 1 if self._console.available() else 0

    def receive(self, view: memoryview) -> int:
        view[0] = self._console.get()
        return 1


class TextInput(Input):
    """sys.stdin; carriage returns become line ends."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.buffer = Input(console)

    def receive(self, view: memoryview) -> int:
        byte = self._console.get()
        view[0] = ord("\n") if byte == ord("\r") else byte
        return 1

    def read(self, n: int = -1) -> str:
        return super().read(n).decode()

    def readline(self) -> str:
        return super().readline().decode()
