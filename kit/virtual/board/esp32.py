# Runs on CPython and on MicroPython.
"""MicroPython's `esp32` module over the virtual board's flash: ports/esp32/esp32_partition.c of v1.26."""

import hashlib
import struct
from collections import namedtuple

import _appimage
import _chip
import _otadata as otadata
from _errors import need
from _nvs import NVS, open_partition  # noqa: F401 - NVS is part of the module

HEAP_DATA, HEAP_EXEC = 4, 1  # MALLOC_CAP_8BIT, MALLOC_CAP_EXEC (esp_heap_caps.h)

_SECTOR = 4096
_TABLE_ADDRESS, _TABLE_SIZE = 0x8000, 0xC00
_APP, _DATA, _ANY = 0, 1, 0xFF
_FACTORY, _OTA_0, _TEST = 0, 0x10, 0x20  # app subtypes
_OTADATA, _NVS, _FAT = 0, 2, 0x81  # data subtypes
_READONLY = 2  # flag of a row
_ENOENT, _EINVAL = 2, 22

_Row = namedtuple("_Row", ("type", "subtype", "address", "size", "label", "flags"))


def idf_heap_info(capabilities):
    """Of each region of the system's heap its bytes, those free, the largest block, the least that was ever free."""
    regions = _chip.memory.info()
    return regions if capabilities == HEAP_DATA else regions[-2:]  # the last two are also for code


