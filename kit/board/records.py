"""The two records in otadata, shown: which slot the bootloader starts, and why."""

from collections.abc import Callable
from dataclasses import dataclass

from kit.errors import TableError
from kit.image import otadata
from kit.image.table import ADVICE, OFFSET, SIZE, PartitionTable
from kit.shown import Table

STATES = ("NEW", "PENDING_VERIFY", "VALID", "INVALID", "ABORTED")  # by number: esp_ota_img_states_t
HEAD = ("record", "seq", "slot", "state", "CRC", "")


@dataclass(frozen=True, repr=False)
class Records(Table):
    """Both records of otadata, and the labels of the slots that they choose from."""

    COLUMNS = ("<6", ">4", "<6", "<14", "<5", "")

    records: tuple[otadata.Record, ...]
    slots: tuple[str, ...]

    @property
    def active(self) -> int | None:
        """The record that the bootloader follows, 0 or 1; None where neither is valid."""
        return otadata.active(*self.records)

    @property
    def slot(self) -> str | None:
        """The label of the slot that the active record names."""
        return None if self.active is None else self._row(self.active)[2]

    def _cells(self) -> list[tuple[str, ...]]:
        return [HEAD, self._row(0), self._row(1)]

    def _row(self, number: int) -> tuple[str, ...]:
        record = self.records[number]
        if record.seq == otadata.BLANK_SEQ:
            return str(number), "", "", "blank", "", ""
        right = record.crc == otadata.crc(record.seq)
        slot = self.slots[otadata.slot_of(record.seq, len(self.slots))] if right and self.slots else ""
        state = STATES[record.state] if record.state < len(STATES) else "UNDEFINED"
        end = "<- active" if number == self.active else ""
        return str(number), str(record.seq), slot, state, "right" if right else "wrong", end


def read_records(read: Callable[[int, int], bytes]) -> Records:
    """Read the records of a board.

    Args:
        read: (address, length) -> bytes of flash.

    Raises:
        TableError: there is no partition table, a damaged one, or one without otadata.
    """
    table = PartitionTable.from_bytes(read(OFFSET, SIZE))
    if table.otadata is None:
        raise TableError("The partition table has no otadata: this board cannot be updated.", ADVICE)
    places = [table.otadata.offset + offset for offset in otadata.RECORD_OFFSETS]
    records = tuple(otadata.unpack(read(place, otadata.RECORD_SIZE)) for place in places)
    return Records(records, tuple(slot.label for slot in table.slots))
