"""Deep sleep of the chip: what wakes it, what it says then, and what there is meanwhile."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import serial

from kit.board.board import Board
from kit.board.control import ask
from kit.board.port import open_port
from kit.board.repl import raw_repl
from kit.errors import RollbackError
from kit.faults import asleep, asleep_in_order

WOKEN = "rst:0x5 (DEEPSLEEP_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)"
ANY_RESET = "rst:0x"
# The web server of the board, alone
SERVE = """\
import network, socket
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect('virtual-wifi', 'virtual-password')
while not wlan.isconnected(): pass

server = socket.socket()
server.bind(('0.0.0.0', 80))
server.listen(1)
"""
PATIENCE = 60  # s


class Console:
    """The friendly REPL of a board, on an open port."""

    def __init__(self, port: serial.SerialBase) -> None:
        self.port = port
        port.timeout = PATIENCE

    def type(self, line: str) -> None:
        self.port.write(line.encode() + b"\r")

    def until(self, end: str) -> str:
        data = self.port.read_until(end.encode())
        assert data.endswith(end.encode()), data
        return data.decode()

    def value(self, expression: str) -> str:
        """Return what the REPL prints of an expression, or the last line of its traceback."""
        self.type(expression)
        return self.until(">>> ").removesuffix(">>> ").splitlines()[-1]

    def run(self, code: str) -> None:
        """Run code as it is, in raw mode, which ends with it."""
        with raw_repl(self.port, soft_reset=False) as repl:
            repl.exec(code)
        self.until(">>> ")

    def said(self) -> str:
        """What has come until now."""
        return self.port.read(self.port.in_waiting).decode()


@contextmanager
def console_of(board: Board) -> Iterator[Console]:
    with open_port(board.address) as port:
        yield Console(port)


@pytest.fixture
def console(board: Board) -> Iterator[Console]:
    """That of a board without an application."""
    with console_of(board) as console:
        yield console


def is_open(url: str) -> bool:
    where = urlsplit(url)
    with suppress(ConnectionRefusedError), socket.create_connection((where.hostname, where.port), timeout=PATIENCE):
        return True
    return False


@pytest.mark.parametrize("ms", ["1", "0", "True"])
def test_the_timer_wakes(console: Console, ms: str):
    """A start like any other, but for its cause."""
    console.value("x = 5")
    console.type(f"import machine; machine.deepsleep({ms})")
    log = console.until("\r\n>>> ")
    assert log.count(ANY_RESET) == log.count(WOKEN) == 1
    assert console.value("import machine; machine.reset_cause()") == "4"
    assert console.value("machine.DEEPSLEEP_RESET") == "4"
    assert console.value("x").startswith("NameError")


def test_the_next_reset_has_a_cause_of_its_own(console: Console):
    console.type("import machine; machine.deepsleep(1)")
    console.until("\r\n>>> ")
    console.type("import machine; machine.reset()")
    assert "rst:0xc (SW_CPU_RESET)" in console.until("\r\n>>> ")
    assert console.value("import machine; machine.reset_cause()") == "2"


@pytest.fixture
def paced(start: Callable, tmp_path: Path, micropython_flash: bytes) -> Iterator[Console]:
    """That of a board whose time is a chip's."""
    (tmp_path / "paced.bin").write_bytes(micropython_flash)
    board = start(tmp_path / "paced.bin", "--pace", "1").board()
    board.reset()
    with console_of(board) as console:
        yield console


def test_it_sleeps_as_long_as_it_was_told(paced: Console):
    paced.type("import machine; machine.deepsleep(1500)")
    paced.until("\r\n")
    began = time.monotonic()
    paced.until(WOKEN)
    assert time.monotonic() - began > 1.3  # of the echo nobody knows how long it was on its way


@pytest.mark.parametrize("ms", ["60_000_000", "2**90"])
def test_a_long_time_does_not_wake_at_once(paced: Console, ms: str):
    paced.type(f"import machine; machine.deepsleep({ms})")
    paced.until("\r\n")
    paced.port.timeout = 1.5
    assert paced.port.read(1) == b""


