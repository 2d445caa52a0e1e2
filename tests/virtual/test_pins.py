"""What the control side tells of the pins of a running board, and the button that it holds."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from kit.board.board import Board
from kit.board.control import ask
from kit.board.pins import Pin
from kit.board.port import open_port
from kit.board.repl import Repl, raw_repl
from kit.errors import BoardError
from kit.settings import DEMO
from kit.virtual.chip import Chip
from kit.virtual.flash import Flash

BUTTON = "from machine import Pin\nb = Pin(18, Pin.IN, Pin.PULL_UP)"


@pytest.fixture
def repl(board: Board) -> Iterator[Repl]:
    """Its raw REPL."""
    with open_port(board.address) as port, raw_repl(port) as repl:
        yield repl


def test_an_led_that_blinked(board: Board, repl: Repl):
    assert repr(board.pins()) == "No program has used a pin yet."
    repl.exec("from machine import Pin\nled = Pin(2, Pin.OUT)\nfor _ in range(6): led.toggle()")
    led = board.pins()[2]
    assert (led.mode, led.level, led.changes, led.blinks) == ("output", 0, 6, 3)
    assert [level for _, level in led.history] == [1, 0, 1, 0, 1, 0]
    times = [ms for ms, _ in led.history]
    assert times == sorted(times)
    repl.exec("led.on()\nled.on()")
    assert repr(board.pins()) == "GPIO 2: on"
    assert (board.pins()[2].changes, board.pins()[2].blinks) == (7, 4)


def test_what_a_program_did_before_one_looks_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    late, flash = threading.Event(), Flash(tmp_path / "flash.bin", 0)
    flash.powered = False
    with closing(flash):
        chip = Chip(flash, DEMO)
        chip.start()
        chip._loop.call_soon_threadsafe(late.wait)  # the chip's own thread comes late, as on a loaded computer
        ask_chip = chip._soon
        ask_chip(chip.pins.drive, 2, 3, 1)
        monkeypatch.setattr(chip, "_soon", lambda *call: (ask_chip(*call), late.set()))
        seen = chip.look()
        late.set()
        chip.stop()
    assert [(pin["number"], pin["mode"]) for pin in seen] == [(2, "output")]


def test_all_changes_are_counted_and_the_last_64_kept(board: Board, repl: Repl):
    repl.exec("from machine import Pin\nled = Pin(2, Pin.OUT)\nfor _ in range(201): led.toggle()")
    led = board.pins()[2]
    assert (led.changes, len(led.history), led.history[-1][1]) == (201, 64, 1)


def test_pins_show_themselves_by_number(board: Board, repl: Repl):
    repl.exec(f"{BUTTON}\nfrom machine import PWM\np = PWM(Pin(25), freq=1000, duty_u16=16384)\nled = Pin(2, Pin.OUT)")
    pins = board.pins()
    assert repr(pins) == "GPIO 2: off\nGPIO 18: not held\nGPIO 25: 25%"
    assert [pin.mode for pin in pins] == ["output", "input", "PWM"]
    for text in ("GPIO 25", "PWM", "25%", "not held", "changes"):
        assert text in pins._repr_html_()
    repl.exec("p.deinit()")
    assert board.pins()[25].level == 0
    with pytest.raises(BoardError, match="No program has used GPIO 4 yet"):
        pins[4]


def test_a_reset_ends_what_drives_a_pin_and_only_en_ends_the_count(board: Board):
    with open_port(board.address) as port:
        with raw_repl(port) as repl:
            repl.exec("from machine import Pin\nled = Pin(2, Pin.OUT, value=1)")
        port.write(b"import machine; machine.reset()\r")
        port.timeout = 10
        assert port.read_until(b"rst:0xc (SW_CPU_RESET)").endswith(b")")
        assert b"MicroPython v" in port.read_until(b"help()")
    led = board.pins()[2]
    assert (led.mode, led.state, led.changes) == ("", "off", 2)
    board.reset()
    assert list(board.pins()) == []


def test_a_button_is_held_through_resets(board: Board):
    with board.press(18):
        board.reset()
        with open_port(board.address) as port, raw_repl(port) as repl:
            repl.exec(BUTTON)
            assert repl.eval("b.value()") == 0
            assert repr(board.pins()) == "GPIO 18: held"
    with open_port(board.address) as port, raw_repl(port) as repl:
        repl.exec(BUTTON)
        assert repl.eval("b.value()") == 1
    assert repr(board.pins()) == "GPIO 18: not held"


def test_pins_that_nothing_has_moved_are_not_called_off():
    assert [Pin(18).state, Pin(2, changes=2).state, Pin(2, mode="output").state] == ["not in use", "off", "off"]


def test_a_button_is_let_go_when_the_cell_fails(board: Board, repl: Repl):
    with pytest.raises(ZeroDivisionError), board.press(18):
        raise ZeroDivisionError
    repl.exec(BUTTON)
    assert repl.eval("b.value()") == 1


def test_a_button_is_pressed_at_once_and_says_for_how_long(board: Board, repl: Repl):
    button = board.press(18)
    assert repr(button) == "The button on GPIO 18 is held, until .release() or the end of a `with` block."
    repl.exec(BUTTON)
    assert repl.eval("b.value()") == 0
    button.release()
    assert repl.eval("b.value()") == 1


@pytest.mark.parametrize("pin", [-1, 40, 18.0, "18", None, [18]])
def test_a_button_on_no_pin(board: Board, pin: object):
    with pytest.raises(BoardError, match="there is no GPIO"):
        ask(board.control, "press", pin=pin, held=True)
    assert "rst:0x1" in board.reset()


def test_a_real_board_shows_no_pins():
    board = Board("/dev/ttyUSB0")
    with pytest.raises(BoardError, match="Look at the LED"):
        board.pins()
    with pytest.raises(BoardError, match="Hold the one on GPIO 18 yourself"):
        board.press(18)
