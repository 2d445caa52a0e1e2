"""A serial port has one client; whoever comes second is turned away, and the first does not notice."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from kit.board.port import open_port
from kit.board.repl import Repl, raw_repl
from kit.errors import AddressError


@pytest.fixture
def url(start: Callable, micropython_flash: bytes, tmp_path: Path) -> str:
    (tmp_path / "flash.bin").write_bytes(micropython_flash)
    virtual = start()
    virtual.board().reset()
    return virtual.serial


@pytest.fixture
def first(url: str) -> Iterator[Repl]:
    """The first client, in the raw REPL with a variable that a reset or a soft reset would end."""
    with open_port(url) as port, raw_repl(port) as repl:
        repl.exec("x = 42")
        yield repl
        assert repl.eval("x") == 42


def test_pyserial_is_refused(first: Repl, url: str):
    for _ in range(3):
        with pytest.raises(serial.SerialException, match="refused"):
            serial.serial_for_url(url)
        assert first.eval("x") == 42


def test_the_kit_is_refused_with_advice(first: Repl, url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.board.port.PATIENCE", 0)
    with pytest.raises(AddressError, match="takes no connection") as caught, open_port(url):
        pass
    assert "another program" in caught.value.advice


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("esptool --port {} flash-id", "Could not open {}, the port is busy or doesn't exist."),
        ("mpremote connect {} eval 1", "failed to access {} (it may be in use by another program)"),
    ],
)
def test_the_stock_tools_are_refused(
    first: Repl, url: str, run_tool: Callable, tmp_path: Path, command: str, says: str
):
    done = run_tool(tmp_path, *command.format(url).split())
    assert done.returncode != 0
    assert says.format(url) in done.stdout + done.stderr


def test_the_port_is_free_again_when_the_first_has_gone(url: str):
    for _ in range(5):
        with open_port(url) as port, raw_repl(port) as repl:
            with pytest.raises(serial.SerialException, match="refused"):
                serial.serial_for_url(url)
            assert repl.eval("6 * 7") == 42
