# Runs on CPython and on MicroPython.
"""The two records in the otadata partition with which the bootloader picks a slot.

Layout and rules: ESP-IDF 5.4, esp_flash_partitions.h, bootloader_common_loader.c and esp_ota_ops.c.
"""

import binascii
import struct
from collections import namedtuple

SIZE = 0x2000  # bytes of the partition: one sector for each record
RECORD_OFFSETS = (0, 0x1000)
RECORD_SIZE = 32
FORMAT = "<I20sII"  # esp_ota_select_entry_t: ota_seq, seq_label, ota_state, crc

# esp_ota_img_states_t
NEW = 0
PENDING_VERIFY = 1
VALID = 2
INVALID = 3
ABORTED = 4
UNDEFINED = 0xFFFFFFFF

BLANK_SEQ = 0xFFFFFFFF  # what an erased record reads as

Record = namedtuple("Record", ("seq", "state", "crc"))


def crc(seq: int) -> int:
    """Return the checksum of a record, which covers its sequence number and not its state."""
    return binascii.crc32(struct.pack("<I", seq), 0xFFFFFFFF)


def unpack(data: bytes) -> Record:
    """Return the record in 32 bytes."""
    seq, _, state, checksum = struct.unpack(FORMAT, data)
    return Record(seq, state, checksum)


def pack(seq: int, state: int) -> bytes:
    """Return the 32 bytes of a record with the right checksum."""
    return struct.pack(FORMAT, seq, b"\xff" * 20, state, crc(seq))


def parse(data: bytes) -> tuple:
    """Return both records of an otadata partition (0x2000 bytes)."""
    return tuple(unpack(data[offset : offset + RECORD_SIZE]) for offset in RECORD_OFFSETS)


def is_invalid(record: Record) -> bool:
    """Tell whether a record is blank, or marks a slot that must not run; its checksum is not looked at."""
    return record.seq == BLANK_SEQ or record.state in (INVALID, ABORTED)


def is_valid(record: Record) -> bool:
    """Tell whether the bootloader may follow a record."""
    return not is_invalid(record) and record.crc == crc(record.seq)


def active(record0: Record, record1: Record):
    """Return the index of the record that the bootloader follows, 0 or 1, or None where neither is valid."""
    if is_valid(record0) and is_valid(record1):
        return 0 if record0.seq >= record1.seq else 1
    if is_valid(record0):
        return 0
    return 1 if is_valid(record1) else None


def slot_of(seq: int, slots: int) -> int:
    """Return the slot that a sequence number stands for, in a table of so many slots."""
    return (seq - 1) % slots


def next_seq(active_seq, slot: int, slots: int) -> int:
    """Return the sequence number with which set_boot selects a slot.

    It is the smallest one that stands for the slot and is not below the active one: selecting the active slot again
    repeats its number.

    Args:
        active_seq: sequence number of the active record, or None where there is none.
    """
    if active_seq is None:
        return slot + 1
    return active_seq + (slot + 1 - active_seq) % slots
