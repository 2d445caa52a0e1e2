"""The board's sockets: ten in all, as lwIP has them on the chip (ports/esp32/modsocket.c of v1.26)."""

import gc
import select
import socket as host
import struct
import time
import weakref
from collections.abc import Callable, Iterator

from kit.peers import is_own

from .chip import Chip
from .errors import ENFILE, ERRNO, BoardOSError, board_error, from_host
from .memory import memory
from .streams import Stream, allocate, as_bytes, part

MAX_SOCKETS = 10  # CONFIG_LWIP_MAX_SOCKETS of MicroPython's builds
# Bytes that wait for the program and for the network; this computer takes twice as many (socket(7)).
RECEIVE_WINDOW = SEND_WINDOW = 5760  # CONFIG_LWIP_TCP_WND_DEFAULT, CONFIG_LWIP_TCP_SND_BUF_DEFAULT
AF_INET, SOCK_STREAM, SOCK_DGRAM = 2, 1, 2  # lwip/sockets.h
HOST_TYPES = {SOCK_STREAM: host.SOCK_STREAM, SOCK_DGRAM: host.SOCK_DGRAM}
BLOCKED = (ERRNO["EAGAIN"], ERRNO["EINPROGRESS"])
EAI_FAIL = 202  # lwip/netdb.h: a name that cannot be resolved
POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL = 1, 4, 8, 16, 32
STREAM_POLL, ONE_SHOT = 3, 1  # request of ioctl (py/stream.h), flag of ipoll
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: what lwIP does with a connection that it has no socket for
POLL = 0.005  # s between two looks

open_sockets = weakref.WeakSet()


