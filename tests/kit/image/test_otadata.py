import subprocess
from pathlib import Path

import pytest

from kit.image import otadata
from kit.image.otadata import ABORTED, INVALID, NEW, PENDING_VERIFY, UNDEFINED, VALID

BLANK = b"\xff" * 32

# what MicroPython 1.25 on ESP32 wrote
CRCS = {1: 0x4743989A, 2: 0x55F63774, 3: 0xED4A5011, 4: 0x709D68A8}

ON_MICROPYTHON = """
import otadata
print([otadata.crc(seq) for seq in (1, 2, 3, 4)])
records = otadata.parse(otadata.pack(1, otadata.VALID) + b"\\xff" * 0xFE0 + otadata.pack(2, otadata.NEW))
print(otadata.active(*records), records[1].state, otadata.next_seq(2, 0, 2), otadata.is_valid(records[0]))
"""


def record(seq: int, state: int) -> otadata.Record:
    return otadata.unpack(otadata.pack(seq, state))


def test_crc_is_the_one_the_chip_writes():
    assert {seq: otadata.crc(seq) for seq in CRCS} == CRCS


def test_a_record_is_32_bytes_in_the_chips_order():
    expected = bytes.fromhex("02000000" + "ff" * 20 + "01000000" + "7437f655")
    assert otadata.pack(2, PENDING_VERIFY) == expected
    assert otadata.unpack(expected) == (2, PENDING_VERIFY, 0x55F63774)


def test_parse_finds_both_records():
    data = otadata.pack(1, VALID).ljust(0x1000, b"\xff") + otadata.pack(2, NEW).ljust(0x1000, b"\xff")
    assert len(data) == otadata.SIZE
    assert otadata.parse(data) == (record(1, VALID), record(2, NEW))


@pytest.mark.parametrize("state", [NEW, PENDING_VERIFY, VALID, UNDEFINED])
def test_a_record_that_may_run_is_valid(state: int):
    assert otadata.is_valid(record(1, state))
    assert not otadata.is_invalid(record(1, state))


@pytest.mark.parametrize("state", [INVALID, ABORTED])
def test_a_record_that_must_not_run_is_invalid(state: int):
    assert otadata.is_invalid(record(1, state))
    assert not otadata.is_valid(record(1, state))


def test_a_blank_record_is_invalid():
    assert otadata.is_invalid(otadata.unpack(BLANK))


def test_a_wrong_crc_is_neither_invalid_nor_valid():
    damaged = record(1, VALID)._replace(crc=0)
    assert not otadata.is_invalid(damaged)
    assert not otadata.is_valid(damaged)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((1, VALID), (2, NEW), 1),
        ((3, NEW), (2, NEW), 0),
        ((2, NEW), (2, VALID), 0),  # a tie, which set_boot of the running slot leaves
        ((1, VALID), (2, ABORTED), 0),
        ((3, ABORTED), (2, PENDING_VERIFY), 1),
        ((1, INVALID), (2, ABORTED), None),
    ],
)
def test_the_active_record(first: tuple, second: tuple, expected: int | None):
    assert otadata.active(record(*first), record(*second)) == expected


def test_nothing_is_active_in_blank_otadata():
    assert otadata.active(otadata.unpack(BLANK), otadata.unpack(BLANK)) is None


@pytest.mark.parametrize(("seq", "slots", "slot"), [(1, 2, 0), (2, 2, 1), (3, 2, 0), (4, 3, 0), (6, 3, 2)])
def test_slot_of(seq: int, slots: int, slot: int):
    assert otadata.slot_of(seq, slots) == slot


@pytest.mark.parametrize(
    ("active_seq", "slot", "slots", "seq"),
    [
        (None, 0, 2, 1),
        (None, 1, 2, 2),
        (1, 1, 2, 2),
        (1, 0, 2, 1),
        (2, 0, 2, 3),
        (2, 1, 2, 2),
        (5, 0, 3, 7),
        (7, 2, 3, 9),
    ],
)
def test_next_seq(active_seq: int | None, slot: int, slots: int, seq: int):
    assert otadata.next_seq(active_seq, slot, slots) == seq
    assert otadata.slot_of(seq, slots) == slot


def test_it_runs_on_micropython(micropython: str):
    folder = Path(otadata.__file__).parent
    done = subprocess.run(
        [micropython, "-c", ON_MICROPYTHON], cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout == f"{list(CRCS.values())}\n1 0 3 True\n", done.stderr
