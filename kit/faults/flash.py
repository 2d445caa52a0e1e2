"""Faults of the flash, below the driver: only a virtual board can have them on request."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass

from kit.board.board import Board
from kit.board.control import ask
from kit.errors import BoardError
from kit.image.partition import SECTOR, Partition

__all__ = ["half_write", "lying_read", "power_cut", "stuck_bit", "stuck_sector"]

TEXTS = {
    "power_cut": "the power goes after {at:,} operations of the flash",
    "torn_write": "the power goes half-way through the next write at {at:#x}",
    "stuck_sector": "the sector at {at:#x} is not erased",
    "stuck_bit": "a bit at {at:#x} stays 1",
    "lying_read": "a bit at {at:#x} reads wrong",
}


@dataclass(frozen=True, repr=False)
class FlashFault(AbstractContextManager):
    """A fault that is planted in the flash of a board, until it is removed or its `with` block ends."""

    board: Board
    kind: str
    places: tuple[int, ...]

    def __post_init__(self) -> None:
        self._plant(on=True)

    def __repr__(self) -> str:
        return TEXTS[self.kind].format(at=self.places[0])

    def _plant(self, on: bool) -> None:
        for at in self.places:
            ask(self.board.control, "fault", kind=self.kind, at=at, on=on)

    def wait(self, seconds: float = 60) -> None:
        """Return once the fault has cut the power.

        Raises:
            BoardError: that does not happen within so many seconds.
        """
        deadline = time.monotonic() + seconds
        while ask(self.board.control, "powered"):
            if time.monotonic() > deadline:
                raise BoardError(f"The power has not gone within {seconds:g} s.", "Plant the fault before the update.")
            time.sleep(0.05)

    def remove(self) -> None:
        """Take the fault away; where the power is off, switch it on again."""
        self._plant(on=False)
        ask(self.board.control, "power", on=True)

    def __exit__(self, *_: object) -> None:
        self.remove()


# Each raises BoardError for a real board, and for a place that the flash does not have.


def power_cut(board: Board, operations: int) -> FlashFault:
    """Cut the power after so many more operations of the flash: erases of a sector, and writes."""
    return FlashFault(board, "power_cut", (operations,))


def half_write(board: Board, partition: Partition) -> FlashFault:
    """Cut the power half-way through the next write into a partition."""
    if not isinstance(partition, Partition):
        raise BoardError(f"{partition!r} is no partition.", 'Give one, as board.partitions().find("otadata").')
    return FlashFault(board, "torn_write", tuple(range(partition.offset, partition.end, SECTOR)))


def stuck_sector(board: Board, address: int) -> FlashFault:
    """Let the sector with a flash address stay as it is when it is erased."""
    return FlashFault(board, "stuck_sector", (address,))


def stuck_bit(board: Board, address: int) -> FlashFault:
    """Let the lowest bit that the next write clears at a flash address stay 1."""
    return FlashFault(board, "stuck_bit", (address,))


def lying_read(board: Board, address: int) -> FlashFault:
    """Let the lowest bit at a flash address read wrong, as often as it is read."""
    return FlashFault(board, "lying_read", (address,))
