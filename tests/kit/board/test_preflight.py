import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial
from mpremote.transport import TransportError

import kit
from kit.board.board import Board
from kit.board.preflight import Check, Preflight, preflight
from kit.image.update_image import build
from kit.virtual.uart import Uart

CHIP = Check("chip", "ok", "ESP32-D0WD-V3 (revision v3.1), 4 MB of flash")
CABLE = "For a real board: a USB cable made for data, on Windows and Mac also the driver of its chip (CP210x, CH340)."


@pytest.fixture
def board(board: Board, monkeypatch: pytest.MonkeyPatch) -> Board:
    """The blank board, on a computer of which nothing special is known."""
    for name in ("JUPYTERHUB_USER", "JUPYTERHUB_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platform.release", lambda: "6.1.0-18-amd64")
    return board


def failed(result: Preflight) -> Check:
    """Return the check that failed, which is the last one that was made."""
    assert not result.ok
    assert [check.state for check in result.checks[:-1]] == ["ok"] * (len(result.checks) - 1)
    assert result.checks[-1].state == "failed"
    return result.checks[-1]


def test_a_blank_board_is_all_right(board: Board):
    result = kit.preflight()
    assert result.ok
    assert (
        repr(result)
        == """\
port         ok       virtual board (KIT_BOARD)
access       ok       the port opens
chip         ok       ESP32-D0WD-V3 (revision v3.1), 4 MB of flash
MicroPython  not yet  There is no program on the board.  \
board.flash(image) puts MicroPython on the board, as lesson 01 shows."""
    )
    assert "invalid header: 0xffffffff" in board.reset()


def test_a_flashed_board_differs_in_one_line(board: Board, cells: Callable):
    blank = kit.preflight()
    board.flash(build("1.0.0", board=board))
    result = kit.preflight()
    assert result.checks[:-1] == blank.checks[:-1]
    assert result.checks[-1] == Check("MicroPython", "ok", "v1.26.0 on 2025-08-09")
    assert "not yet" not in result._repr_html_()
    assert ["MicroPython", "ok", "v1.26.0 on 2025-08-09", ""] in cells(result._repr_html_())


def test_the_program_runs_again_afterwards(board: Board):
    board.ready(2)
    assert kit.preflight().ok
    assert kit.OtaClient(board.url).info()["version"] == "1.0.0"


def test_another_program_is_no_failure(board: Board, monkeypatch: pytest.MonkeyPatch):
    def silent(*_: object, **__: object) -> None:
        raise TransportError("could not enter raw repl")

    board.flash(build("1.0.0", board=board))
    monkeypatch.setattr("kit.board.repl.SerialTransport.enter_raw_repl", silent)
    result = kit.preflight()
    assert result.ok
    assert (result.checks[-1].state, result.checks[-1].found) == ("not yet", "No MicroPython answers.")


def without_port(monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return the check of the port on a computer that has none."""
    monkeypatch.delenv("KIT_BOARD")
    monkeypatch.setattr("kit.address.list_ports.comports", list)
    result = kit.preflight()
    assert result.ok
    assert result.checks[0].found == "virtual board (no USB serial port was found)"
    return result.checks[0]


def test_without_a_port_the_cable_is_looked_at(board: Board, monkeypatch: pytest.MonkeyPatch):
    assert without_port(monkeypatch).next_step == CABLE


def test_windows_keeps_the_port_from_its_linux(board: Board, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("platform.release", lambda: "5.15.153.1-microsoft-standard-WSL2")
    assert "usbipd attach --wsl" in without_port(monkeypatch).next_step


@pytest.mark.parametrize("name", ["JUPYTERHUB_USER", "JUPYTERHUB_API_URL"])
def test_a_hub_is_not_where_the_board_is(board: Board, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(name, "ada")
    assert "esp_rfc2217_server -p 4000 PORT" in without_port(monkeypatch).next_step


def test_several_ports_are_listed(monkeypatch: pytest.MonkeyPatch):
    class Port:
        vid = 0x1A86

        def __init__(self, device: str) -> None:
            self.device = device

    monkeypatch.delenv("KIT_BOARD")
    monkeypatch.setattr("kit.address.list_ports.comports", lambda: [Port("COM5"), Port("COM4")])
    check = failed(kit.preflight())
    assert (check.name, check.found) == ("port", "Several boards could be meant: COM4, COM5.")
    assert 'kit.connect("COM4")' in check.next_step


@pytest.mark.parametrize("address", [5, b"COM5"])
def test_an_address_of_another_type(address: object):
    assert failed(kit.preflight(address)).name == "port"


def test_a_port_that_is_not_there():
    check = failed(kit.preflight("COM5"))
    assert (check.name, check.found) == ("access", "There is no port COM5.")


def test_a_port_in_use(terminal: str):
    with serial.Serial(terminal, exclusive=True):
        check = failed(kit.preflight(terminal))
    assert (check.name, check.found) == ("access", f"{terminal} is busy.")
    assert "Close" in check.next_step


def test_a_port_of_another_group(terminal: str, monkeypatch: pytest.MonkeyPatch):
    def denied(path: str, *flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("serial.serialposix.os.open", denied)
    check = failed(kit.preflight(terminal))
    assert check.name == "access"
    assert "dialout" in check.next_step


def test_a_virtual_board_that_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("KIT_FLASH", str(tmp_path))
    assert "Name another file" in failed(kit.preflight()).next_step


def test_a_cable_without_data(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.board.boot_log.SILENCE", 0.1)
    monkeypatch.setattr("kit.board.loader.ATTEMPTS", 1)
    uart = Uart(0, lambda data: None, lambda dtr, rts: None)  # nothing behind it
    uart.start()
    check = failed(kit.preflight(f"rfc2217://127.0.0.1:{uart.port}"))
    assert check.name == "chip"
    assert check.next_step.startswith("Is the cable made for data, not only for charging?")
    assert "BOOT" in check.next_step


@pytest.mark.parametrize("name", ["ESP32-S3", "ESP32-C3"])
def test_another_chip_is_named_and_started_again(board: Board, monkeypatch: pytest.MonkeyPatch, name: str):
    class Other:
        CHIP_NAME = name

    board.ready(2)
    with monkeypatch.context() as patch:
        patch.setattr("kit.board.loader.cmds.detect_chip", lambda *_, **__: Other())
        check = failed(kit.preflight())
    assert check.name == "chip"
    assert f"is an {name}." in check.found
    assert check.next_step == "The kit speaks to the ESP32 only."
    assert kit.OtaClient(board.url).info()["version"] == "1.0.0"


def test_what_was_found_is_no_markup():
    assert "&lt;b&gt;" in Preflight((Check("port", "ok", "<b>"),))._repr_html_()


def test_function_and_module_do_not_share_a_name():
    assert kit.preflight is preflight


@pytest.fixture
def terminal() -> Iterator[str]:
    """Name of a port that is there."""
    pty = pytest.importorskip("pty")
    import os

    ends = pty.openpty()
    yield os.ttyname(ends[1])
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)