@pytest.mark.parametrize("call", ["deepsleep()", "deepsleep(-1)", "deepsleep(-2**70)", "deepsleep(None)"])
def test_nothing_but_en_and_power_wakes(board: Board, wait_until: Callable, call: str):
    """Meanwhile port 80 refuses, and the serial port is silent, whatever is sent to it."""
    with console_of(board) as console:
        console.run(SERVE)
        assert is_open(board._url)
        console.type(f"import machine; machine.{call}")
        wait_until(lambda: not is_open(board._url))
        console.said()  # the echo
        console.port.write(b"\r\x03\x04print(5)\r")
        console.port.timeout = 1.5
        assert console.port.read(1) == b""
        assert not is_open(board._url)
    log = board.reset()
    assert "rst:0x1 (POWERON_RESET)" in log
    assert log.endswith(">>> ")
    with console_of(board) as console:
        console.type(f"import machine; machine.{call}")
        console.until("\r\n")
        ask(board.control, "power", on=False)
        ask(board.control, "power", on=True)
        assert "rst:0x1 (POWERON_RESET)" in console.until("\r\n>>> ")
        assert console.value("import machine; machine.reset_cause()") == "1"


def test_power_that_goes_while_it_sleeps(console: Console, board: Board):
    """No timer rings after it."""
    console.type("import machine; machine.deepsleep()")
    console.until("\r\n")
    ask(board.control, "power", on=False)
    console.said()
    console.port.timeout = 1.5
    assert console.port.read(1) == b""
    ask(board.control, "power", on=True)
    console.port.timeout = PATIENCE
    assert "rst:0x1 (POWERON_RESET)" in console.until("\r\n>>> ")


@pytest.mark.parametrize("ms", ["1.0", "'1'", "b'1'", "[1]", "1, 2"])
def test_what_is_no_time(console: Console, ms: str):
    """It is refused, and the board stays awake."""
    assert console.value(f"__import__('machine').deepsleep({ms})").startswith("TypeError: ")
    assert console.value("5 * 5") == "25"


# With the application


def test_a_version_that_sleeps_on_probation_loses_its_place(installed):
    """To the bootloader its wake-up is a start: the second one of a version that nobody has confirmed."""
    ota, board = installed.client(), installed.board()
    ota.login()
    with board.listening() as log, pytest.raises(RollbackError) as caught:
        ota.upload(asleep("1.1.0", board=board))
    cause = "it went to deep sleep"
    assert f"Version 1.1.0 was given up: {cause}, while importing. The board went back to 1.0.0." in str(caught.value)
    assert log.lines(WOKEN)
    assert log.lines(f"Version 1.1.0 was given up: {cause}. It had come to this step: found.")
    info = ota.info()
    wanted = {"version": "1.1.0", "slot": "ota_1", "outcome": "rolled back", "step": "found", "cause": cause}
    assert (info["version"], info["reset_cause"], info["last_update"]) == ("1.0.0", "DEEPSLEEP_RESET", wanted)
    ota.login()
    assert str(ota.history()) == f"1.1.0  rolled back  {cause}"


def test_a_version_that_sleeps_in_order_keeps_it(installed, wait_until: Callable):
    """It confirms itself, sleeps, and is the same one after it."""
    ota, board = installed.client(), installed.board()
    ota.login()
    with board.listening() as log:
        result = ota.upload(asleep_in_order("1.1.0", board=board))
        assert result.version == "1.1.0"
        wait_until(lambda: log.lines(WOKEN) and repr(log).rpartition(WOKEN)[2].count("URL: http://"))
    info = ota.info()
    assert (info["version"], info["image_state"], info["reset_cause"]) == ("1.1.0", "VALID", "DEEPSLEEP_RESET")
    assert info["last_update"]["outcome"] == "confirmed"
    assert len(log.lines(ANY_RESET)) == 2  # of the update, and of the sleep
    ota.login()
    assert str(ota.history()) == "1.1.0  confirmed"
