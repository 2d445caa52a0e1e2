"""How fast the kit flashes, over adapters and cables that can do less than they should, and what it leaves out."""

from collections.abc import Callable

import pytest
import serial
from esptool.loader import ESPLoader

from kit.board.board import Board
from kit.board.cable import disturbed
from kit.board.loader import download_mode
from kit.board.port import QuickRfc2217
from kit.errors import BoardError
from kit.image.update_image import build

FAST, SLOWER, SLOWEST = 921600, 460800, 115200


class Line(QuickRfc2217):
    """A port that works, as long as the baud rate is the slowest one: what it does at others comes from a subclass."""

    rates: list[int]  # those that it was set to
    worst: int  # the lowest rate at which it fails

    def _reconfigure_port(self) -> None:
        if self.rates[-1:] != [self._baudrate]:
            self.rates.append(self._baudrate)
        super()._reconfigure_port()

    @property
    def fails(self) -> bool:
        return self._baudrate >= self.worst


class UnknownRate(Line):
    def _reconfigure_port(self) -> None:
        if self.fails:
            self.rates.append(self._baudrate)
            raise ValueError(f"Failed to set custom baud rate ({self._baudrate})")  # as pyserial says it on macOS
        super()._reconfigure_port()


class RefusedRate(Line):
    def _reconfigure_port(self) -> None:
        super()._reconfigure_port()
        if self.fails:
            raise serial.SerialException("Remote does not accept parameter change (RFC2217)")


class Garbage(Line):
    def read(self, size: int = 1) -> bytes:
        data = super().read(size)
        return bytes(byte ^ 0x11 for byte in data) if self.fails else data


class Silence(Line):
    def write(self, data: bytes) -> int:
        return len(data) if self.fails else super().write(data)


class LostBytes(Line):
    """Loses a byte of every few thousand that go to the chip: small packets arrive."""

    sent = 0

    def write(self, data: bytes) -> int:
        self.sent += len(data)
        if self.fails and self.sent > 9000:
            self.sent = 0
            super().write(data[:-1])
            return len(data)
        return super().write(data)


class TurnedBits(Line):
    """Turns a bit of every few hundred bytes that the chip sends: its MD5 tells."""

    came = 0

    def read(self, size: int = 1) -> bytes:
        data = bytearray(super().read(size))
        self.came += len(data)
        if self.fails and data and self.came > 700:
            self.came = 0
            data[-1] ^= 4
        return bytes(data)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Function that puts a kind of line between kit and board; it gives the list of rates that will be asked for."""

    def put(kind: type[Line], worst: int) -> list[int]:
        kind = type(kind.__name__, (kind,), {"rates": [], "worst": worst})
        monkeypatch.setattr("kit.board.port.QuickRfc2217", kind)
        return kind.rates

    return put


def test_a_good_line_is_used_at_its_fastest(board: Board, line: Callable):
    rates = line(Line, 10**9)
    image = build("1.0.0", board=board)
    board.flash(image)
    assert rates == [SLOWEST, FAST, SLOWEST]  # the board prints at the last one when it starts
    assert board.read(0x10000, image.size) == image.data
    assert "MicroPython v1.26.0" in board.reset()


@pytest.mark.parametrize("kind", [UnknownRate, RefusedRate, Garbage, Silence, LostBytes, TurnedBits])
def test_a_line_that_fails_is_used_at_a_lower_rate(
    board: Board, line: Callable, monkeypatch: pytest.MonkeyPatch, kind: type[Line]
):
    worst = FAST if kind in (Silence, LostBytes) else SLOWER
    rates = line(kind, worst)
    image = build("1.0.0", board=board)
    board.flash(image)
    tried = [FAST, SLOWER, SLOWEST] if worst == SLOWER else [FAST, SLOWER]
    assert [rate for rate in dict.fromkeys(rates) if rate != SLOWEST] == tried[:2]
    assert rates[-1] == SLOWEST
    assert all(SLOWEST in rates[at : at + 2] for at in range(len(rates) - 1))  # it is reset between any two
    monkeypatch.undo()
    assert board.read(0x10000, image.size) == image.data


def test_a_line_that_fails_always_is_named(board: Board, line: Callable):
    line(LostBytes, SLOWEST)
    with pytest.raises(BoardError, match=r"^(esptool: |No ESP32 answers).* Check the cable|charging"):
        board.flash(build("1.0.0", board=board))


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """The places in the flash that esptool writes."""
    places = []
    for name in ("flash_begin", "flash_defl_begin"):
        begin = getattr(ESPLoader, name)

        def count(esp: ESPLoader, size: int, *rest: int, begin: Callable = begin, **options: object) -> object:
            places.append(range(rest[-1], rest[-1] + size))
            return begin(esp, size, *rest, **options)

        monkeypatch.setattr(ESPLoader, name, count)
    return places


def test_what_is_there_is_not_written_again(board: Board, written: list[range]):
    image = build("1.0.0", board=board)
    board.flash(image)
    assert sum(map(len, written)) >= image.size
    written.clear()
    board.flash(image)
    assert written == [range(0xD000, 0xF000)]  # otadata, where the first start has left a record


def test_of_a_new_version_only_what_changed_is_written(board: Board, written: list[range]):
    board.flash(build("1.0.0", board=board))
    written.clear()
    image = build("2.0.0", board=board)
    board.flash(image)
    assert 0 < sum(map(len, written)) < image.size // 4
    assert board.read(0x10000, image.size) == image.data


def test_a_single_wrong_byte_is_found_and_mended(board: Board, written: list[range]):
    image = build("1.0.0", board=board)
    board.flash(image)
    place = 0x10000 + image.size - 1
    with disturbed(board.address) as port, download_mode(port) as loader:
        loader.write([(place // 4096 * 4096, image.data[-4096:-1] + b"?")])
    written.clear()
    board.flash(image)
    assert [place in places for places in written] == [False, True]  # otadata, and the piece with this byte
    assert board.read(0x10000, image.size) == image.data
