"""The serial port of the virtual board: RFC 2217 (telnet COM port control) on loopback, one client at a time."""

import contextlib
import re
import select
import socket
import threading
import time
import traceback
from collections.abc import Callable

from kit.peers import is_own
from kit.virtual.ports import HOST, reserve

# Telnet (RFC 854) and COM port control (RFC 2217).
IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
ANSWERS = {DO: (WONT, WILL), DONT: (WONT, WONT), WILL: (DONT, DO), WONT: (DONT, DONT)}  # where not, and where possible
BINARY, ECHO, SGA, COM_PORT = 0, 1, 3, 44
SET_BAUDRATE, SET_CONTROL = 1, 5
LINES = {8: ("dtr", True), 9: ("dtr", False), 11: ("rts", True), 12: ("rts", False)}  # its values
COMMAND = re.compile(  # the last part is one that has not arrived whole
    rb"\xff(?:\xfa(?P<settings>(?:[^\xff]|\xff\xff)*)\xff\xf0|(?P<wish>[\xfb-\xfe].)|(?P<other>[^\xfa-\xfe])|(?P<rest>.*))",
    re.DOTALL,
)
LONGEST_COMMAND = 256  # bytes; no setting has more than a few
SERVER_OFFSET = 100  # RFC 2217: the server answers command n as n + 100
SPEED = 115200  # baud: of the ROM's messages and of MicroPython's REPL, and of a host that does not say
BITS = 10  # of a byte on the wire, with start and stop
PIECE = 1024  # bytes that are sent at a time
GARBLED = bytes((byte * 77 + 128) % 256 for byte in range(256))  # what arrives where the two sides' speeds differ
STALLED = 2.0  # s; a client that takes nothing for so long is dropped, as a pulled cable is


class Telnet:
    """Takes a byte stream apart into data and the two modem lines that matter (DTR, RTS)."""

    def __init__(
        self, send: Callable[[bytes], None], on_lines: Callable[[bool, bool], None], on_speed: Callable[[int], None]
    ) -> None:
        self._send, self._on_lines, self._on_speed = send, on_lines, on_speed
        self._rest = b""
        self._agreed: dict[tuple[bool, int], int] = {}  # our last answer, by side and option
        self._lines = {"dtr": False, "rts": False}

    def feed(self, data: bytes) -> bytes:
        """Return the plain data in `data`; commands are answered on the way."""
        data, self._rest = self._rest + data, b""
        return COMMAND.sub(self._obey, data)

    def _obey(self, command: re.Match[bytes]) -> bytes:
        """Do what a command says; return the data that it stands for: a doubled 255 is data."""
        if command["wish"]:
            self._negotiate(*command["wish"])
        elif command["settings"]:
            self._subnegotiation(command["settings"].replace(b"\xff\xff", b"\xff"))
        elif command["rest"] is not None and len(command[0]) <= LONGEST_COMMAND:
            self._rest = command[0]
        return b"\xff" if command["other"] == b"\xff" else b""

    def _negotiate(self, verb: int, option: int) -> None:
        """Answer each option once, on a change only, so that the two sides cannot echo for ever (RFC 854)."""
        answer = ANSWERS[verb][option in (BINARY, SGA, COM_PORT) or (verb, option) == (DO, ECHO)]
        side = answer in (WILL, WONT)
        if self._agreed.get((side, option)) != answer:
            self._agreed[side, option] = answer
            self._send(bytes([IAC, answer, option]))

    def _subnegotiation(self, body: bytes) -> None:
        if len(body) < 2 or body[0] != COM_PORT or body[1] >= SERVER_OFFSET:  # from there on they are a server's
            return
        command, value = body[1], body[2:]
        if command == SET_CONTROL and value and value[0] in LINES:
            line, level = LINES[value[0]]
            self._lines[line] = level
            self._on_lines(self._lines["dtr"], self._lines["rts"])
        elif command == SET_BAUDRATE and any(value):  # 0 asks for the speed
            self._on_speed(int.from_bytes(value, "big"))
        reply = bytes([COM_PORT, command + SERVER_OFFSET]) + value.replace(b"\xff", b"\xff\xff")
        self._send(bytes([IAC, SB]) + reply + bytes([IAC, SE]))