class Socket(Stream):
    """A socket; also the stream that asyncio works on."""

    chip: Chip  # that the one board of this process has

    def __init__(self, af: int = AF_INET, type: int = SOCK_STREAM, proto: int = 0, accepted: object = None) -> None:
        if af != AF_INET or type not in (SOCK_STREAM, SOCK_DGRAM):
            raise board_error("EOPNOTSUPP")
        if len(open_sockets) >= MAX_SOCKETS:
            gc.collect()  # forgotten ones close, as on the chip
        if len(open_sockets) >= MAX_SOCKETS:
            raise BoardOSError(ENFILE)
        self.host = accepted or host.socket(type=HOST_TYPES[type])
        self.is_new = not accepted and type == SOCK_STREAM  # neither bound nor connected
        open_sockets.add(self)
        if not accepted:  # those that it accepts have the same windows
            self._call("setsockopt", host.SOL_SOCKET, host.SO_RCVBUF, RECEIVE_WINDOW)
            self._call("setsockopt", host.SOL_SOCKET, host.SO_SNDBUF, SEND_WINDOW)

    def _call(self, name: str, *args: object) -> object:
        """Call a method of this computer's socket; its errors become the board's."""
        if self.host.fileno() < 0:
            raise board_error("EBADF")
        try:
            return getattr(self.host, name)(*args)
        except OSError as error:
            raise from_host(error) from None

    def _talk(self, name: str, *args: object) -> object:
        """Call a method that needs the network, which comes to nothing while the board is deaf."""
        patience = self.host.gettimeout()
        end = None if patience is None else time.monotonic() + patience
        while memory.is_deaf:
            if end is not None and time.monotonic() >= end:
                raise board_error("ETIMEDOUT" if patience else "EAGAIN")
            time.sleep(POLL)
        return self._call(name, *args)

    def fileno(self) -> int:
        return self.host.fileno()

    def close(self) -> None:
        open_sockets.discard(self)
        self.host.close()

    def setblocking(self, flag: bool) -> None:
        self._call("setblocking", bool(flag))

    def settimeout(self, seconds: float | None) -> None:
        self._call("settimeout", seconds)

    def setsockopt(self, level: int, option: int, value: object) -> None:
        """Options make no difference on loopback."""

    def makefile(self, mode: str = "rb", buffering: int = 0) -> Stream:
        return self

    def bind(self, address: tuple) -> None:
        """Bind on this computer's loopback: nothing that runs on a virtual board is reachable from outside."""
        port = getaddrinfo(*address)[0][-1][1]
        self._call("setsockopt", host.SOL_SOCKET, host.SO_REUSEADDR, 1)
        self._call("bind", (self.chip.ip, self.chip.ports.get(port, port)))
        self.chip.on_bind(port)
        self.is_new = False

    def listen(self, backlog: int = 5) -> None:
        self._call("listen", max(0, backlog))
        self.is_new = False

    def accept(self) -> tuple[Stream, tuple]:
        connection, address = self._talk("accept")
        while not is_own(connection):
            hang_up(connection)
            connection, address = self._talk("accept")
        if not self.chip.is_online() or len(open_sockets) >= MAX_SOCKETS:
            hang_up(connection)
            raise BoardOSError(ENFILE) if self.chip.is_online() else board_error("ECONNABORTED")
        connection.setblocking(True)
        return Socket(accepted=connection), address

    def _reach(self, address: tuple) -> tuple[str, int]:
        """Return where on this computer an address of the board's is reached."""
        if not self.chip.is_online():
            raise board_error("EHOSTUNREACH")
        ip, port = getaddrinfo(*address)[0][-1]
        return ip, self.chip.ports.get(port, port) if ip == self.chip.ip else port

    def connect(self, address: tuple) -> None:
        where = self._reach(address)
        self.is_new = False
        self._talk("connect", where)

    def send(self, data: bytes) -> int:
        """Send all, or what goes without a wait where the socket must not wait, or what goes before its time-out."""
        view, sent = memoryview(as_bytes(data)), 0
        try:
            while sent < len(view):
                sent += self._talk("send", view[sent:])
        except BoardOSError as error:
            if not sent or error.errno not in (*BLOCKED, ERRNO["ETIMEDOUT"]):
                raise
        return sent

    def sendall(self, data: bytes) -> None:
        if self.send(data) < len(as_bytes(data)):
            raise board_error("ETIMEDOUT")

    def sendto(self, data: bytes, address: tuple) -> int:
        return self._talk("sendto", as_bytes(data), self._reach(address))

    def recv(self, n: int, flags: int = 0) -> bytes:
        return self.recvfrom(n)[0]

    def receive_all(self, n: int) -> bytes:
        """Return up to n bytes for TLS, which has a place of its own for them."""
        return self._talk("recv", n)

    def recvfrom(self, n: int, flags: int = 0) -> tuple[bytes, tuple]:
        if self.is_new:
            raise board_error("ENOTCONN")
        allocate(n)
        data, sender = self._talk("recvfrom", n)
        return data, sender and self._known_as(*sender)

    def _known_as(self, ip: str, port: int) -> tuple[str, int]:
        """Return the address of the board's that is reached at one on this computer."""
        own = (own for own, there in self.chip.ports.items() if ip == self.chip.ip and there == port)
        return ip, next(own, port)

    def write(self, data: bytes, *limits: int) -> int | None:
        return unless_blocked(self.send, part(as_bytes(data), *limits))

    def receive(self, view: memoryview) -> int | None:
        if self.is_new:
            raise board_error("ENOTCONN")
        return unless_blocked(self._talk, "recv_into", view)

    def events(self, wanted: int) -> int:
        """Return which of the events happen now (MP_STREAM_POLL)."""
        number = self.fileno()
        if number < 0:
            return POLLNVAL
        if self.is_new:
            return wanted & POLLOUT | POLLHUP
        if memory.is_deaf:
            return 0
        reads, writes, _ = select.select([number] * bool(wanted & POLLIN), [number] * bool(wanted & POLLOUT), [], 0)
        return POLLIN * len(reads) | POLLOUT * len(writes)


