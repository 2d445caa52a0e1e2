"""The board's asyncio: MicroPython's API (extmod/asyncio of v1.26) over this computer's event loop."""

from __future__ import annotations

import asyncio as host
import builtins
from collections.abc import Callable, Coroutine
from types import ModuleType

from .errors import ERRNO, BoardOSError
from .modules import module
from .sockets import PIECE, Socket, rest_of_line


class Loop(host.SelectorEventLoop):
    """The event loop of one life of the interpreter; tasks that are left when `run` returns go on with the next one."""

    def __init__(self, report: Callable[[str, BaseException], None]) -> None:
        super().__init__()
        self._report = report
        self.tasks: set[host.Task] = set()

    def create_task(self, coro: Coroutine, **options: object) -> host.Task:
        task = super().create_task(coro, **options)
        self.tasks.add(task)  # the host's loop alone would let go of it
        task.add_done_callback(self.tasks.discard)
        return task

    def default_exception_handler(self, context: dict) -> None:
        if isinstance(context.get("exception"), Exception):  # KeyboardInterrupt has gone to the caller of run
            self._report(f"Task exception wasn't retrieved\nfuture: {context.get('future')}\n", context["exception"])

    def close(self) -> None:
        """Does nothing, as on the chip."""


async def sleep_ms(ms: float) -> None:
    await host.sleep(max(0, ms) / 1000)


async def _ready(socket: Socket, event: str) -> None:
    """Wait until a socket can be read ("reader") or written ("writer"), or is closed, which its next use reports."""
    number = socket.fileno()
    if number < 0:
        return
    loop = host.get_running_loop()
    future = loop.create_future()

    def wake() -> None:
        getattr(loop, f"remove_{event}")(number)
        socket.when_closed.discard(wake)
        if not future.done():
            future.set_result(None)

    socket.when_closed.add(wake)
    getattr(loop, f"add_{event}")(number, wake)
    try:
        await future
    finally:
        if wake in socket.when_closed:
            wake()


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

    async def _read(self, wanted: Callable[[bytearray], int]) -> bytes:
        """Receive as Socket.fill does, but wait for what has not come yet."""
        data = bytearray()
        while True:
            await _ready(self.s, "reader")
            if self.s.fill(data, wanted):
                return bytes(data)

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
        return await self._read(rest_of_line)

    def write(self, buf: bytes) -> None:
        sent = 0 if self.out_buf else self.s.write(buf) or 0
        self.out_buf += buf[sent:]

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
        self._closed = False
        self.task = host.create_task(self._serve(socket, cb))

    async def _serve(self, socket: Socket, cb: Callable) -> None:
        while True:
            try:
                await _ready(socket, "reader")
            except host.CancelledError:
                socket.close()
                if self._closed:
                    return
                raise
            try:
                connection, address = socket.accept()
            except BoardOSError:
                await sleep_ms(0)  # on the chip, too, this goes round and round while no socket is free
                continue
            connection.setblocking(False)
            stream = Stream(connection, {"peername": address})
            host.get_running_loop().create_task(cb(stream, stream))  # Loop keeps it

    def close(self) -> None:
        self._closed = True
        self.task.cancel()

    async def wait_closed(self) -> None:
        await self.task


def _socket() -> Socket:
    socket = Socket()
    socket.setblocking(False)
    return socket


async def open_connection(name: str, port: int) -> tuple[Stream, Stream]:
    stream = Stream(_socket())
    try:
        stream.s.connect((name, port))
    except BoardOSError as error:
        if error.errno != ERRNO["EINPROGRESS"]:
            raise
    await _ready(stream.s, "writer")
    return stream, stream


async def start_server(cb: Callable, name: str, port: int, backlog: int = 5) -> Server:
    socket = _socket()
    socket.bind((name, port))
    socket.listen(backlog)
    server = Server(socket, cb)
    await sleep_ms(0)
    return server


def asyncio_module(report: Callable[[str, BaseException], None]) -> ModuleType:
    """Make the module for one life of the interpreter; `report` prints a text and an exception."""
    loops = [Loop(report)]  # the last one counts; a task that is thrown away would run its `finally`, so none is

    def new_event_loop() -> Loop:
        loops.append(Loop(report))
        return loops[-1]

    return module(
        "asyncio",
        CancelledError=host.CancelledError,
        Event=host.Event,
        Lock=host.Lock,
        StreamReader=Stream,
        StreamWriter=Stream,
        TimeoutError=builtins.TimeoutError,
        create_task=lambda coro: loops[-1].create_task(coro),
        current_task=host.current_task,
        gather=host.gather,
        get_event_loop=lambda: loops[-1],
        new_event_loop=new_event_loop,
        open_connection=open_connection,
        run=lambda coro: loops[-1].run_until_complete(coro),
        sleep=lambda seconds: sleep_ms(seconds * 1000),
        sleep_ms=sleep_ms,
        start_server=start_server,
        wait_for=host.wait_for,
        wait_for_ms=lambda aw, timeout: host.wait_for(aw, timeout / 1000),
    )
