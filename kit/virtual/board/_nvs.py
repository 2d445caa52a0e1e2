# Runs on CPython and on MicroPython.
"""MicroPython's `esp32.NVS` in ESP-IDF's own format and order of writes: a power cut does what it does on a chip.

For esp32.py: `open_partition(offset, size)` once a boot, for the data partition labelled "nvs" (a chip does that before
boot.py), and `from _nvs import NVS`. Without such a partition NVS() raises ESP_ERR_NVS_NOT_INITIALIZED, as on a chip.
Source: ESP-IDF 5.4.2, components/nvs_flash/src (nvs_storage.cpp, nvs_pagemanager.cpp); MicroPython 1.26,
ports/esp32/esp32_nvs.c. Blobs of format version 1 (before ESP-IDF 3.3) are kept and neither read nor replaced.
"""

import struct

import _chip
from _nvs_page import ACTIVE, BLOB_DATA, BLOB_IDX, CHUNK_MAX, ENTRY, FREEING, I32, NEW_VERSION_FOUND, SECTOR, U8, Page

_NAMESPACES = 254
_VERSION_1 = 0x80  # the versions of a blob alternate between chunk numbers from 0 and from here: nvs::VerOffset

# nvs.h: MicroPython raises OSError(-code, name)
_NOT_INITIALIZED = (-0x1101, "ESP_ERR_NVS_NOT_INITIALIZED")
_NOT_FOUND = (-0x1102, "ESP_ERR_NVS_NOT_FOUND")
_NOT_ENOUGH_SPACE = (-0x1105, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
_INVALID_LENGTH = (-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
_NO_FREE_PAGES = (-0x110D, "ESP_ERR_NVS_NO_FREE_PAGES")
_VALUE_TOO_LONG = (-0x110E, "ESP_ERR_NVS_VALUE_TOO_LONG")


class NVS:
    """A namespace of the partition. Raises OSError(-code, "ESP_ERR_NVS_...") as the chip does."""

    def __init__(self, namespace):
        if _store is None:
            raise _chip.error(*_NOT_INITIALIZED)
        self._ns = _store.namespace(_bytes(namespace))

    def __repr__(self):
        return "<NVS namespace>"

    def set_i32(self, key, value):
        if not -(1 << 31) <= value < 1 << 31:
            raise OverflowError("overflow converting long int to machine word")
        _store.set(self._ns, I32, _bytes(key), struct.pack("<i", value))

    def get_i32(self, key):
        item = _found(_store.find(self._ns, _bytes(key), I32))
        return struct.unpack_from("<i", item.value)[0]

    def set_blob(self, key, value):
        _store.set_blob(self._ns, _bytes(key), _bytes(value))

    def get_blob(self, key, value):
        """Fill the buffer `value` from its start and return the length of the blob."""
        data = _store.get_blob(self._ns, _bytes(key), len(value))
        memoryview(value)[: len(data)] = data
        return len(data)

    def erase_key(self, key):
        _store.erase(self._ns, _bytes(key))

    def commit(self):
        pass  # set and erase have written already, on a chip too


_store = None


def open_partition(offset, size):
    """Load the partition at `offset`; what ESP-IDF cannot use is erased, as MicroPython's main.c does."""
    global _store
    _store = None
    try:
        _store = _Store(offset, size)
    except OSError as error:
        if error.args[0] in (_NO_FREE_PAGES[0], NEW_VERSION_FOUND[0]):
            _chip.erase(offset, size)
            _store = _Store(offset, size)


class _Store:
    """Pages in use, oldest first (the last takes writes), and free pages, of which one is always kept."""

    def __init__(self, offset, size):
        pages = [Page(base) for base in range(offset, offset + size, SECTOR)]
        self._used = sorted((page for page in pages if page.sequence is not None), key=lambda page: page.sequence)
        self._free = [page for page in pages if page.sequence is None]
        self._sequence = self._used[-1].sequence + 1 if self._used else 0
        if self._used:
            self._finish_replacing()
            self._finish_freeing()
            if not self._free:
                raise _chip.error(*_NO_FREE_PAGES)
        else:
            self._activate()
        self._namespaces = {item.key: item.value[0] for item in self._items(U8) if item.ns == 0}
        self._drop_broken_blobs()

    def namespace(self, name):
        if name not in self._namespaces:
            taken = self._namespaces.values()
            free = [index for index in range(1, _NAMESPACES + 1) if index not in taken]
            if not free:
                raise _chip.error(*_NOT_ENOUGH_SPACE)
            self.set(0, U8, name, bytes([free[0]]))
            self._namespaces[name] = free[0]
        return self._namespaces[name]

    def find(self, ns, key, *kind_and_chunk):
        for page in self._used:
            item = page.find(ns, key, *kind_and_chunk)
            if item:
                return item
        return None

    def set(self, ns, kind, key, value):
        old = self.find(ns, key)
        if old and old.kind == kind and old.value[: len(value)] == value:
            return
        new = self._used[-1].write(ns, kind, key, value)
        if not new:
            self._next_page()
            new = self._used[-1].write(ns, kind, key, value)
        if not new:
            raise _chip.error(*_NOT_ENOUGH_SPACE)
        if old:
            old = self.find(ns, key)  # _next_page may have moved it
            old.page.erase_item(old)

    def set_blob(self, ns, key, data):
        old = self.find(ns, key, BLOB_IDX)
        if not old:
            return self._write_blob(ns, key, data, 0)
        if self._read_blob(old) != data:
            version = old.value[5]
            self._write_blob(ns, key, data, 0 if version else _VERSION_1)
            self._erase_blob(ns, key, version)

    def get_blob(self, ns, key, room):
        index = _found(self.find(ns, key, BLOB_IDX))
        if room < struct.unpack_from("<I", index.value)[0]:
            raise _chip.error(*_INVALID_LENGTH)
        return _found(self._read_blob(index))

    def erase(self, ns, key):
        item = _found(self.find(ns, key))
        if item.kind == BLOB_IDX:
            self._erase_blob(ns, key)
        else:
            item.page.erase_item(item)

    def _items(self, kind):
        return [item for page in self._used for item in page.items if item.kind == kind]

    def _activate(self):
        if not self._free:
            raise _chip.error(*_NOT_ENOUGH_SPACE)
        page = self._free.pop(0)
        page.take(self._sequence)
        self._sequence += 1
        self._used.append(page)

    def _next_page(self):
        """Close the current page and open the next; the last free one gets the live items of the emptiest page."""
        self._used[-1].mark_full()
        if len(self._free) >= 2:
            return self._activate()
        page = max(self._used, key=Page.waste)
        if not page.waste():
            raise _chip.error(*_NOT_ENOUGH_SPACE)
        self._activate()
        page.set_state(FREEING)
        self._move(page)

    def _move(self, page):
        page.copy_to(self._used[-1])
        self._used.remove(page)
        self._give_back(page)

    def _give_back(self, page):
        page.erase()
        self._free.append(page)

    def _finish_replacing(self):
        """The power went after an item was written and before the one that it replaces was erased."""
        for item in self._used[-1].items[-1:]:
            for page in self._used[:-1]:
                old = page.state != FREEING and page.find(item.ns, item.key, item.kind, item.chunk)
                if old:
                    return page.erase_item(old)

    def _finish_freeing(self):
        for page in self._used:
            if page.state == FREEING:
                if self._used[-1].state == ACTIVE:  # the copy that was not finished
                    self._give_back(self._used.pop())
                self._activate()
                return self._move(page)

    def _drop_broken_blobs(self):
        """Erase indexes whose chunks are not all there, then chunks without an index."""
        whole = []
        for index in self._items(BLOB_IDX):
            chunks = self._chunks(index)
            if None in chunks:
                index.page.erase_item(index)
            else:
                whole += chunks
        for item in self._items(BLOB_DATA):
            if item not in whole:
                item.page.erase_item(item)

    def _chunks(self, index):
        """The items with the data of a blob, None in place of each that is missing."""
        _, count, version = struct.unpack_from("<IBB", index.value)
        return [self.find(index.ns, index.key, BLOB_DATA, chunk) for chunk in range(version, version + count)]

    def _read_blob(self, index):
        """The bytes of a blob, or None if a chunk is missing or is not what was written."""
        parts = [item and item.page.read_data(item) for item in self._chunks(index)]
        return None if None in parts else b"".join(parts)

    def _write_blob(self, ns, key, data, version):
        if len(data) > (len(self._used) + len(self._free) - 1) * CHUNK_MAX:
            raise _chip.error(*_VALUE_TOO_LONG)
        room = self._used[-1].room()
        while room < max(len(data), 1) and room < CHUNK_MAX // 10:  # not worth a chunk
            self._next_page()
            before, room = room, self._used[-1].room()
            if room == before:
                raise _chip.error(*_NOT_ENOUGH_SPACE)
        written = []
        try:
            self._write_chunks(ns, key, data, version, written)
        except OSError:
            # ESP-IDF counts from 0 in either version: a blob that finds no space can take its older version along.
            for chunk in range(len(written)):
                item = self.find(ns, key, BLOB_DATA, chunk)
                if item:
                    item.page.erase_item(item)
            raise

    def _write_chunks(self, ns, key, data, version, written):
        start = 0
        while not written or start < len(data):
            page = self._used[-1]
            room = page.room()
            if not room:
                raise _chip.error(*_NOT_ENOUGH_SPACE)
            part = data[start : start + room]
            written.append(page.write(ns, BLOB_DATA, key, part, version + len(written)))
            start += len(part)
            if start < len(data) or room - len(part) < ENTRY:
                self._next_page()
        value = struct.pack("<IBBH", len(data), len(written), version, 0xFFFF)
        self._used[-1].write(ns, BLOB_IDX, key, value)

    def _erase_blob(self, ns, key, version=None):
        """Erase one version of a blob, or both: the index first."""
        for item in self._items(BLOB_IDX) + self._items(BLOB_DATA):
            its_version = item.value[5] if item.kind == BLOB_IDX else item.chunk & _VERSION_1
            if (item.ns, item.key) == (ns, key) and version in (None, its_version):
                item.page.erase_item(item)


def _found(item):
    if item is None:
        raise _chip.error(*_NOT_FOUND)
    return item


def _bytes(value):
    return value.encode() if isinstance(value, str) else bytes(memoryview(value))
