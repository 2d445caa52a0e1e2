"""The clock of a virtual board: it is set from outside, goes on, and outlives what a chip's outlives."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import serial

from kit.board.board import Board
from kit.board.control import ask
from kit.board.port import open_port
from kit.errors import BoardError

WHEN = "2027-03-14T01:13:00"
AT_ONCE = 60  # s, on a busy computer
PATIENCE = 60  # s
CLOCKS = "import machine, time; print('clock', machine.RTC().datetime(), time.time(), time.gmtime()[:6], end='!\\n')\r"
RESETS = {
    "machine.reset()": "rst:0xc (SW_CPU_RESET)",
    "machine.deepsleep(1)": "rst:0x5 (DEEPSLEEP_RESET)",
    "machine.WDT(timeout=100)": "task_wdt: Task watchdog got triggered",
}


@pytest.fixture
def port(board: Board) -> Iterator[serial.SerialBase]:
    """The serial port of a board without an application, at its prompt."""
    with open_port(board.address) as port:
        port.timeout = PATIENCE
        yield port


@pytest.fixture
def paced(start: Callable, tmp_path: Path, micropython_flash: bytes) -> Board:
    """A board of which sleep takes its time."""
    (tmp_path / "paced.bin").write_bytes(micropython_flash)
    board = start(tmp_path / "paced.bin", "--pace", "1").board()
    assert board.reset().endswith(">>> ")
    return board


def until(port: serial.SerialBase, end: str) -> str:
    data = port.read_until(end.encode())
    assert data.endswith(end.encode()), data
    return data.decode()


def seen(port: serial.SerialBase) -> datetime:
    """Return what the clock shows; its three views must agree."""
    port.write(CLOCKS.encode())
    until(port, "\nclock ")
    year, month, day, weekday, *rest = eval(until(port, ")").strip())
    moment = datetime(year, month, day, *rest, tzinfo=UTC)
    seconds, _, parts = until(port, "!").strip(" !").partition(" ")
    until(port, ">>> ")
    assert weekday == moment.weekday()
    for other in (
        datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=int(seconds)),
        datetime(*eval(parts), tzinfo=UTC),
    ):
        assert timedelta() <= other - moment.replace(microsecond=0) < timedelta(seconds=AT_ONCE)
    return moment


def is_soon_after(moment: datetime, when: str) -> bool:
    return timedelta() <= moment - datetime.fromisoformat(when).replace(tzinfo=UTC) < timedelta(seconds=AT_ONCE)


def test_a_board_begins_with_2000(port: serial.SerialBase):
    assert is_soon_after(seen(port), "2000-01-01")


@pytest.mark.parametrize(
    ("when", "shown"),
    [
        (WHEN, WHEN),
        ("2027-03-14", "2027-03-14"),
        ("2027-03-14T02:13:00+01:00", WHEN),
        ("2027-03-14T01:13:00Z", WHEN),
        (datetime(2027, 3, 14, 1, 13), WHEN),
        (datetime(2027, 3, 13, 20, 13, tzinfo=timezone(timedelta(hours=-5))), WHEN),
        ("2000-01-01T01:00:00+01:00", "2000-01-01"),
        ("2099-12-31T23:58:00", "2099-12-31T23:58:00"),
    ],
)
def test_it_shows_what_it_is_set_to(board: Board, port: serial.SerialBase, when: object, shown: str):
    board.set_time(when)
    assert is_soon_after(seen(port), shown)


def test_it_goes_on_and_can_be_set_back(board: Board, port: serial.SerialBase, wait_until: Callable):
    board.set_time("2027-03-14T01:13:00.5")
    before, began = seen(port), time.monotonic()
    wait_until(lambda: seen(port) - before > timedelta(seconds=2))
    assert time.monotonic() - began > 1.5  # it is no faster than this computer's
    board.set_time("2026-11-30T10:00")
    assert is_soon_after(seen(port), "2026-11-30T10:00")


def test_it_is_set_while_a_program_runs(board: Board, port: serial.SerialBase):
    """Ticks do not jump, and the program has the new time when the call returns."""
    port.write(
        b"import time; ticks = time.ticks_ms(); exec('while time.time() < 800_000_000: pass'); "
        b"print('left', time.gmtime()[:5], time.ticks_diff(time.ticks_ms(), ticks) < 60_000)\r"
    )
    until(port, "\r\n")
    board.set_time(WHEN)
    assert until(port, ">>> ").startswith("left (2027, 3, 14, 1, 13) True")


@pytest.mark.parametrize(("call", "sign"), RESETS.items())
def test_it_outlives_resets(board: Board, port: serial.SerialBase, call: str, sign: str):
    board.set_time(WHEN)
    port.write(f"import machine; machine.RTC().memory(b'kept'); {call}\r".encode())
    until(port, sign)
    until(port, "\r\n>>> ")
    assert is_soon_after(seen(port), WHEN)
    port.write(b"machine.RTC().memory()\r")
    assert "b'kept'" in until(port, ">>> ")


def test_what_a_program_sets_outlives_a_reset(board: Board, port: serial.SerialBase):
    port.write(b"import machine; machine.RTC().datetime((2027, 3, 14, 0, 1, 13, 0, 0)); machine.reset()\r")
    until(port, "rst:0xc (SW_CPU_RESET)")
    until(port, "\r\n>>> ")
    assert is_soon_after(seen(port), WHEN)


def test_a_soft_reset_changes_nothing(board: Board, port: serial.SerialBase):
    board.set_time(WHEN)
    port.write(b"\x04")
    until(port, "soft reboot")
    until(port, "\r\n>>> ")
    assert is_soon_after(seen(port), WHEN)


def by_en(board: Board, port: serial.SerialBase) -> None:
    port.dtr, port.rts = False, True
    port.rts = False


def by_power(board: Board, port: serial.SerialBase) -> None:
    ask(board.control, "power", on=False)
    with pytest.raises(BoardError, match="without power there is no clock"):
        board.set_time(WHEN)
    ask(board.control, "power", on=True)


@pytest.mark.parametrize("lose", [by_en, by_power])
def test_it_is_lost_with_power(board: Board, port: serial.SerialBase, lose: Callable):
    """To a chip EN is power: its start is called POWERON_RESET."""
    board.set_time(WHEN)
    port.write(b"import machine; machine.RTC().memory(b'kept')\r")
    until(port, "\r\n>>> ")
    lose(board, port)
    until(port, "rst:0x1 (POWERON_RESET)")
    until(port, "\r\n>>> ")
    assert is_soon_after(seen(port), "2000-01-01")
    port.write(b"import machine; machine.RTC().memory()\r")
    assert "b''" in until(port, ">>> ")


def test_it_is_set_while_the_board_sleeps(paced: Board):
    """The chip sleeps, its clock does not."""
    with open_port(paced.address) as port:
        port.timeout = PATIENCE
        port.write(b"import machine; machine.deepsleep(3000)\r")
        until(port, "\r\n")
        paced.set_time(WHEN)
        until(port, "rst:0x5 (DEEPSLEEP_RESET)")
        until(port, "\r\n>>> ")
        assert is_soon_after(seen(port), WHEN)


@pytest.mark.parametrize("seconds", [-1, 2**40, "0", None])
def test_the_control_side_refuses_other_times(board: Board, seconds: object):
    with pytest.raises(BoardError, match="is no time from 2000 to 2099"):
        ask(board.control, "clock", seconds=seconds)
