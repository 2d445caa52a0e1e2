"""The board's sockets: ten in all, as lwIP has them on the chip (ports/esp32/modsocket.c of v1.26)."""

from __future__ import annotations

import contextlib
import gc
import select
import socket as host
import struct
import time
import weakref
from collections.abc import Callable, Iterator

from .console import Input, part
from .errors import ENFILE, BoardOSError, board_error, from_host, host_errors

MAX_SOCKETS = 10  # CONFIG_LWIP_MAX_SOCKETS of MicroPython's builds
HTTP_PORT = 80
SOCK_STREAM, SOCK_DGRAM = 1, 2
SOCKET_CONSTANTS = {  # lwip/sockets.h
    "AF_INET": 2,
    "SOCK_STREAM": SOCK_STREAM,
    "SOCK_DGRAM": SOCK_DGRAM,
    "SOL_SOCKET": 0xFFF,
    "SO_REUSEADDR": 4,
    "SO_BROADCAST": 0x20,
    "IPPROTO_TCP": 6,
    "TCP_NODELAY": 1,
}
POLLIN, POLLOUT, POLLERR, POLLHUP = 1, 4, 8, 16
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: what lwIP does with a connection that it has no socket for
STDIN_POLL = 0.01  # s; received serial bytes cannot be waited for together with sockets


