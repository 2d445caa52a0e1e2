"""The board's sockets: ten in all, as lwIP has them on the chip (ports/esp32/modsocket.c of v1.26)."""

from __future__ import annotations

import functools
import gc
import select
import socket as host
import struct
import time
import weakref
from collections.abc import Callable

from .console import Input, part
from .errors import ENFILE, ERRNO, BoardOSError, board_error, from_host

MAX_SOCKETS = 10  # CONFIG_LWIP_MAX_SOCKETS of MicroPython's builds
HTTP_PORT = 80
AF_INET, SOCK_STREAM = 2, 1  # lwip/sockets.h; there is no UDP on the virtual board
EAGAIN = ERRNO["EAGAIN"]
EAI_FAIL = 202  # lwip/netdb.h: a name that cannot be resolved
POLLIN, POLLOUT, POLLERR, POLLHUP = 1, 4, 8, 16
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: what lwIP does with a connection that it has no socket for
PIECE = 4096  # bytes received at a time
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
        try:
            if not self.is_up() and not name.replace(".", "").isdigit():
                raise host.gaierror
            address = host.gethostbyname(name or "0.0.0.0")
        except OSError:
            raise BoardOSError(-EAI_FAIL) from None
        return [(AF_INET, type or SOCK_STREAM, proto, name, (address, int(port)))]


class Socket:
    """A socket; also the stream that asyncio works on."""

    network: Network  # set for each life of the interpreter

    def __init__(
        self, af: int = AF_INET, type: int = SOCK_STREAM, proto: int = 0, *, accepted: host.socket | None = None
    ) -> None:
        if (af, type) != (AF_INET, SOCK_STREAM):
            raise board_error("EOPNOTSUPP")
        if len(self.network.sockets) >= MAX_SOCKETS:
            gc.collect()  # forgotten ones close, as on the chip
        if len(self.network.sockets) >= MAX_SOCKETS:
            raise BoardOSError(ENFILE)
        self.host = accepted or host.socket()
        self.when_closed: set[Callable[[], None]] = set()
        self.network.sockets.add(self)

    def _call(self, name: str, *args: object) -> object:
        """Call a method of this computer's socket; its errors become the board's."""
        if self.host.fileno() < 0:
            raise board_error("EBADF")
        try:
            return getattr(self.host, name)(*args)
        except OSError as error:
            raise from_host(error) from None

    def __getattr__(self, name: str) -> Callable:
        """What a socket of the board does as one of this computer, but for its errors."""
        if name not in ("listen", "recv", "setblocking", "settimeout"):
            raise AttributeError(f"'socket' object has no attribute '{name}'")
        return functools.partial(self._call, name)

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

    def bind(self, address: tuple) -> None:
        """Bind on this computer's loopback: nothing that runs on a virtual board is reachable from outside."""
        self._call("setsockopt", host.SOL_SOCKET, host.SO_REUSEADDR, 1)
        self._call("bind", (self.network.ip, self.network.port(address[1])))

    def accept(self) -> tuple[Socket, tuple]:
        connection, address = self._call("accept")
        if not self.network.is_up() or len(self.network.sockets) >= MAX_SOCKETS:
            connection.setsockopt(host.SOL_SOCKET, host.SO_LINGER, RESET_ON_CLOSE)
            connection.close()
            raise BoardOSError(ENFILE) if self.network.is_up() else board_error("ECONNABORTED")
        connection.setblocking(True)
        return Socket(accepted=connection), address

    def connect(self, address: tuple) -> None:
        if not self.network.is_up():
            raise board_error("EHOSTUNREACH")
        ip, port = self.network.getaddrinfo(*address)[0][-1]
        self._call("connect", (ip, self.network.port(port) if ip == self.network.ip else port))

    def setsockopt(self, level: int, option: int, value: object) -> None:
        """Options make no difference on loopback."""

    def makefile(self, *_: object) -> Socket:
        return self

    def send(self, data: bytes) -> int:
        if self.host.gettimeout() == 0:
            return self._call("send", data)
        self._call("sendall", data)
        return len(data)

    sendall = send

    # as a stream: None stands for "would block"

    def write(self, data: bytes, *limits: int) -> int | None:
        try:
            return self.send(part(data, *limits))
        except BoardOSError as error:
            if error.errno != EAGAIN:
                raise
            return None

    def fill(self, data: bytearray, wanted: Callable[[bytearray], int]) -> bool:
        """Receive as long as `wanted`, given what has come, returns how many bytes more it takes.

        Returns False if it still wants some, and none have come now.
        """
        while n := wanted(data):
            try:
                piece = self.recv(n)
            except BoardOSError as error:
                if error.errno != EAGAIN:
                    raise
                return False
            if not piece:
                break
            data += piece
        return True

    def _read(self, wanted: Callable[[bytearray], int]) -> bytes | None:
        data = bytearray()
        return bytes(data) if self.fill(data, wanted) or data else None

    def read(self, n: int = -1) -> bytes | None:
        """Read up to the end or exactly n bytes, less when no more have come and the socket does not block."""
        return self._read(lambda data: PIECE if n < 0 else n - len(data))

    def readline(self) -> bytes | None:
        return self._read(rest_of_line)

    def readinto(self, buf: bytearray, n: int = -1) -> int | None:
        view = memoryview(buf)
        data = self.read(len(view) if n < 0 else n)
        if data is None:
            return None
        view[: len(data)] = data
        return len(data)


Socket.__name__ = Socket.__qualname__ = "socket"


def rest_of_line(data: bytearray) -> int:
    """Tell how many bytes may be received without taking any from behind the end of the line."""
    return 0 if data.endswith(b"\n") else 1


class Poll:
    """select.poll over sockets and sys.stdin; an object stands for itself in the results."""

    def __init__(self) -> None:
        self._objects: dict[object, int] = {}

    def register(self, obj: object, eventmask: int = POLLIN | POLLOUT) -> None:
        self._objects[obj] = eventmask

    def unregister(self, obj: object) -> None:
        self._objects.pop(obj, None)

    def poll(self, timeout: int = -1) -> list[tuple]:
        end = None if timeout < 0 else time.monotonic() + timeout / 1000
        while True:
            found = [(obj, _events(obj) & (mask | POLLERR)) for obj, mask in self._objects.items()]
            ready = [(obj, events) for obj, events in found if events]
            left = STDIN_POLL if end is None else min(STDIN_POLL, end - time.monotonic())
            if ready or left <= 0:
                return ready
            time.sleep(left)

    ipoll = poll


def _events(stream: Socket | Input) -> int:
    if isinstance(stream, Input):
        return POLLIN if stream.readable() else 0
    if stream.fileno() < 0:
        return POLLERR
    readable, writable, _ = select.select([stream.host], [stream.host], [], 0)
    return (POLLIN if readable else 0) | (POLLOUT if writable else 0)


SOCKET_NAMES = {  # lwip/sockets.h
    "AF_INET": AF_INET,
    "SOCK_STREAM": SOCK_STREAM,
    "SOL_SOCKET": 0xFFF,
    "SO_REUSEADDR": 4,
    "IPPROTO_TCP": 6,
    "TCP_NODELAY": 1,
    "socket": Socket,
}
SELECT_NAMES = {"poll": Poll, "POLLIN": POLLIN, "POLLOUT": POLLOUT, "POLLERR": POLLERR, "POLLHUP": POLLHUP}