class Partition:
    """A partition, also a block device. Raises OSError(-code, "ESP_ERR_...") as the chip does."""

    BOOT, RUNNING = 0, 1
    TYPE_APP, TYPE_DATA = _APP, _DATA

    def __init__(self, id, block_size=_SECTOR):
        if isinstance(id, str):
            row = _first(_APP, _ANY, id) or _first(_DATA, _ANY, id)
        elif isinstance(id, int):
            if id not in (self.BOOT, self.RUNNING):
                raise ValueError
            row = _boot_row() if id == self.BOOT else _running_row()
        else:
            row = id
        if row is None:
            raise _chip.error(_ENOENT)
        self._row = row
        self._block_size = block_size

    def __repr__(self):
        return "<Partition type=%d, subtype=%d, address=%d, size=%d, label=%s, encrypted=0>" % self.info()[:5]

    @staticmethod
    def find(type=_APP, subtype=_ANY, label=None, block_size=_SECTOR):
        return [Partition(row, block_size) for row in _find(type, subtype, label)]

    def info(self):
        return tuple(self._row[:5]) + (False,)

    def readblocks(self, block_num, buf, offset=0):
        view = memoryview(buf)
        _chip.read_into(_address(self._row, block_num * self._block_size + offset, len(view)), view)

    def writeblocks(self, block_num, buf, offset=None):
        data = memoryview(buf)
        start = block_num * self._block_size
        if offset is None:  # else the caller has erased
            if self._block_size < _SECTOR:
                start, data = self._whole_sectors(start, data)
            _erase(self._row, start, len(data))
        _write(self._row, start + (offset or 0), data)

    def _whole_sectors(self, start, data):
        """Put what stands in their sectors around blocks that are smaller than a sector."""
        end = start + len(data)
        first, last = start // _SECTOR * _SECTOR, -(-end // _SECTOR) * _SECTOR
        return first, _read(self._row, first, start - first) + data + _read(self._row, end, last - end)

    def ioctl(self, op, arg):
        if op != 6:  # init, deinit and sync do nothing; block count; block size
            return {1: 0, 2: 0, 3: 0, 4: self._row.size // self._block_size, 5: self._block_size}.get(op)
        if self._block_size != _SECTOR:
            return -_EINVAL
        _erase(self._row, arg * _SECTOR, _SECTOR)
        return 0

    def set_boot(self):
        row = self._row
        try:
            _appimage.verify(_chip.read, row.address, row.size)
        except ValueError:
            need(False, "ESP_ERR_OTA_VALIDATE_FAILED")
        need(row.type == _APP, "ESP_ERR_INVALID_ARG")
        data_row, records, active = _read_otadata()
        need(data_row, "ESP_ERR_NOT_FOUND")
        if row.subtype == _FACTORY:
            return _erase(data_row, 0, data_row.size)
        slot, slots = row.subtype & 0x0F, len(_slots())
        need(slot < slots, "ESP_ERR_INVALID_ARG")
        if active is None:
            return _rewrite_record(data_row, 0, slot + 1, otadata.NEW)
        _rewrite_record(data_row, 1 - active, otadata.next_seq(records[active].seq, slot, slots), otadata.NEW)

    def get_next_update(self):
        """The slot after this one, wrapping; the first one when this is no slot."""
        slots = _slots()
        after = slots.index(self._row) + 1 if self._row in slots else 0
        return Partition(slots[after % len(slots)] if slots else None)

    @classmethod
    def mark_app_valid_cancel_rollback(cls):
        """Confirm the *active record*, which need not be the running slot's (esp_ota_current_ota_is_workable)."""
        row, records, active = _read_otadata()
        need(row, "ESP_ERR_NOT_FOUND")
        need(active is not None and _slots(), "ESP_FAIL")
        if records[active].state != otadata.VALID:
            _rewrite_record(row, active, records[active].seq, otadata.VALID)


# esp_partition: the table, and bytes of a partition


def _load_table():
    """Rows of the table at 0x8000, and `vfs` behind the last one where no file system has a row (main.c, 1.26)."""
    data = _chip.read(_TABLE_ADDRESS, _TABLE_SIZE)
    rows = []
    for start in range(0, _TABLE_SIZE, 32):
        magic, type, subtype, address, size, label, flags = struct.unpack("<HBBII16sI", data[start : start + 32])
        if magic != 0x50AA:
            break
        rows.append(_Row(type, subtype, address, size, str(label.split(b"\0")[0], "utf-8"), flags))
    # load_partitions takes no table without its MD5
    if not rows or magic != 0xEBEB or data[start + 16 : start + 32] != hashlib.md5(data[:start]).digest():
        return []
    end = max([row.address + row.size for row in rows])
    if end < _chip.flash_size and not [row for row in rows if row.type == _DATA and row.label in ("vfs", "ffat")]:
        rows.append(_Row(_DATA, _FAT, end, _chip.flash_size - end, "vfs", 0))
    return rows


_table = _load_table()


def _find(type, subtype, label=None):
    if type == _ANY and subtype != _ANY:
        return
    for row in _table:
        if type in (_ANY, row.type) and subtype in (_ANY, row.subtype) and label in (None, row.label):
            yield row


def _first(*what):
    return next(_find(*what), None)


def _address(row, offset, n):
    """Where n bytes of a partition start in the flash."""
    need(0 <= offset <= row.size, "ESP_ERR_INVALID_ARG")
    need(n <= row.size - offset, "ESP_ERR_INVALID_SIZE")
    return row.address + offset


def _writable_address(row, offset, n):
    need(not row.flags & _READONLY, "ESP_ERR_NOT_ALLOWED")
    address = _address(row, offset, n)
    if n and row == _running_row():  # esp_partition_main_flash_region_safe
        _chip.abort("abort() was called: the running slot %s would be overwritten" % row.label)
    return address


def _read(row, offset, n):
    return _chip.read(_address(row, offset, n), n)


def _write(row, offset, data):
    _chip.write(_writable_address(row, offset, len(data)), data)


def _erase(row, offset, n):
    need(n % _SECTOR == 0, "ESP_ERR_INVALID_SIZE")
    _chip.erase(_writable_address(row, offset, n), n)


_nvs_row = _first(_DATA, _NVS, "nvs")
if _nvs_row:
    open_partition(_nvs_row.address, _nvs_row.size)


# esp_ota_ops


def _slots():
    """Rows of ota_0, ota_1, ... up to a gap."""
    found = []
    while row := _first(_APP, _OTA_0 + len(found)):
        found.append(row)
    return found


def _read_otadata():
    """The row of otadata, its two records and the active one; (None, None, None) without the partition."""
    row = _first(_DATA, _OTADATA)
    if row is None:
        return None, None, None
    records = [otadata.unpack(_read(row, number * _SECTOR, 32)) for number in (0, 1)]
    return row, records, otadata.active(*records)


def _rewrite_record(row, number, seq, state):
    _erase(row, number * _SECTOR, _SECTOR)
    _write(row, number * _SECTOR, otadata.pack(seq, state))


def _running_row():
    for row in _find(_APP, _ANY):
        if row.address <= _chip.running < row.address + row.size:
            return row
    _chip.abort("abort() was called: no app partition at 0x%x" % _chip.running)


def _boot_row():
    row, records, active = _read_otadata()
    if row is None:
        return None
    slots = _slots()
    if active is None or not slots:
        return _first(_APP, _FACTORY) or _first(_APP, _OTA_0) or _first(_APP, _TEST)
    return slots[otadata.slot_of(records[active].seq, len(slots))]
