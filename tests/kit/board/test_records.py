from collections.abc import Callable

import pytest

from kit.board.records import Records, read_records
from kit.errors import TableError
from kit.image import otadata
from kit.image.table import MICROPYTHON_OTA, OFFSET, PartitionTable

BLANK = b"\xff" * otadata.RECORD_SIZE
SLOTS = ("ota_0", "ota_1")


def flash(table: PartitionTable, *records: bytes) -> Callable[[int, int], bytes]:
    """Return a function that reads a flash with this table and these records."""
    content = bytearray(b"\xff" * 0x10000)
    content[OFFSET : OFFSET + 0xC00] = table.to_bytes()
    for number, record in enumerate(records):
        start = 0xD000 + 0x1000 * number
        content[start : start + len(record)] = record
    return lambda address, length: bytes(content[address : address + length])


def test_records_are_read_and_shown():
    read = flash(MICROPYTHON_OTA, otadata.pack(1, otadata.VALID), otadata.pack(2, otadata.PENDING_VERIFY))
    records = read_records(read)
    assert records.active == 1
    assert repr(records).splitlines() == [
        "record   seq  slot    state           CRC",
        "0          1  ota_0   VALID           right",
        "1          2  ota_1   PENDING_VERIFY  right  <- active",
    ]


def test_a_board_that_was_never_updated(cells: Callable):
    records = read_records(flash(MICROPYTHON_OTA, otadata.pack(1, otadata.VALID), BLANK))
    assert cells(records._repr_html_())[1:] == [
        ["0", "1", "ota_0", "VALID", "right", "<- active"],
        ["1", "", "", "blank", "", ""],
    ]


def test_a_torn_record_stands_for_no_slot():
    torn = otadata.pack(2, otadata.NEW)[:28] + bytes(4)
    records = read_records(flash(MICROPYTHON_OTA, otadata.pack(1, otadata.VALID), torn))
    assert records.active == 0
    assert repr(records).splitlines()[2] == "1          2          NEW             wrong"


@pytest.mark.parametrize("state", [otadata.UNDEFINED, 5])
def test_a_state_that_has_no_name(state: int):
    records = Records((otadata.unpack(otadata.pack(1, state)), otadata.unpack(BLANK)), SLOTS)
    assert "UNDEFINED" in repr(records)
    assert records.active == 0


def test_blank_otadata_follows_neither():
    assert read_records(flash(MICROPYTHON_OTA)).active is None


def test_a_table_without_otadata():
    table = PartitionTable(tuple(row for row in MICROPYTHON_OTA if row.label != "otadata"))
    with pytest.raises(TableError, match="has no otadata"):
        read_records(flash(table))