class Uart:
    """Serves one client; bytes that the chip sends while nobody listens are lost, as on a wire.

    While a client is there, others are refused at once: the port does not listen. Other users are hung up on.

    Args:
        port: TCP port, 0 lets the system choose.
        on_data, on_lines: take what the host sends, and its DTR and RTS.
        pace: 1 waits as long as the bytes take on a wire, 0 does not wait.
        last: the port that it had before, taken where it is free and no other one is asked for.

    Attributes:
        speed: the chip's side, in baud; None takes the host's, as the ROM loader does.
    """

    def __init__(
        self,
        port: int,
        on_data: Callable[[bytes], None],
        on_lines: Callable[[bool, bool], None],
        pace: float = 0,
        last: int = 0,
    ) -> None:
        self._pace, self.speed = pace, SPEED
        self._host_speed = SPEED
        self._idle = 0.0  # s that the wire has had while the chip was at work on what came before
        self._on_data, self._on_lines = on_data, on_lines
        self._reserved, self.port = reserve(port, last)
        self._client: socket.socket | None = None
        self._lock = threading.Lock()
        self._listener = socket.create_server((HOST, self.port), backlog=1)
        self._off, self._is_off = socket.socketpair()  # closing the first one wakes who waits for the second
        self._thread = threading.Thread(target=self._serve, name="uart", daemon=True)

    def start(self) -> None:
        """Begin to accept clients."""
        self._thread.start()

    def stop(self) -> None:
        """Hang up, and give the port back."""
        self._off.close()
        self._thread.join()
        self._reserved.close()

    def write(self, data: bytes) -> None:
        """Send bytes from the chip to the client, if there is one."""
        data = self._on_the_wire(data)
        self._send(data.replace(b"\xff", b"\xff\xff"))

    def send_slowly(self, data: bytes) -> None:
        """Send bytes as `write` does, in the time that they take."""
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            time.sleep(self._seconds(piece))
            self.write(piece)

    def _seconds(self, data: bytes) -> float:
        return len(data) * BITS / (self.speed or self._host_speed) * self._pace

    def _on_the_wire(self, data: bytes) -> bytes:
        """Return what arrives of bytes at the other side."""
        return data if self.speed in (None, self._host_speed) else data.translate(GARBLED)

    def _receive(self, data: bytes) -> None:
        """Give the chip what the host has sent; it comes while the chip is at work on what came before."""
        time.sleep(max(0, self._seconds(data) - self._idle))
        started = time.monotonic()
        self._on_data(self._on_the_wire(data))
        self._idle = time.monotonic() - started

    def _set_host_speed(self, speed: int) -> None:
        self._host_speed = speed

    def _send(self, raw: bytes) -> None:
        with self._lock:
            client = self._client
            try:
                while raw and client:
                    if not select.select([], [client], [], STALLED)[1]:
                        raise TimeoutError
                    raw = raw[client.send(raw) :]
            except OSError:
                self._client = None
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)  # ends the talk

    def _serve(self) -> None:
        while self._waited_for(self._listener):
            client, _ = self._listener.accept()
            if not is_own(client):
                client.close()
                continue
            self._listener.close()
            try:
                self._talk(client)
            except OSError:
                pass  # the client went away without a word; that ends the talk like a goodbye
            except Exception:  # a fault of ours must not take the port away
                traceback.print_exc()
            with self._lock:
                client.close()
                self._client = None
            self._on_lines(False, False)  # a closed port drops both lines
            self._listener = socket.create_server((HOST, self.port), backlog=1)
        self._listener.close()
        self._is_off.close()

    def _waited_for(self, what: socket.socket) -> bool:
        """Wait until a socket can be read; False when the end comes first."""
        return self._is_off not in select.select([what, self._is_off], [], [])[0]

    def _talk(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setblocking(False)
        with self._lock:
            self._client = client
        self._host_speed = SPEED
        telnet = Telnet(self._send, self._on_lines, self._set_host_speed)
        while self._waited_for(client) and (data := client.recv(65536)):
            if plain := telnet.feed(data):
                self._receive(plain)
