"""The board's asyncio: MicroPython's API (extmod/asyncio of v1.26) over this computer's event loop."""

import asyncio as host
import contextlib
from collections.abc import Callable

from .errors import BoardOSError
from .interrupt import pending
from .memory import memory
from .sockets import Socket, unless_blocked
from .streams import allocate, as_bytes

PIECE = 4096  # bytes received at a time, where as many as come are wanted
DEAF = 20  # ms between two looks whether the board hears again
LIKE_ON_THE_CHIP = ("CancelledError", "Event", "Lock", "TimeoutError", "current_task", "gather", "wait_for")


loops: list[host.AbstractEventLoop] = []  # the last one counts; a task that is thrown away would run its `finally`


class Loop(host.SelectorEventLoop):
    """The event loop of one life of the interpreter; tasks that are left when `run` returns go on with the next one."""

    def __init__(self, print: Callable, print_exception: Callable) -> None:
        super().__init__()
        pending.on_calls = lambda: self.is_running() and self.call_soon_threadsafe(int)
        self._print, self._print_exception = print, print_exception

    def default_exception_handler(self, context: dict) -> None:
        if isinstance(context.get("exception"), Exception):  # KeyboardInterrupt has gone to the caller of run
            self._print(f"Task exception wasn't retrieved\nfuture: {context.get('future')}")
            self._print_exception(context["exception"])

    def close(self) -> None:
        """Does nothing, as on the chip."""


async def sleep_ms(ms: float) -> None:
    await host.sleep(max(0, ms) / 1000)


async def _ready(socket: Socket, event: str) -> None:
    """Wait until a socket can be read ("reader") or written ("writer"), or is closed, which its next use reports."""
    number = socket.fileno()
    if number < 0:
        return await sleep_ms(0)
    loop, woken = host.get_running_loop(), host.Event()

    def wake() -> None:
        getattr(loop, f"remove_{event}")(number)
        socket.when_closed.discard(wake)
        woken.set()

    socket.when_closed.add(wake)
    getattr(loop, f"add_{event}")(number, wake)
    try:
        await woken.wait()
        while memory.is_deaf:
            await sleep_ms(DEAF)
    finally:
        if wake in socket.when_closed:
            wake()


class ThreadSafeFlag:
    """An event that interrupts may set; the one task that waits for it clears it (extmod/asyncio/event.py)."""

    def __init__(self) -> None:
        self._event = host.Event()
        self.set, self.clear = self._event.set, self._event.clear

    async def wait(self) -> None:
        await self._event.wait()
        self.clear()


class Stream:
    """A connection, for reading and for writing (extmod/asyncio/stream.py)."""

    def __init__(self, s: Socket, e: dict | None = None) -> None:
        self.s = s
        self.e = e or {}
        self.out_buf = b""

    def get_extra_info(self, name: str) -> object:
        return self.e[name]

    def close(self) -> None:
        """Does nothing, as on the chip: wait_closed closes."""

    async def wait_closed(self) -> None:
        self.s.close()

    aclose = wait_closed

    async def _read(self, wanted: Callable[[bytes], int]) -> bytes:
        """Receive as long as `wanted`, given what has come, returns how many bytes more it takes."""
        data, piece = b"", None
        while n := wanted(data):
            if piece is None:
                await _ready(self.s, "reader")
            piece = self.s.read(n)
            if piece == b"":
                break
            data += piece or b""
            allocate(len(data))
        return data

    async def read(self, n: int = -1) -> bytes:
        if n < 0:
            return await self._read(lambda data: PIECE)
        return await self._read(lambda data: 0 if data else n)

    async def readinto(self, buf: bytearray) -> int | None:
        await _ready(self.s, "reader")
        return self.s.readinto(buf)

    async def readexactly(self, n: int) -> bytes:
        data = await self._read(lambda data: n - len(data))
        if len(data) < n:
            raise EOFError
        return data

    async def readline(self) -> bytes:
        return await self._read(lambda data: 0 if data.endswith(b"\n") else 1)

    def write(self, buf: bytes) -> None:
        sent = 0 if self.out_buf else self.s.write(buf) or 0
        self.out_buf += as_bytes(buf)[sent:]

    async def drain(self) -> None:
        await sleep_ms(0)
        while self.out_buf:
            await _ready(self.s, "writer")
            self.out_buf = self.out_buf[self.s.write(self.out_buf) or 0 :]

    async def awrite(self, buf: bytes) -> None:
        self.write(buf)
        await self.drain()


class Server:
    """The task that accepts the connections of a listening socket."""

    def __init__(self, socket: Socket, cb: Callable) -> None:
        self.task = host.create_task(self._serve(socket, cb))

    async def _serve(self, socket: Socket, cb: Callable) -> None:
        with socket:
            while True:
                await _ready(socket, "reader")
                with contextlib.suppress(BoardOSError):  # on the chip, too, it goes round and round without a free one
                    connection, address = socket.accept()
                    connection.setblocking(False)
                    stream = Stream(connection, {"peername": address})
                    host.get_running_loop().create_task(cb(stream, stream))

    def close(self) -> None:
        self.task.cancel()

    async def wait_closed(self) -> None:
        await host.wait([self.task])


async def open_connection(name: str, port: int) -> tuple[Stream, Stream]:
    stream = Stream(Socket())
    stream.s.setblocking(False)
    unless_blocked(stream.s.connect, (name, port))
    await _ready(stream.s, "writer")
    return stream, stream


async def start_server(cb: Callable, name: str, port: int, backlog: int = 5) -> Server:
    socket = Socket()
    socket.setblocking(False)
    socket.bind((name, port))
    socket.listen(backlog)
    server = Server(socket, cb)
    await sleep_ms(0)
    return server


def waiting() -> set[host.Task]:
    """Return the tasks that have not come to their end."""
    return host.all_tasks(loops[-1]) if loops else set()


def asyncio_names(*prints: Callable) -> dict[str, object]:
    """Return the module's names for one life of the interpreter; `prints` print a text and an exception."""
    loops.append(Loop(*prints))

    def new_event_loop() -> Loop:
        loops.append(Loop(*prints))
        return loops[-1]

    return {
        **{name: getattr(host, name) for name in LIKE_ON_THE_CHIP},
        "StreamReader": Stream,
        "StreamWriter": Stream,
        "ThreadSafeFlag": ThreadSafeFlag,
        "create_task": lambda coro: loops[-1].create_task(coro),
        "get_event_loop": lambda: loops[-1],
        "new_event_loop": new_event_loop,
        "open_connection": open_connection,
        "run": lambda coro: loops[-1].run_until_complete(coro),
        "sleep": lambda seconds: sleep_ms(seconds * 1000),
        "sleep_ms": sleep_ms,
        "start_server": start_server,
        "wait_for_ms": lambda aw, timeout: host.wait_for(aw, timeout / 1000),
    }
