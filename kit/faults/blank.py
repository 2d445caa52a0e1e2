"""A slot with nothing in it."""

from kit.board.board import Board

# It prints, so that nobody takes a board that erases for half a minute for one that does not answer.
ERASE = """
from esp32 import Partition

slot = Partition(Partition.RUNNING).get_next_update()
for sector in range(slot.info()[3] // 4096):
    slot.ioctl(6, sector)
    print(sector)
"""


def blank_slot(board: Board) -> None:
    """Erase the slot that the next update goes to, as on a new board, over the cable; the board restarts afterwards.

    Raises:
        BoardError: no MicroPython answers, or the partition table has no second slot.
    """
    with board.repl() as repl:
        repl.exec(ERASE)
