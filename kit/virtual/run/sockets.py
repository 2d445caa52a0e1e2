"""The board's sockets: ten in all, as lwIP has them on the chip (ports/esp32/modsocket.c of v1.26)."""

import functools
import gc
import socket as host
import struct
import time
import weakref
from collections.abc import Callable

from .chip import Chip
from .errors import ENFILE, ERRNO, BoardOSError, board_error, from_host
from .streams import Input, Stream, part

MAX_SOCKETS = 10  # CONFIG_LWIP_MAX_SOCKETS of MicroPython's builds
WINDOW = (
    5760  # bytes that wait for the program: CONFIG_LWIP_TCP_WND_DEFAULT; this computer takes twice as many (socket(7))
)
AF_INET, SOCK_STREAM = 2, 1  # lwip/sockets.h; there is no UDP on the virtual board
BLOCKED = (ERRNO["EAGAIN"], ERRNO["EINPROGRESS"])
EAI_FAIL = 202  # lwip/netdb.h: a name that cannot be resolved
POLLIN, POLLOUT, POLLERR, POLLHUP = 1, 4, 8, 16
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: what lwIP does with a connection that it has no socket for
STDIN_POLL = 0.01  # s between two looks

open_sockets = weakref.WeakSet()


class Socket(Stream):
    """A socket; also the stream that asyncio works on."""

    chip: Chip  # that the one board of this process has

    def __init__(self, af: int = AF_INET, type: int = SOCK_STREAM, proto: int = 0, accepted: object = None) -> None:
        if (af, type) != (AF_INET, SOCK_STREAM):
            raise board_error("EOPNOTSUPP")
        if len(open_sockets) >= MAX_SOCKETS:
            gc.collect()  # forgotten ones close, as on the chip
        if len(open_sockets) >= MAX_SOCKETS:
            raise BoardOSError(ENFILE)
        self.host = accepted or host.socket()
        self.when_closed: set[Callable[[], None]] = set()
        open_sockets.add(self)

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
        open_sockets.discard(self)
        self.host.close()

    def bind(self, address: tuple) -> None:
        """Bind on this computer's loopback: nothing that runs on a virtual board is reachable from outside."""
        self._call("setsockopt", host.SOL_SOCKET, host.SO_REUSEADDR, 1)
        self._call("setsockopt", host.SOL_SOCKET, host.SO_RCVBUF, WINDOW)  # of the connections it accepts too
        self._call("bind", (self.chip.ip, self.chip.ports.get(address[1], address[1])))

    def accept(self) -> tuple[Stream, tuple]:
        connection, address = self._call("accept")
        if not self.chip.is_online() or len(open_sockets) >= MAX_SOCKETS:
            connection.setsockopt(host.SOL_SOCKET, host.SO_LINGER, RESET_ON_CLOSE)
            connection.close()
            raise BoardOSError(ENFILE) if self.chip.is_online() else board_error("ECONNABORTED")
        connection.setblocking(True)
        return Socket(accepted=connection), address

    def connect(self, address: tuple) -> None:
        if not self.chip.is_online():
            raise board_error("EHOSTUNREACH")
        ip, port = getaddrinfo(*address)[0][-1]
        self._call("connect", (ip, self.chip.ports.get(port, port) if ip == self.chip.ip else port))

    def setsockopt(self, level: int, option: int, value: object) -> None:
        """Options make no difference on loopback."""

    def send(self, data: bytes) -> int:
        if self.host.gettimeout() == 0:
            return self._call("send", data)
        self._call("sendall", data)
        return len(data)

    sendall = send

    def write(self, data: bytes, *limits: int) -> int | None:
        return unless_blocked(self.send, part(data, *limits))

    def receive(self, view: memoryview) -> int | None:
        return unless_blocked(self._call, "recv_into", view)


Socket.__name__ = Socket.__qualname__ = "socket"


def getaddrinfo(name: str, port: int, af: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list:
    try:
        if not Socket.chip.is_online() and not name.replace(".", "").isdigit():
            raise host.gaierror
        address = host.gethostbyname(name or "0.0.0.0")
    except OSError:
        raise BoardOSError(-EAI_FAIL) from None
    return [(AF_INET, type or SOCK_STREAM, proto, name, (address, int(port)))]


def unless_blocked(call: Callable, *args: object) -> object:
    """Call; None stands for "would block"."""
    try:
        return call(*args)
    except BoardOSError as error:
        if error.errno not in BLOCKED:
            raise
        return None


class Poll:
    """select.poll over sys.stdin, for mpremote's `mount`; sockets are waited for with asyncio on the virtual board."""

    def __init__(self) -> None:
        self._inputs: dict[Input, int] = {}

    def register(self, obj: Input, eventmask: int = POLLIN | POLLOUT) -> None:
        if not isinstance(obj, Input):
            raise BoardOSError("the virtual board polls sys.stdin only; wait for sockets with asyncio")
        self._inputs[obj] = eventmask

    def poll(self, timeout: int = -1) -> list[tuple]:
        end = None if timeout < 0 else time.monotonic() + timeout / 1000
        while True:
            ready = [(obj, POLLIN) for obj, mask in self._inputs.items() if mask & POLLIN and obj.readable()]
            left = STDIN_POLL if end is None else min(STDIN_POLL, end - time.monotonic())
            if ready or left <= 0:
                return ready
            time.sleep(left)

    ipoll = poll


SOCKET_NAMES = {  # lwip/sockets.h
    "AF_INET": AF_INET,
    "SOCK_STREAM": SOCK_STREAM,
    "SOL_SOCKET": 0xFFF,
    "SO_REUSEADDR": 4,
    "IPPROTO_TCP": 6,
    "TCP_NODELAY": 1,
    "socket": Socket,
    "getaddrinfo": getaddrinfo,
}
SELECT_NAMES = {"poll": Poll, "POLLIN": POLLIN, "POLLOUT": POLLOUT, "POLLERR": POLLERR, "POLLHUP": POLLHUP}
