"""The pins of a virtual board, shown: what an LED on them does, and what a button does to them."""

from dataclasses import dataclass

from kit.errors import BoardError
from kit.shown import html_table

HEAD = ("pin", "mode", "level", "changes")


@dataclass(frozen=True)
class Pin:
    """What one pin does; its mode ("output", "input", "open drain", "PWM") is empty while no program uses it.

    Args:
        level: what drives it, from 0.0 to 1.0; of PWM the duty.
        changes: how often the level changed since power came or EN was pressed; other resets do not end the count.
        history: the last 64 changes, as ms since then and the new level.
        held: a button holds it low, where nothing drives it.
    """

    number: int
    mode: str = ""
    level: float = 0.0
    changes: int = 0
    history: tuple[tuple[int, float], ...] = ()
    held: bool = False

    @property
    def blinks(self) -> int:
        """How often an LED on it went on."""
        return (self.changes + 1) // 2

    @property
    def state(self) -> str:
        """The level in words."""
        if self.mode == "input":
            return "held" if self.held else "not held"
        if not self.mode and not self.changes:  # such as a button that is looked at when a program starts
            return "not in use"
        return {0: "off", 1: "on"}.get(self.level, f"{self.level:.0%}")


class Pins(tuple[Pin, ...]):
    """The pins that programs have used; `pins[2]` is GPIO 2."""

    def __getitem__(self, number: int) -> Pin:
        for pin in self:
            if pin.number == number:
                return pin
        raise BoardError(f"No program has used GPIO {number} yet.", "board.pins() shows those in use.")

    def __repr__(self) -> str:
        return "\n".join(f"GPIO {pin.number}: {pin.state}" for pin in self) or "No program has used a pin yet."

    def _repr_html_(self) -> str:
        return html_table(((f"GPIO {pin.number}", pin.mode, pin.state, pin.changes) for pin in self), HEAD)