def hang_up(connection: host.socket) -> None:
    connection.setsockopt(host.SOL_SOCKET, host.SO_LINGER, RESET_ON_CLOSE)
    connection.close()


Socket.__name__, Socket.__module__ = "socket", None


def getaddrinfo(name: str, port: int, af: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list:
    name = name or "0.0.0.0"
    try:
        if not Socket.chip.is_online() and name != "localhost" and not name.replace(".", "").isdigit():
            raise host.gaierror
        address = host.gethostbyname(name.encode())
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


def events(obj: object, wanted: int) -> int:
    """Return which of the events happen to a stream now."""
    if hasattr(obj, "events"):
        return obj.events(wanted)
    found = obj.ioctl(STREAM_POLL, wanted)
    if found < 0:
        raise BoardOSError(-found)
    return found


class Poll:
    """select.poll over sockets, sys.stdin and streams written in Python (extmod/modselect.c)."""

    def __init__(self) -> None:
        self._watched: dict[object, int] = {}

    def register(self, obj: object, eventmask: int = POLLIN | POLLOUT) -> None:
        if not hasattr(obj, "events") and not hasattr(obj, "ioctl"):
            raise BoardOSError("stream operation not supported")
        self._watched[obj] = eventmask

    def unregister(self, obj: object) -> None:
        self._watched.pop(obj, None)

    def modify(self, obj: object, eventmask: int) -> None:
        if obj not in self._watched:
            raise board_error("ENOENT")
        self._watched[obj] = eventmask

    def _ready(self) -> list[tuple]:
        found = [(obj, events(obj, mask), mask) for obj, mask in self._watched.items()]
        return [(obj, now) for obj, now, mask in found if now & (mask | POLLERR | POLLHUP | POLLNVAL)]

    def poll(self, timeout: int = -1) -> list[tuple]:
        """Wait for `timeout` ms (-1 or None: for ever) until something happens; return object and events of each."""
        end = None if timeout is None or timeout < 0 else time.monotonic() + timeout / 1000
        while not (ready := self._ready()):
            left = POLL if end is None else min(POLL, end - time.monotonic())
            if left <= 0:
                break
            time.sleep(left)
        return ready

    def ipoll(self, timeout: int = -1, flags: int = 0) -> Iterator[tuple]:
        for obj, events in self.poll(timeout):
            if flags & ONE_SHOT:
                self._watched[obj] = 0
            yield obj, events


def select_(reads: list, writes: list, errors: list, timeout: float | None = None) -> tuple[list, list, list]:
    """select.select(), which MicroPython has for old programs."""
    poll = Poll()
    for obj in {*reads, *writes, *errors}:
        poll.register(obj, POLLIN * (obj in reads) | POLLOUT * (obj in writes))
    found = dict(poll.poll(None if timeout is None else timeout * 1000))
    masks = (reads, POLLIN), (writes, POLLOUT), (errors, POLLERR | POLLHUP)
    return tuple([obj for obj in objects if found.get(obj, 0) & mask] for objects, mask in masks)


SOCKET_NAMES = {  # lwip/sockets.h
    "AF_INET": AF_INET,
    "SOCK_STREAM": SOCK_STREAM,
    "SOCK_DGRAM": SOCK_DGRAM,
    "SOL_SOCKET": 0xFFF,
    "SO_BROADCAST": 0x20,
    "IPPROTO_IP": 0,
    "IPPROTO_UDP": 17,
    "SO_REUSEADDR": 4,
    "IPPROTO_TCP": 6,
    "TCP_NODELAY": 1,
    "socket": Socket,
    "getaddrinfo": getaddrinfo,
}
SELECT_NAMES = {
    "poll": Poll,
    "select": select_,
    "POLLIN": POLLIN,
    "POLLOUT": POLLOUT,
    "POLLERR": POLLERR,
    "POLLHUP": POLLHUP,
}
