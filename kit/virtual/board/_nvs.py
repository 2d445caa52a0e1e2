# Runs on CPython and on MicroPython.
"""MicroPython's `esp32.NVS` in ESP-IDF's own format and order of writes: a power cut does what it does on a chip.

For esp32.py: `open_partition(offset, size)` once a boot, for the data partition labelled "nvs" (a chip does that before
boot.py), and `from _nvs import NVS`. Without such a partition NVS() raises ESP_ERR_NVS_NOT_INITIALIZED, as on a chip.
Source: ESP-IDF 5.4.2, components/nvs_flash/src (nvs_storage.cpp, nvs_pagemanager.cpp); MicroPython 1.26,
ports/esp32/esp32_nvs.c. Blobs of format version 1 (before ESP-IDF 3.3) are kept and neither read nor replaced.
"""

import struct

import _chip
from _errors import need
from _nvs_page import ACTIVE, BLOB_DATA, BLOB_IDX, CHUNK_MAX, ENTRY, FREEING, I32, SECTOR, U8, Page, erase_item, find

_VERSION_1 = 0x80  # the versions of a blob alternate between chunk numbers from 0 and from here: nvs::VerOffset


class NVS:
    """A namespace of the partition. Raises OSError(-code, "ESP_ERR_NVS_...") as the chip does."""

    def __init__(self, namespace):
        need(_store, "ESP_ERR_NVS_NOT_INITIALIZED")
        self._ns = _store.namespace(_bytes(namespace))

    def __repr__(self):
        return "<NVS namespace>"

    def set_i32(self, key, value):
        if not -(1 << 31) <= value < 1 << 31:
            raise OverflowError("overflow converting long int to machine word")
        _store.set(self._ns, I32, _bytes(key), struct.pack("<i", value))

    def get_i32(self, key):
        item = need(_store.find(self._ns, _bytes(key), I32), "ESP_ERR_NVS_NOT_FOUND")
        return struct.unpack_from("<i", item.value)[0]

    def set_blob(self, key, value):
        key, data = _bytes(key), _bytes(value)
        old = _store.find(self._ns, key, BLOB_IDX)
        if not old:
            _store.write_blob(self._ns, key, data, 0)
        elif _store.read_blob(old) != data:
            version = old.value[5]
            _store.write_blob(self._ns, key, data, 0 if version else _VERSION_1)
            _store.erase_blob(self._ns, key, version)

    def get_blob(self, key, value):
        """Fill the buffer `value` from its start and return the length of the blob."""
        index = need(_store.find(self._ns, _bytes(key), BLOB_IDX), "ESP_ERR_NVS_NOT_FOUND")
        need(len(value) >= struct.unpack_from("<I", index.value)[0], "ESP_ERR_NVS_INVALID_LENGTH")
        data = _store.read_blob(index)
        need(data is not None, "ESP_ERR_NVS_NOT_FOUND")
        memoryview(value)[: len(data)] = data
        return len(data)

    def erase_key(self, key):
        item = need(_store.find(self._ns, _bytes(key)), "ESP_ERR_NVS_NOT_FOUND")
        if item.kind == BLOB_IDX:
            _store.erase_blob(self._ns, item.key)
        else:
            erase_item(item)

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
        if error.args[-1] in ("ESP_ERR_NVS_NO_FREE_PAGES", "ESP_ERR_NVS_NEW_VERSION_FOUND"):
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
            need(self._free, "ESP_ERR_NVS_NO_FREE_PAGES")
        else:
            self._activate()
        self._drop_broken_blobs()

    def namespace(self, name):
        item = self.find(0, name, U8)
        if item:
            return item.value[0]
        taken = [item.value[0] for item in self._items(U8) if item.ns == 0]
        free = [number for number in range(1, 255) if number not in taken]
        number = need(free, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")[0]
        self.set(0, U8, name, bytes([number]))
        return number

    def find(self, ns, key, *kind_and_chunk):
        return find(self._items(), ns, key, *kind_and_chunk)

    def set(self, ns, kind, key, value):
        old = self.find(ns, key)
        if old and old.kind == kind and old.value[: len(value)] == value:
            return
        if not self._used[-1].write(ns, kind, key, value):
            need(self._next_page().write(ns, kind, key, value), "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
        if old:
            erase_item(self.find(ns, key))  # found again: _next_page may have moved it

    def _items(self, kind=None):
        return [item for page in self._used for item in page.items if kind in (None, item.kind)]

    def _activate(self):
        page = need(self._free, "ESP_ERR_NVS_NOT_ENOUGH_SPACE").pop(0)
        page.take(self._sequence)
        self._sequence += 1
        self._used.append(page)

    def _next_page(self):
        """Close the current page and return the next; the last free one gets the live items of the emptiest page."""
        self._used[-1].close()
        if len(self._free) > 1:
            self._activate()
        else:
            emptiest = max(self._used, key=Page.waste)
            need(emptiest.waste(), "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
            self._activate()
            emptiest.set_state(FREEING)
            emptiest.copy_to(self._used[-1])
            self._give_back(emptiest)
        return self._used[-1]

    def _give_back(self, page):
        self._used.remove(page)
        page.erase()
        self._free.append(page)

    def _finish_replacing(self):
        """The power went after an item was written and before the one that it replaces was erased."""
        older = [item for page in self._used[:-1] if page.state != FREEING for item in page.items]
        for item in self._used[-1].items[-1:]:
            old = find(older, item.ns, item.key, item.kind, item.chunk)
            if old:
                erase_item(old)

    def _finish_freeing(self):
        for page in self._used:
            if page.state == FREEING:
                if self._used[-1].state == ACTIVE:  # the copy that was not finished
                    self._give_back(self._used[-1])
                self._activate()
                page.copy_to(self._used[-1])
                return self._give_back(page)

    def _drop_broken_blobs(self):
        """Erase indexes whose chunks are not all there, then chunks without an index."""
        whole = []
        for index in self._items(BLOB_IDX):
            chunks = self._chunks(index)
            if None in chunks:
                erase_item(index)
            else:
                whole += chunks
        for item in self._items(BLOB_DATA):
            if item not in whole:
                erase_item(item)

    def _chunks(self, index):
        """The items with the data of a blob, None in place of each that is missing."""
        _, count, version = struct.unpack_from("<IBB", index.value)
        return [self.find(index.ns, index.key, BLOB_DATA, chunk) for chunk in range(version, version + count)]

    def read_blob(self, index):
        """The bytes of a blob, or None if a chunk is missing or is not what was written."""
        parts = [item and item.page.read_data(item) for item in self._chunks(index)]
        return None if None in parts else b"".join(parts)

    def write_blob(self, ns, key, data, version):
        need(len(data) <= (len(self._used) + len(self._free) - 1) * CHUNK_MAX, "ESP_ERR_NVS_VALUE_TOO_LONG")
        room = self._used[-1].room()
        while room < max(len(data), 1) and room < CHUNK_MAX // 10:  # not worth a chunk
            before, room = room, self._next_page().room()
            need(room != before, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
        count = start = 0
        try:
            while not count or start < len(data):
                room = need(self._used[-1].room(), "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
                part = data[start : start + room]
                self._used[-1].write(ns, BLOB_DATA, key, part, version + count)
                count += 1
                start += len(part)
                if start < len(data) or room - len(part) < ENTRY:
                    self._next_page()
            self._used[-1].write(ns, BLOB_IDX, key, struct.pack("<IBBH", len(data), count, version, 0xFFFF))
        except OSError:
            # ESP-IDF counts from 0 in either version: a blob that finds no space can take its older version along.
            for chunk in range(count):
                item = self.find(ns, key, BLOB_DATA, chunk)
                if item:
                    erase_item(item)
            raise

    def erase_blob(self, ns, key, version=None):
        """Erase one version of a blob, or both: the index first."""
        for item in self._items(BLOB_IDX) + self._items(BLOB_DATA):
            its_version = item.value[5] if item.kind == BLOB_IDX else item.chunk & _VERSION_1
            if (item.ns, item.key) == (ns, key) and version in (None, its_version):
                erase_item(item)


def _bytes(value):
    return value.encode() if isinstance(value, str) else bytes(memoryview(value))
