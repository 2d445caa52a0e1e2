"""The second-stage bootloader: which slot runs, as ESP-IDF 5.4 decides it.

Source: bootloader_support/src/bootloader_utility.c and flash_partitions.c. MicroPython builds it with rollback on and
logs from "warning" upwards, so that a good boot prints nothing.
"""

import struct
import time
from collections.abc import Callable

from kit.errors import TableError
from kit.image import otadata
from kit.image.partition import APP, OTA_0, OTADATA, Partition
from kit.image.table import PartitionTable
from kit.virtual.board import _appimage
from kit.virtual.flash import SECTOR, Flash

TABLE_OFFSET, TABLE_SIZE = 0x8000, 0xC00
TABLE_ERROR = "The partition table is not valid: "  # what the kit puts before ESP-IDF's message
OF_BOOT_COMM = ("mismatch chip ID", "Image requires chip rev")  # logged by bootloader_common_loader.c
FACTORY = -1  # ESP-IDF's FACTORY_INDEX: one below slot 0, so that the search can count down to it
OWN_DATA = range(0x3FFF0000, 0x3FFF6000)  # where its own data is while it loads an app: dram_seg of bootloader.ld


class Bootloader:
    """Finds the app to run.

    Args:
        flash: where the partition table, otadata and the apps are.
        write: takes the text of the log.
    """

    def __init__(self, flash: Flash, write: Callable[[str], None]) -> None:
        self._flash, self._write = flash, write
        self._started = time.monotonic()
        self._initial_contents = False  # of otadata, which then has no factory app beside it

    def select(self) -> int | None:
        """Return the flash address of the app that runs, or None: nothing is bootable and the chip resets."""
        if not self._load_table():
            return None
        start = self._selected()
        if start is None:
            return None
        for index in sorted(self._apps, key=lambda index: (index > start, abs(index - start))):  # down, then up
            if self._bootable(self._apps[index]):
                if self._initial_contents:
                    self._store(0, otadata.pack(index + 1, otadata.VALID))
                return self._apps[index].offset
            name = "Factory app partition" if index == FACTORY else f"OTA app partition slot {index}"
            self._log("boot", f"{name} is not bootable")
        test = self._rows.get((APP, 0x20))
        if test and self._bootable(test):
            self._log("boot", "Falling back to test app as only bootable partition", "W")
            return test.offset
        self._log("boot", "No bootable app partitions in the partition table")
        return None

    def _load_table(self) -> bool:
        try:
            table = self._verified_table(self._flash.read(TABLE_OFFSET, TABLE_SIZE))
        except TableError as error:
            self._log("flash_parts", error.cause.removeprefix(TABLE_ERROR).removesuffix("."))
            self._log("boot", "Failed to verify partition table")
            self._log("boot", "load partition table error!")
            return False
        self._rows = {(row.type, row.subtype): row for row in table}  # of two alike the last one counts
        self._slots = len(table.slots)
        # A slot whose number is not below their count is never tried.
        self._apps = {row.subtype - OTA_0: row for row in table.slots if row.subtype - OTA_0 < self._slots}
        if factory := self._rows.get((APP, 0x00)):
            self._apps[FACTORY] = factory
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

    def _selected(self) -> int | None:
        """Return the index to try first (bootloader_utility_get_selected_boot_partition), None on a useless table."""
        place = self._rows.get(OTADATA)
        if place is None:
            return FACTORY
        if place.size < otadata.SIZE:
            self._log("boot", f"ota_info partition size {place.size} is too small (minimum {otadata.SIZE} bytes)")
            return None
        records = list(otadata.parse(self._flash.read(place.offset, otadata.SIZE)))
        for number, record in enumerate(records):  # an app that was started once and never confirmed is given up
            if record.state == otadata.PENDING_VERIFY:
                records[number] = record._replace(state=otadata.ABORTED)
                self._mark(number, otadata.ABORTED)
        if not self._slots or all(map(otadata.is_invalid, records)):
            if FACTORY in self._apps:
                return FACTORY
            self._initial_contents = all(r.seq == 0xFFFFFFFF or r.crc != otadata.crc(r.seq) for r in records)
            return 0
        active = otadata.active(*records)
        if active is None:
            tail = ", falling back to factory" if FACTORY in self._apps else " and no factory, will try all partitions"
            self._log("boot", f"ota data partition invalid{tail}")
            return FACTORY
        record = records[active]
        if record.state == otadata.NEW:  # written before the image is looked at: a bad one is given up next time
            self._mark(active, otadata.PENDING_VERIFY)
        return otadata.slot_of(record.seq, self._slots)

    def _bootable(self, partition: Partition) -> bool:
        try:
            _appimage.verify(self._flash.read, partition.offset, partition.size)
            self._check_load_addresses(partition.offset)
        except ValueError as error:
            message = str(error)
            self._log("boot_comm" if message.startswith(OF_BOOT_COMM) else "esp_image", message)
            return False
        return True

    def _check_load_addresses(self, start: int) -> None:
        """Refuse what would overwrite this bootloader (verify_load_addresses, esp_image_format.c).

        Only a bootloader can know that: set_boot accepts such an image, for instance a whole firmware.bin in a slot.
        """
        count = self._flash.read(start, 2)[1]
        for number, (_, low, length) in enumerate(_appimage.segments(self._flash.read, start, count)):
            if range(max(low, OWN_DATA.start), min(low + length, OWN_DATA.stop)):
                raise ValueError(f"Segment {number} 0x{low:08x}-0x{low + length:08x} invalid: overlaps bootloader data")

    def _mark(self, number: int, state: int) -> None:
        """Change the state in a record; the rest stays as it was, CRC included: the state is not under it."""
        old = self._flash.read(self._rows[OTADATA].offset + number * SECTOR, otadata.RECORD_SIZE)
        self._store(number, old[:24] + struct.pack("<I", state) + old[28:])

    def _store(self, number: int, record: bytes) -> None:
        address = self._rows[OTADATA].offset + number * SECTOR
        self._flash.erase(address - address % SECTOR, SECTOR)
        self._flash.write(address, record)

    def _log(self, tag: str, message: str, level: str = "E") -> None:
        milliseconds = int((time.monotonic() - self._started) * 1000)
        color = "\x1b[0;31m" if level == "E" else "\x1b[0;33m"
        self._write(f"{color}{level} ({milliseconds}) {tag}: {message}\x1b[0m\r\n")
