"""What there is to see at the pins of the virtual board, and the buttons that are held."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

PINS = 40  # GPIO 0 to 39
KEPT = 64  # changes of a pin
PWM, INPUT, OUTPUT = 0, 1, 3
MODES = {PWM: "PWM", INPUT: "input", OUTPUT: "output", 7: "open drain"}  # by machine.Pin's numbers
FULL = 65535  # duty of machine.PWM


@dataclass
class Trace:
    """What one pin was driven to, 0.0 to 1.0 (of PWM the duty); the last changes are times and new levels."""

    number: int
    mode: str = ""  # since the last reset
    level: float = 0.0
    changes: int = 0
    history: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=KEPT))


class Pins:
    """The pins that programs have used since power came or EN was pressed; times are ms since then."""

    def __init__(self) -> None:
        self.held: set[int] = set()  # a finger does not let go at a reset
        self.forget()

    def forget(self) -> None:
        """Begin anew: power came."""
        self._traces: dict[int, Trace] = {}
        self._since = time.monotonic()

    def drive(self, number: int, mode: int, level: int) -> None:
        """Take what a program says of a pin; mode and level are as in a frame."""
        trace = self._traces.setdefault(number, Trace(number))
        trace.mode = MODES.get(mode, "")
        level = 0 if mode == INPUT else level / FULL if mode == PWM else level
        if level != trace.level:
            trace.level = level
            trace.changes += 1
            trace.history.append((round((time.monotonic() - self._since) * 1000), level))

    def reset(self) -> None:
        """No pin is driven any more."""
        for number, trace in self._traces.items():
            self.drive(number, INPUT, 0)
            trace.mode = ""

    def seen(self) -> list[dict]:
        """Return all that there is to see, by number of the pin."""
        return [
            vars(trace) | {"history": list(trace.history), "held": number in self.held}
            for number, trace in sorted(self._traces.items())
        ]
