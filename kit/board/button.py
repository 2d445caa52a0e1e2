"""A button of a virtual board, held down."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from kit.board.control import ask


@dataclass(frozen=True, repr=False)
class Press(AbstractContextManager):
    """A button of a virtual board that is held down: at once, until it is released or its `with` block ends."""

    control: str
    pin: int

    def __post_init__(self) -> None:
        ask(self.control, "press", pin=self.pin, held=True)

    def __repr__(self) -> str:
        return f"The button on GPIO {self.pin} is held, until .release() or the end of a `with` block."

    def release(self) -> None:
        """Let go of the button."""
        ask(self.control, "press", pin=self.pin, held=False)

    def __exit__(self, *_: object) -> None:
        self.release()
