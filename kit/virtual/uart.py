"""The serial port of the virtual board: RFC 2217 (telnet COM port control) on loopback, one client at a time."""

from __future__ import annotations

import re
import select
import socket
import threading
import traceback
from collections.abc import Callable

from kit.virtual.ports import listening, reserve

# Telnet (RFC 854) and COM port control (RFC 2217).
IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
BINARY, ECHO, SGA, COM_PORT = 0, 1, 3, 44
SET_CONTROL, PURGE_DATA = 5, 12
DTR_ON, DTR_OFF, RTS_ON, RTS_OFF = 8, 9, 11, 12
COMMAND = re.compile(
    rb"\xff(?:\xfa(?P<settings>(?:[^\xff]|\xff\xff)*)\xff\xf0|(?P<wish>[\xfb-\xfe].)|(?P<other>[^\xfa-\xfe]))",
    re.DOTALL,
)
SERVER_OFFSET = 100  # RFC 2217: the server answers command n as n + 100
STALLED = 2.0  # s; a client that takes nothing for so long is dropped, as a pulled cable is


class Telnet:
    """Takes a byte stream apart into data and the two modem lines that matter (DTR, RTS)."""

    def __init__(self, send: Callable[[bytes], None], on_lines: Callable[[bool, bool], None]) -> None:
        self._send, self._on_lines = send, on_lines
        self._rest = b""
        self._agreed: dict[tuple[int, int], bool] = {}
        self.dtr = self.rts = False

    def feed(self, data: bytes) -> bytes:
        """Return the plain data in `data`; commands are answered on the way."""
        data = self._rest + data
        out = bytearray()
        position = 0
        while (mark := data.find(IAC, position)) >= 0:
            out += data[position:mark]
            command = COMMAND.match(data, mark)
            if not command:  # the rest of it has not arrived yet
                self._rest = data[mark:]
                return bytes(out)
            out += self._obey(command)
            position = command.end()
        self._rest = b""
        return bytes(out) + data[position:]

    def _obey(self, command: re.Match[bytes]) -> bytes:
        """Do what a command says; return the data that it stands for: a doubled 255 is data."""
        if command["wish"]:
            self._negotiate(*command["wish"])
        elif command["settings"]:
            self._subnegotiation(command["settings"].replace(b"\xff\xff", b"\xff"))
        return b"\xff" if command["other"] == b"\xff" else b""

    def _negotiate(self, verb: int, option: int) -> None:
        """Answer each option once, on a change only, so that the two sides cannot echo for ever (RFC 854)."""
        asked_of_us = verb in (DO, DONT)
        wish = verb in (DO, WILL)
        possible = option in (BINARY, SGA, COM_PORT) or (option == ECHO and asked_of_us)
        granted = wish and possible
        if self._agreed.get((asked_of_us, option)) == granted:
            return
        self._agreed[asked_of_us, option] = granted
        answer = (WILL if granted else WONT) if asked_of_us else (DO if granted else DONT)
        self._send(bytes([IAC, answer, option]))

    def _subnegotiation(self, body: bytes) -> None:
        if len(body) < 2 or body[0] != COM_PORT or body[1] >= SERVER_OFFSET:  # from there on they are a server's
            return
        command, value = body[1], body[2:]
        if command == SET_CONTROL and value:
            self._set_line(value[0])
        reply = bytes([COM_PORT, command + SERVER_OFFSET]) + value.replace(b"\xff", b"\xff\xff")
        self._send(bytes([IAC, SB]) + reply + bytes([IAC, SE]))

    def _set_line(self, value: int) -> None:
        if value in (DTR_ON, DTR_OFF):
            self.dtr = value == DTR_ON
        elif value in (RTS_ON, RTS_OFF):
            self.rts = value == RTS_ON
        else:
            return
        self._on_lines(self.dtr, self.rts)


class Uart:
    """Serves one client; bytes that the chip sends while nobody listens are lost, as on a wire.

    While a client is there, others are refused at once: the port does not listen.
    """

    def __init__(self, port: int, on_data: Callable[[bytes], None], on_lines: Callable[[bool, bool], None]) -> None:
        self._on_data, self._on_lines = on_data, on_lines
        self._reserved, self.port = reserve(port)
        self._client: socket.socket | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, name="uart", daemon=True)
        self._listener = listening(self.port)

    def start(self) -> None:
        """Begin to accept clients."""
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Send bytes from the chip to the client, if there is one."""
        self._send(data.replace(b"\xff", b"\xff\xff"))

    def _send(self, raw: bytes) -> None:
        with self._lock:
            try:
                while raw and self._client:
                    if not select.select([], [self._client], [], STALLED)[1]:
                        raise TimeoutError
                    raw = raw[self._client.send(raw) :]
            except (OSError, ValueError):  # ValueError: closed in the meantime
                self._client = None

    def _serve(self) -> None:
        while True:
            client, _ = self._listener.accept()
            self._listener.close()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setblocking(False)
            with self._lock:
                self._client = client
            try:
                self._talk(client)
            except Exception:  # a fault of ours must not take the port away
                traceback.print_exc()
            self._hang_up(client)
            self._listener = listening(self.port)

    def _talk(self, client: socket.socket) -> None:
        telnet = Telnet(self._send, self._on_lines)
        try:
            while self._client and (data := self._receive(client)):
                if plain := telnet.feed(data):
                    self._on_data(plain)
        except OSError:
            pass  # the client went away without a word; that ends the talk like a goodbye

    def _hang_up(self, client: socket.socket) -> None:
        with self._lock:
            client.close()
            self._client = None
        self._on_lines(False, False)  # a closed port drops both lines

    @staticmethod
    def _receive(client: socket.socket) -> bytes:
        select.select([client], [], [])
        return client.recv(65536)