class Network:
    """The sockets of the board, and the way its addresses map to this computer's.

    Args:
        http: port on this computer that stands for the board's port 80.
        is_up: tells whether the board is on the Wi-Fi network.
    """

    def __init__(self, ip: str, http: int, is_up: Callable[[], bool]) -> None:
        self.ip = ip
        self._http = http
        self.is_up = is_up
        self.sockets: weakref.WeakSet[Socket] = weakref.WeakSet()

    def port(self, port: int) -> int:
        return self._http if port == HTTP_PORT else port

    def close_all(self) -> None:
        for socket in list(self.sockets):
            socket.close()

    def getaddrinfo(self, name: str, port: int, af: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list:
        is_number = name.replace(".", "").isdigit()
        if not is_number and not self.is_up():
            raise from_host(host.gaierror())
        try:
            address = host.gethostbyname(name or "0.0.0.0")
        except OSError as error:
            raise from_host(error) from None
        return [(SOCKET_CONSTANTS["AF_INET"], type or SOCK_STREAM, proto, name, (address, int(port)))]


class Socket:
    """A socket; also the stream that asyncio works on."""

    network: Network  # set for each life of the interpreter

    def __init__(self, af: int = 2, type: int = SOCK_STREAM, proto: int = 0, *, accepted: object = None) -> None:
        if len(self.network.sockets) >= MAX_SOCKETS:
            gc.collect()  # forgotten ones close, as on the chip
        if len(self.network.sockets) >= MAX_SOCKETS:
            raise BoardOSError(ENFILE)
        self.host = accepted or host.socket(host.AF_INET, host.SOCK_DGRAM if type == SOCK_DGRAM else host.SOCK_STREAM)
        self.when_closed: set[Callable[[], None]] = set()
        self.network.sockets.add(self)

    def _open(self) -> host.socket:
        if self.host.fileno() < 0:
            raise board_error("EBADF")
        return self.host

    def fileno(self) -> int:
        return self.host.fileno()

    def close(self) -> None:
        for call in list(self.when_closed):
            call()
        self.network.sockets.discard(self)
        self.host.close()

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @host_errors
    def bind(self, address: tuple) -> None:
        """Bind on this computer's loopback: nothing that runs on a virtual board is reachable from outside."""
        self._open().setsockopt(host.SOL_SOCKET, host.SO_REUSEADDR, 1)
        self.host.bind((self.network.ip, self.network.port(address[1])))

    @host_errors
    def listen(self, backlog: int = 2) -> None:
        self._open().listen(backlog)

    @host_errors
    def accept(self) -> tuple[Socket, tuple]:
        connection, address = self._open().accept()
        if not self.network.is_up() or len(self.network.sockets) >= MAX_SOCKETS:
            connection.setsockopt(host.SOL_SOCKET, host.SO_LINGER, RESET_ON_CLOSE)
            connection.close()
            raise BoardOSError(ENFILE) if self.network.is_up() else board_error("ECONNABORTED")
        connection.setblocking(True)
        return Socket(accepted=connection), address

    @host_errors
    def connect(self, address: tuple) -> None:
        if not self.network.is_up():
            raise board_error("EHOSTUNREACH")
        ip, port = self.network.getaddrinfo(*address)[0][-1]
        self._open().connect((ip, self.network.port(port) if ip == self.network.ip else port))

    def settimeout(self, seconds: float | None) -> None:
        self._open().settimeout(seconds)

    def setblocking(self, flag: bool) -> None:
        self._open().setblocking(flag)

    def setsockopt(self, level: int, option: int, value: object) -> None:
        """Options make no difference on loopback."""

    def makefile(self, *_: object) -> Socket:
        return self

    @host_errors
    def recv(self, n: int, flags: int = 0) -> bytes:
        return self._open().recv(n)

    @host_errors
    def recvfrom(self, n: int, flags: int = 0) -> tuple:
        return self._open().recvfrom(n)

    @host_errors
    def send(self, data: bytes) -> int:
        if self._open().gettimeout() == 0:
            return self.host.send(data)
        self.host.sendall(data)
        return len(data)

    def sendall(self, data: bytes) -> None:
        if self.send(data) < len(data):
            raise board_error("ETIMEDOUT")

    @host_errors
    def sendto(self, data: bytes, address: tuple) -> int:
        return self._open().sendto(data, address)

    # as a stream: None stands for "would block"

    def write(self, data: bytes, *limits: int) -> int | None:
        try:
            return self.send(part(data, *limits))
        except BoardOSError as error:
            return _none_if_blocking(error)

    def read(self, n: int = -1) -> bytes | None:
        """Read up to the end or exactly n bytes, less when no more have come and the socket does not block."""
        return self._gather(lambda data: 4096 if n < 0 else n - len(data))

    def readline(self) -> bytes | None:
        return self._gather(lambda data: 0 if data.endswith(b"\n") else 1)

    def readinto(self, buf: bytearray, n: int = -1) -> int | None:
        view = memoryview(buf)
        data = self.read(len(view) if n < 0 else n)
        if data is None:
            return None
        view[: len(data)] = data
        return len(data)

    def _gather(self, wanted: Callable[[bytearray], int]) -> bytes | None:
        """Receive as long as `wanted`, given what has come, returns how many bytes more it takes."""
        data = bytearray()
        while n := wanted(data):
            try:
                piece = self.recv(n)
            except BoardOSError as error:
                return bytes(data) or _none_if_blocking(error)
            if not piece:
                break
            data += piece
        return bytes(data)


Socket.__name__ = Socket.__qualname__ = "socket"


def _none_if_blocking(error: BoardOSError) -> None:
    if error.errno != board_error("EAGAIN").errno:
        raise error


class Poll:
    """select.poll over sockets and sys.stdin; an object stands for itself in the results."""

    def __init__(self) -> None:
        self._objects: dict[object, int] = {}

    def register(self, obj: object, eventmask: int = POLLIN | POLLOUT) -> None:
        self._objects[obj] = eventmask

    modify = register

    def unregister(self, obj: object) -> None:
        self._objects.pop(obj, None)

    def poll(self, timeout: int = -1) -> list[tuple]:
        end = None if timeout < 0 else time.monotonic() + timeout / 1000
        while True:
            ready = list(self._ready())
            left = STDIN_POLL if end is None else min(STDIN_POLL, end - time.monotonic())
            if ready or left <= 0:
                return ready
            time.sleep(left)

    ipoll = poll

    def _ready(self) -> Iterator[tuple]:
        for obj, mask in list(self._objects.items()):
            events = _events(obj) & (mask | POLLERR | POLLHUP)
            if events:
                yield obj, events


def _events(socket: Socket | Input) -> int:
    if isinstance(socket, Input):
        return POLLIN if socket.readable() else 0
    if socket.fileno() < 0:
        return POLLERR
    with contextlib.suppress(OSError):
        readable, writable, _ = select.select([socket.host], [socket.host], [], 0)
        return (POLLIN if readable else 0) | (POLLOUT if writable else 0)
    return POLLERR


SELECT_NAMES = {"poll": Poll, "POLLIN": POLLIN, "POLLOUT": POLLOUT, "POLLERR": POLLERR, "POLLHUP": POLLHUP}
