"""The two records in otadata, shown: which slot the bootloader starts, and why."""

from collections.abc import Callable
from dataclasses import dataclass

from kit import otadata
from kit.errors import TableError
from kit.shown import html_table
from kit.table import ADVICE, OFFSET, SIZE, PartitionTable

STATES = ("NEW", "PENDING_VERIFY", "VALID", "INVALID", "ABORTED")  # by number: esp_ota_img_states_t
HEAD = ("record", "seq", "slot", "state", "CRC", "")


@dataclass(frozen=True, repr=False)
class Records:
    """Both records of otadata, and the labels of the slots that they choose from."""

    records: tuple[otadata.Record, ...]
    slots: tuple[str, ...]

    @property
    def active(self) -> int | None:
        """The record that the bootloader follows, 0 or 1; None where neither is valid."""
        return otadata.active(*self.records)

    def _cells(self, number: int) -> tuple[str, ...]:
        record = self.records[number]
        if record.seq == otadata.BLANK_SEQ:
            return str(number), "", "", "blank", "", ""
        right = record.crc == otadata.crc(record.seq)
        slot = self.slots[otadata.slot_of(record.seq, len(self.slots))] if right and self.slots else ""
        state = STATES[record.state] if record.state < len(STATES) else "UNDEFINED"
        end = "<- active" if number == self.active else ""
        return str(number), str(record.seq), slot, state, "right" if right else "wrong", end

    def __repr__(self) -> str:
        return "\n".join(
            f"{record:<6}  {seq:>4}  {slot:<6}  {state:<14}  {crc:<5}  {active}".rstrip()
            for record, seq, slot, state, crc, active in (HEAD, self._cells(0), self._cells(1))
        )

    def _repr_html_(self) -> str:
        return html_table((self._cells(0), self._cells(1)), HEAD)


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
