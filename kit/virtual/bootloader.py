"""The second-stage bootloader: which slot runs, as ESP-IDF 5.4 decides it.

Source: bootloader_support/src/bootloader_utility.c and flash_partitions.c. MicroPython builds it with rollback on and
logs from "warning" upwards, so that a good boot prints nothing.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

from kit import otadata
from kit.errors import TableError
from kit.table import Partition, PartitionTable
from kit.virtual.board import _appimage
from kit.virtual.flash import SECTOR, Flash

TABLE_OFFSET, TABLE_SIZE = 0x8000, 0xC00
TABLE_ERROR = "The partition table is not valid: "  # what the kit puts before ESP-IDF's message
OF_BOOT_COMM = ("mismatch chip ID", "Image requires chip rev")  # logged by bootloader_common_loader.c
FACTORY = -1  # ESP-IDF's FACTORY_INDEX: one below slot 0, so that the search can count down to it


class Bootloader:
    """Finds the app to run.

    Args:
        flash: where the partition table, otadata and the apps are.
        write: takes the text of the log.
    """

    def __init__(self, flash: Flash, write: Callable[[str], None]) -> None:
        self._flash, self._write = flash, write
        self._started = time.monotonic()
        self._apps: dict[int, Partition] = {}  # by index: FACTORY and the slots
        self._otadata: Partition | None = None
        self._initial_contents = False

    def select(self) -> int | None:
        """Return the flash address of the app that runs, or None: nothing is bootable and the chip resets."""
        if not self._load_table():
            return None
        start = self._selected()
        if start is None:
            return None
        below = [index for index in sorted(self._apps, reverse=True) if index <= start]
        for index in below + [index for index in sorted(self._apps) if index > start]:
            if self._bootable(self._apps[index]):
                self._set_actual_seq(index)
                return self._apps[index].offset
            name = "Factory app partition" if index == FACTORY else f"OTA app partition slot {index}"
            self._error("boot", f"{name} is not bootable")
        test = self._by_subtype(0, 0x20)
        if test and self._bootable(test):
            self._log("W", "boot", "Falling back to test app as only bootable partition")
            return test.offset
        self._error("boot", "No bootable app partitions in the partition table")
        return None

    def _load_table(self) -> bool:
        try:
            self._table = self._verified_table(self._flash.read(TABLE_OFFSET, TABLE_SIZE))
        except TableError as error:
            self._error("flash_parts", error.cause.removeprefix(TABLE_ERROR).removesuffix("."))
            self._error("boot", "Failed to verify partition table")
            self._error("boot", "load partition table error!")
            return False
        factory = self._by_subtype(0, 0x00)
        self._apps = {FACTORY: factory} if factory else {}
        self._apps.update(enumerate(self._table.slots))
        self._otadata = self._by_subtype(1, 0x00)
        return True

    def _verified_table(self, data: bytes) -> PartitionTable:
        """Check no more than esp_partition_table_verify does (flash_partitions.c); a blank table is an empty one."""
        if data.startswith(b"\xff" * 4):
            return PartitionTable(())
        table = PartitionTable.from_bytes(data)
        for number, row in enumerate(table):
            if row.end > self._flash.size:
                where = f"offset 0x{row.offset:x} size 0x{row.size:x}"
                cause = f"partition {number} invalid - {where} exceeds flash chip size 0x{self._flash.size:x}"
                raise TableError(cause, "Correct the table.")
        return table

    def _by_subtype(self, type_: int, subtype: int) -> Partition | None:
        return next((row for row in self._table if (row.type, row.subtype) == (type_, subtype)), None)

    def _selected(self) -> int | None:
        """Return the index to try first (bootloader_utility_get_selected_boot_partition), None on a useless table."""
        if self._otadata is None:
            return FACTORY
        if self._otadata.size < otadata.SIZE:
            size = self._otadata.size
            self._error("boot", f"ota_info partition size {size} is too small (minimum {otadata.SIZE} bytes)")
            return None
        records = list(otadata.parse(self._flash.read(self._otadata.offset, otadata.SIZE)))
        for number, record in enumerate(records):  # an app that was started once and never confirmed is given up
            if record.state == otadata.PENDING_VERIFY:
                records[number] = record._replace(state=otadata.ABORTED)
                self._store(number, records[number])
        if not self._table.slots or all(map(otadata.is_invalid, records)):
            if FACTORY in self._apps:
                return FACTORY
            self._initial_contents = all(r.seq == 0xFFFFFFFF or r.crc != otadata.crc(r.seq) for r in records)
            return 0
        active = otadata.active(*records)
        if active is None:
            tail = ", falling back to factory" if FACTORY in self._apps else " and no factory, will try all partitions"
            self._error("boot", f"ota data partition invalid{tail}")
            return FACTORY
        record = records[active]
        if record.state == otadata.NEW:  # written before the image is looked at: a bad one is given up next time
            self._store(active, record._replace(state=otadata.PENDING_VERIFY))
        return otadata.slot_of(record.seq, len(self._table.slots))

    def _bootable(self, partition: Partition) -> bool:
        try:
            _appimage.verify(self._flash.read, partition.offset, partition.size)
        except ValueError as error:
            message = str(error)
            self._error("boot_comm" if message.startswith(OF_BOOT_COMM) else "esp_image", message)
            return False
        return True

    def _set_actual_seq(self, index: int) -> None:
        if self._initial_contents and index > FACTORY:
            seq = index + 1
            self._store(0, otadata.Record(seq, otadata.VALID, otadata.crc(seq)))

    def _store(self, number: int, record: otadata.Record) -> None:
        address = self._otadata.offset + number * SECTOR
        # The whole record goes back as it was, CRC included: the state is not under it.
        label = self._flash.read(address + 4, 20)
        self._flash.erase(address, SECTOR)
        self._flash.write(address, struct.pack("<I20sII", record.seq, label, record.state, record.crc))

    def _error(self, tag: str, message: str) -> None:
        self._log("E", tag, message)

    def _log(self, level: str, tag: str, message: str) -> None:
        milliseconds = int((time.monotonic() - self._started) * 1000)
        color = "\x1b[0;31m" if level == "E" else "\x1b[0;33m"
        self._write(f"{color}{level} ({milliseconds}) {tag}: {message}\x1b[0m\r\n")
