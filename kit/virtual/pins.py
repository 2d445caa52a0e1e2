"""What there is to see at the pins of the virtual board, and the buttons that are held."""

import time
from dataclasses import asdict, replace

from kit.board.pins import Pin

PINS = 40  # GPIO 0 to 39
KEPT = 64  # changes of a pin
PWM, INPUT = 0, 1
MODES = {PWM: "PWM", INPUT: "input", 3: "output", 7: "open drain"}  # by machine.Pin's numbers
FULL = 65535  # duty of machine.PWM


class Pins:
    """The pins that programs have used since power came or EN was pressed; times are ms since then."""

    def __init__(self) -> None:
        self.held: set[int] = set()  # a finger does not let go at a reset
        self.forget()

    def forget(self) -> None:
        """Begin anew: power came."""
        self._pins: dict[int, Pin] = {}
        self._since = time.monotonic()

    def drive(self, number: int, mode: int, level: int) -> None:
        """Take what a program says of a pin; mode and level are as in a frame."""
        level = 0 if mode == INPUT else level / FULL if mode == PWM else level
        self._set(number, MODES.get(mode, ""), level)

    def reset(self) -> None:
        """No pin is driven any more."""
        for number in self._pins:
            self._set(number, "", 0)

    def _set(self, number: int, mode: str, level: float) -> None:
        pin = self._pins.get(number) or Pin(number)
        if level != pin.level:
            change = round((time.monotonic() - self._since) * 1000), level
            pin = replace(pin, level=level, changes=pin.changes + 1, history=(*pin.history, change)[-KEPT:])
        self._pins[number] = replace(pin, mode=mode)

    def seen(self) -> list[dict]:
        """Return all that there is to see, by number of the pin, as kit.board.pins.Pin has it."""
        return [asdict(pin) | {"held": number in self.held} for number, pin in sorted(self._pins.items())]
