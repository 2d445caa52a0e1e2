"""LEDs during an update, on both interpreters."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

BODY = (Path(__file__).parent / "bodies/leds.py").read_text()
PASSWORD = "a password of our own"


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)\(\)", BODY, re.M))
def test_led(function: str, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("leds", function, make_flash())
    assert done.code == 0, done.output


def wait_for_pins(board, is_so: Callable[[list], bool]) -> list:
    end = time.monotonic() + 30
    while not is_so(pins := board.get("/inside").json()["pins"]):
        assert time.monotonic() < end, pins
    return pins


@pytest.mark.parametrize("gpio", [2, 4])
def test_blinks_while_an_update_runs(gpio: int, interpreter, make_flash, serve, image_file: Path) -> None:
    """At the pin of the settings; off at rest and after the update was broken off."""
    board = serve(interpreter, make_flash(), password=PASSWORD)
    board.log_in(PASSWORD)
    if gpio != 2:
        assert board.put("/config", json={"pins": {"led": gpio}}, headers=board.bearer).status_code == 200
        assert board.post("/restart", headers=board.bearer).status_code == 200
        board.wait()
        board = serve(interpreter, board.flash, install=0)
        board.log_in(PASSWORD)
    assert not any(level for _, level in board.get("/inside").json()["pins"])
    data = image_file.read_bytes()
    with board.start_upload(len(data), data[:6000]):
        pins = wait_for_pins(board, lambda pins: len(pins) >= 6)
        assert {number for number, _ in pins} == {gpio}
        blinks = [level for _, level in pins][-5:]
        assert blinks in ([1, 0, 1, 0, 1], [0, 1, 0, 1, 0])
    board.wait_until(lambda progress: progress["phase"] == "idle")
    pins = wait_for_pins(board, lambda pins: pins[-1] == [gpio, 0])
    assert board.update(data).status_code == 200
