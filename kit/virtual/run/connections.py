"""The streams of the board's asyncio (extmod/asyncio/stream.py of v1.26)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import BoardOSError
from .sockets import POLLIN, POLLOUT, SOCK_STREAM, Socket, getaddrinfo, unless_blocked
from .streams import allocate, as_bytes

if TYPE_CHECKING:
    from .tasks import Loop, Task

PIECE = 4096  # bytes received at a time, where as many as come are wanted


class Stream:
    """A connection, for reading and for writing."""

    loop: Loop  # of a subclass: one for each life of the interpreter

    def __init__(self, s: object, e: dict | None = None) -> None:
        self.s = s
        self.e = e or {}
        self.out_buf = b""

    def get_extra_info(self, name: str) -> object:
        return self.e[name]

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.wait_closed()

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
                await self.loop.until(self.s, POLLIN)
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
        await self.loop.until(self.s, POLLIN)
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
        if not self.out_buf:
            return await self.loop.sleep_ms(0)
        while self.out_buf:
            await self.loop.until(self.s, POLLOUT)
            self.out_buf = self.out_buf[self.s.write(self.out_buf) or 0 :]

    async def awrite(self, buf: bytes) -> None:
        self.write(buf)
        await self.drain()


class Server:
    """The task that accepts the connections of a listening socket."""

    task: Task

    def __init__(self) -> None:
        self._is_closed = False

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        await self.wait_closed()

    def close(self) -> None:
        self._is_closed = True
        self.task.cancel()

    async def wait_closed(self) -> None:
        await self.task

    async def serve(self, loop: Loop, stream_type: type[Stream], socket: Socket, cb: Callable, ssl: object) -> None:
        from .tasks import CancelledError

        while True:
            try:
                await loop.until(socket, POLLIN)
            except CancelledError:
                socket.close()
                if self._is_closed:
                    return
                raise
            try:
                connection, address = socket.accept()
            except BoardOSError:  # on the chip, too, it goes round and round without a free one
                continue
            if ssl:
                try:
                    connection = ssl.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                except BoardOSError as error:
                    loop._print_exception(error)
                    connection.close()
                    continue
            connection.setblocking(False)
            stream = stream_type(connection, {"peername": address})
            loop.create_task(cb(stream, stream))


def connection_names(loop: Loop) -> dict[str, object]:
    """Return those names of the module that are about streams."""
    stream_type = type("Stream", (Stream,), {"loop": loop})

    async def open_connection(
        host: str, port: int, ssl: object = None, server_hostname: str | None = None
    ) -> tuple[Stream, Stream]:
        socket = Socket()
        socket.setblocking(False)
        unless_blocked(socket.connect, getaddrinfo(host, port, 0, SOCK_STREAM)[0][-1])
        if ssl:
            if ssl is True:
                from .tls import PROTOCOL_TLS_CLIENT, SSLContext

                ssl = SSLContext(PROTOCOL_TLS_CLIENT)
            await loop.until(socket, POLLOUT)
            name = server_hostname or host
            socket = ssl.wrap_socket(socket, server_hostname=name, do_handshake_on_connect=False)
            socket.setblocking(False)
        stream = stream_type(socket)
        await loop.until(socket, POLLOUT)
        return stream, stream

    async def start_server(cb: Callable, host: str, port: int, backlog: int = 5, ssl: object = None) -> Server:
        socket = Socket()
        socket.setblocking(False)
        socket.bind(getaddrinfo(host, port)[0][-1])
        socket.listen(backlog)
        server = Server()
        server.task = loop.create_task(server.serve(loop, stream_type, socket, cb, ssl))
        await loop.sleep_ms(0)
        return server

    return {
        "Server": Server,
        "StreamReader": stream_type,
        "StreamWriter": stream_type,
        "open_connection": open_connection,
        "start_server": start_server,
    }
