"""The kit's own verbs over other ports than a virtual board's, and on a board that goes away."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial
from esp_rfc2217_server import esp_port_manager
from esp_rfc2217_server.redirector import Redirector

import kit
from kit.board.board import Board
from kit.board.port import QuickRfc2217, open_port
from kit.errors import BoardError
from kit.image.update_image import build
from kit.progress import Progress


@contextlib.contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one client after the other on a TCP port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):  # the server was shut down
                while True:
                    with server.accept()[0] as client, contextlib.suppress(OSError):  # the client went away
                        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        serve(client)

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


CONSOLE = 260  # bytes that wait for the program: stdin_ringbuf_array in ports/esp32/mphalport.c, MicroPython 1.26

SIGNS = re.compile(b"(>>>|raw REPL|rst:|DOWNLOAD)")  # of what takes bytes from now on
LONGEST = 7  # bytes of one that has not arrived whole


class Wire:
    """A virtual board behind a plain TCP port, which has no reset lines; its buttons are here.

    While a program runs, its console takes as many bytes as a chip's, and Ctrl-C.
    """

    def __init__(self, port: serial.SerialBase) -> None:
        self._port = port
        self._program_runs = True
        self._waiting = 0
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._bring)
        self._thread.start()

    def serve(self, client: socket.socket) -> None:
        self._client = client
        while data := client.recv(65536):
            self._send(data)
        self._client = None

    def _send(self, data: bytes) -> None:
        if self._program_runs:
            kept = bytearray()
            for byte in data:
                if byte == 3 or self._waiting < CONSOLE:
                    kept.append(byte)
                    self._waiting += byte != 3
            data = bytes(kept)
        self._port.write(data)

    def _bring(self) -> None:
        with contextlib.suppress(serial.SerialException):  # the port was closed
            said = b""
            while True:
                data = self._port.read(max(1, self._port.in_waiting))
                said += data
                *others, said = SIGNS.split(said)  # a sign may come in two parts
                for sign in others[1::2]:
                    self._program_runs, self._waiting = sign == b"rst:", 0
                said = said[-LONGEST:]
                if client := self._client:
                    with contextlib.suppress(OSError):
                        client.sendall(data)

    def press_en(self, boot: bool = False) -> None:
        """Press EN and let go of it, with the BOOT button held or not."""
        self._port.dtr = False
        self._port.rts = True
        self._port.dtr = boot
        self._port.rts = False
        self._port.dtr = False

    def close(self) -> None:
        self._port.close()
        self._thread.join()


@pytest.fixture
def wire(installed) -> Iterator[Wire]:
    with open_port(installed.serial) as port:
        port.timeout = 0.05
        wire = Wire(port)
        yield wire
        wire.close()


@pytest.fixture
def far(wire: Wire, installed) -> Iterator[Board]:
    """A board with version 1.0.0 on it, at an address without reset lines."""
    with serving(wire.serve) as tcp_port:
        yield Board(f"socket://127.0.0.1:{tcp_port}", url=installed.http, control=installed.control)


def test_micropython_restarts_where_no_line_can(far: Board, capsys: pytest.CaptureFixture):
    log = far.reset()
    assert "rst:0xc (SW_CPU_RESET)" in log
    assert "Firmware Version: 1.0.0" in log
    assert "/main.py" in far.files().sizes
    far.install()
    assert kit.OtaClient(far.url).info()["version"] == "1.0.0"
    assert capsys.readouterr().out == ""
    far.console(0.2)


def test_download_mode_is_entered_by_hand(
    far: Board, wire: Wire, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
):
    with pytest.raises(BoardError, match=r"hold the BOOT button, press EN, let go of both, and run the cell again"):
        far.partitions()
    assert kit.OtaClient(far.url).info()["version"] == "1.0.0"  # it was started again by its REPL
    asked = []

    def at_hand(text: str) -> None:
        asked.append(text)
        wire.press_en()

    monkeypatch.setattr("kit.board.boot_log.print", at_hand, raising=False)
    wire.press_en(boot=True)
    assert far.partitions().used["ota_1"] == 0
    assert asked == ["Press the EN button of the board: it cannot be reset over this port."]
    wire.press_en(boot=True)
    far.flash(build("2.0.0", board=far))
    assert len(asked) == 2
    assert kit.OtaClient(far.url).info()["version"] == "2.0.0"


def test_a_verb_that_cannot_be_done_leaves_the_program_running(far: Board, installed):
    for _ in range(3):  # as somebody does who runs the cell again
        with pytest.raises(BoardError, match="hold the BOOT button"):
            far.read(0, 4)
        assert kit.OtaClient(far.url).info()["version"] == "1.0.0"


def test_a_program_whose_console_is_full_is_started_again(far: Board):
    with open_port(far.address) as port:
        port.write(b"U" * 1000)  # as by an esptool that was told of this port
    assert "Firmware Version: 1.0.0" in far.reset()


def test_what_was_read_is_kept_when_nobody_presses_en(far: Board, wire: Wire, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.board.boot_log.UP_TIMEOUT", 0.1)
    wire.press_en(boot=True)
    assert far.read(0x10000, 1) == b"\xe9"
    assert far.read(0x8000, 2) == b"\xaa\x50"  # the stub of the first time still runs


class Cable(QuickRfc2217):
    """The port of a computer in which the board is plugged; esp_rfc2217_server looks at its lines once a second."""

    cts = dsr = ri = cd = True


def test_a_board_at_another_computer(installed, monkeypatch: pytest.MonkeyPatch):
    """By esptool's own server, which moves the lines itself."""
    # a sequence that needs no device file, unlike its default on Linux
    monkeypatch.setattr(esp_port_manager, "cfg", {"custom_reset_sequence": "D0|R1|W0.1|D1|R0|W0.05|D0"})
    with contextlib.closing(Cable(installed.serial, timeout=0.05)) as cable:

        def serve(client: socket.socket) -> None:
            redirector = Redirector(cable, client)
            redirector.shortcircuit()
            redirector.stop()

        with serving(serve) as tcp_port:
            board = Board(f"rfc2217://127.0.0.1:{tcp_port}?ign_set_control", control=installed.control)
            assert "Firmware Version: 1.0.0" in board.reset()
            assert board.read(0x8000, 2) == b"\xaa\x50"
            assert "/main.py" in board.files().sizes
            result = kit.preflight(board.address)
            assert [check.state for check in result.checks] == ["ok"] * 4


def test_a_board_that_is_unplugged_while_it_is_flashed(
    start: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    virtual = start()
    board = virtual.board()
    image = build("1.0.0", board=board)

    def unplug(progress: Progress, done: int) -> None:
        if done > image.size // 2:
            virtual.process.kill()
            virtual.process.wait()

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "update", unplug)
        with pytest.raises(BoardError, match=r"The connection to rfc2217://\S+ broke: .*\. Check the cable") as caught:
            board.flash(image)
    assert caught.value.__suppress_context__
    started = time.monotonic()
    with pytest.raises(kit.KitError, match=r"takes no connection\. Is the board on\?"):
        board.reset()
    assert time.monotonic() - started < 10
    board = start(tmp_path / "flash.bin").board()
    board.flash(image)
    assert board.read(0x10000, image.size) == image.data
