import os
import pty
import socket
import threading
from collections.abc import Iterator

import pytest
import serial

from kit.board.board import Board
from kit.board.port import QuickRfc2217, has_reset_lines, open_port
from kit.board.repl import RESTART_TRIES, restart
from kit.errors import AddressError, BoardError
from kit.virtual.uart import Uart


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """An emulator's serial port, a pty: the end of the emulator and the name of the other."""
    master, slave = pty.openpty()
    yield master, os.ttyname(slave)
    os.close(slave)
    os.close(master)


@pytest.fixture
def mute() -> Iterator[int]:
    """TCP port of a server that takes every connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        clients = []

        def accept() -> None:
            try:
                while True:
                    clients.append(server.accept()[0])
            except OSError:
                pass  # the server was shut down

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/dev/ttyNothing", r"There is no port /dev/ttyNothing\. Check the cable"),
        ("COM5", r"There is no port COM5\. Check the cable and the name"),
        ("/dev", r"The port /dev cannot be opened: \[Errno 21\] Is a directory: '/dev'\. Check"),
        ("/dev/null", r"The port /dev/null cannot be opened: Could not configure port"),
        ("foo://bar", r"foo://bar is not the address of a port"),
        ("rfc2217://", r"rfc2217:// is not the address of a port"),
        ("rfc2217://127.0.0.1:x", r"rfc2217://127\.0\.0\.1:x is not the address of a port"),
        ("socket://127.0.0.1", r"socket://127\.0\.0\.1 is not the address of a port"),
        ("socket://127.0.0.1:99999", r"socket://127\.0\.0\.1:99999 is not the address of a port"),
    ],
)
def test_a_port_that_cannot_be(address: str, message: str):
    with pytest.raises(AddressError, match=message) as caught:
        Board(address).reset()
    assert str(caught.value).count(address) <= 2  # pyserial alone says it twice


def test_a_port_of_another_group(monkeypatch: pytest.MonkeyPatch, terminal: tuple[int, str]):
    def denied(path: str, *flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("serial.serialposix.os.open", denied)
    with pytest.raises(AddressError, match=r"You may not use /dev/pts/\d+\. Join its group: .*dialout"):
        Board(terminal[1]).reset()


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("could not open port 'COM9': FileNotFoundError(2, 'The system cannot …', None, 2)", "There is no port COM9."),
        ("could not open port 'COM9': PermissionError(13, 'Access is denied.', None, 5)", "COM9 is busy."),
    ],
)
def test_what_windows_says(monkeypatch: pytest.MonkeyPatch, said: str, cause: str):
    def fail(port: serial.Serial) -> None:
        raise serial.SerialException(said)

    monkeypatch.setattr(serial.Serial, "open", fail)
    with pytest.raises(AddressError) as caught:
        Board("COM9").reset()
    assert caught.value.cause == cause


def test_a_port_in_use(terminal: tuple[int, str]):
    with (
        serial.Serial(terminal[1], exclusive=True),
        pytest.raises(AddressError, match=r"is busy\. Close what else uses it"),
    ):
        Board(terminal[1]).reset()


@pytest.mark.parametrize("scheme", ["rfc2217", "socket"])
def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, scheme: str):
    monkeypatch.setattr("kit.board.port.PATIENCE", 0.1)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        with pytest.raises(AddressError, match=r"takes no connection\. Is the board on\?"):
            Board(f"{scheme}://127.0.0.1:{reserved.getsockname()[1]}").reset()


def test_a_plain_port_is_not_rfc_2217(mute: int):
    with pytest.raises(AddressError, match=r"does not speak RFC 2217\. If it is a plain TCP port, write socket://"):
        Board(f"rfc2217://127.0.0.1:{mute}").reset()


def test_a_port_where_nothing_speaks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.board.boot_log.SILENCE", 0.1)
    with pytest.raises(BoardError, match=r"prints nothing\. Check its power"):
        Board("loop://").reset()  # pyserial's own: it gives back what it gets


def test_a_port_without_reset_lines_asks_for_the_button(
    monkeypatch: pytest.MonkeyPatch, mute: int, terminal: tuple[int, str], capsys: pytest.CaptureFixture
):
    monkeypatch.setattr("kit.board.boot_log.UP_TIMEOUT", 0.1)
    monkeypatch.setattr("kit.board.loader.ATTEMPTS", 1)
    for address in (f"socket://127.0.0.1:{mute}", terminal[1]):
        with pytest.raises(BoardError, match="prints nothing"):
            Board(address).reset()
        assert "Press the EN button" in capsys.readouterr().out
        with pytest.raises(BoardError, match=r"This port cannot bring it there: hold the BOOT button, press EN"):
            Board(address).read(0, 4)
        assert capsys.readouterr() == ("", "")  # there is nothing that a button would mend


@pytest.mark.parametrize(("answered", "is_reset"), [(4, True), (99, False)])
def test_a_board_that_says_something_is_asked_for_its_repl_again(
    monkeypatch: pytest.MonkeyPatch, answered: int, is_reset: bool
):
    """As one whose console was full, and which is slow to read that."""
    monkeypatch.setattr("kit.board.repl.TRY_SECONDS", 0.1)
    asked = []

    class Board:
        port, in_waiting = "socket://board", 0
        _says = b""

        def write(self, data: bytes) -> None:
            if data == b"\r\x01":
                asked.append(data)
                self._says = b"raw REPL; CTRL-B to exit\r\n>" if len(asked) == answered else b"U"
            elif data == b"\x05A\x01":
                self._says = b"R\x00"  # it knows of raw paste, and has none
            elif b"machine.reset()" in data:
                asked.append(data)
            elif data == b"\x04":
                self._says = b"OK"

        def read(self, size: int = 1) -> bytes:
            data, self._says = self._says[:size], self._says[size:]
            return data

        def inWaiting(self) -> int:  # noqa: N802
            return 0

    assert restart(Board()) == is_reset
    assert (b"machine.reset()" in asked[-1]) == is_reset
    assert len(asked) == (5 if is_reset else RESTART_TRIES)


def test_which_ports_have_reset_lines(mute: int, terminal: tuple[int, str], uart: Uart):
    addresses = [f"socket://127.0.0.1:{mute}", terminal[1], f"rfc2217://127.0.0.1:{uart.port}", "loop://"]
    found = []
    for address in addresses:
        with open_port(address) as port:
            found.append(has_reset_lines(port))
    assert found == [False, False, True, True]


@pytest.fixture
def lines() -> list[tuple[bool, bool]]:
    """What the chip sees of DTR and RTS."""
    return []


@pytest.fixture
def uart(lines: list[tuple[bool, bool]]) -> Uart:
    """An RFC 2217 port with nothing behind it."""
    uart = Uart(0, lambda data: None, lambda dtr, rts: lines.append((dtr, rts)))
    uart.start()
    return uart


def test_opening_a_port_leaves_the_lines_alone(uart: Uart, lines: list[tuple[bool, bool]]):
    port = QuickRfc2217(f"rfc2217://127.0.0.1:{uart.port}", timeout=1)
    assert lines == []
    port.dtr = False
    port.rts = True
    port.reset_input_buffer()  # is answered: what was sent before has been seen
    port.close()
    assert lines[:2] == [(False, False), (False, True)]


def test_a_port_opens_again(uart: Uart, lines: list[tuple[bool, bool]], monkeypatch: pytest.MonkeyPatch):
    """esptool closes a port when no chip answers; the board is restarted all the same."""
    monkeypatch.setattr("kit.board.boot_log.SILENCE", 0.1)
    monkeypatch.setattr("kit.board.loader.ATTEMPTS", 1)
    with pytest.raises(BoardError, match="charging"):
        Board(f"rfc2217://127.0.0.1:{uart.port}").read(0, 4)
    pulled = [line for line in lines if line != (False, False)]
    assert pulled[-1] == (False, True)  # EN alone: to run mode; esptool's own resets end with (True, False)


def test_a_connection_that_ends_is_told_in_our_words(uart: Uart):
    def unplug_and_read() -> None:
        with open_port(f"rfc2217://127.0.0.1:{uart.port}") as port:
            port._socket.shutdown(socket.SHUT_RDWR)
            for _ in range(3):  # the first gives what was there
                port.read()

    with pytest.raises(BoardError, match=r"broke: the other side has closed the connection\. Check the cable"):
        unplug_and_read()


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), ConnectionResetError(104, "reset by peer")])
def test_a_port_that_is_taken_while_it_opens(monkeypatch: pytest.MonkeyPatch, error: OSError):
    def taken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("kit.board.port.QuickRfc2217", taken)
    monkeypatch.setattr("kit.board.port.PATIENCE", 0)
    with pytest.raises(AddressError, match="takes no connection"), open_port("rfc2217://127.0.0.1:4000"):
        pass
