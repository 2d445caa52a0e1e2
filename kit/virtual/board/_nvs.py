# Runs on CPython and on MicroPython.
"""MicroPython's `esp32.NVS` in ESP-IDF's own format and order of writes: a power cut does what it does on a chip.

For esp32.py: `open_partition(offset, size)` once a boot, for the data partition labelled "nvs" (a chip does that before
boot.py), and `from _nvs import NVS`. Without such a partition NVS() raises ESP_ERR_NVS_NOT_INITIALIZED, as on a chip.
Source: ESP-IDF 5.4.2, components/nvs_flash/src (nvs_storage.cpp, nvs_pagemanager.cpp); MicroPython 1.26,
ports/esp32/esp32_nvs.c. Blobs of format version 1 (before ESP-IDF 3.3) are kept and neither read nor replaced.
"""

import struct

import _chip
from _nvs_page import (
    ACTIVE,
    ANY,
    BLOB_DATA,
    BLOB_IDX,
    CHUNK_MAX,
    CORRUPT,
    ENTRIES,
    ENTRY,
    FREEING,
    I32,
    KEY_MAX,
    NEW_VERSION_FOUND,
    SECTOR,
    U8,
    UNUSED,
    Page,
    data_size,
    data_value,
)

_VERSION_1 = 0x80  # the versions of a blob alternate between chunk numbers from 0 and from here: nvs::VerOffset

# nvs.h: MicroPython raises OSError(-code, name)
_FAIL = (1, "ESP_FAIL")
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
        _, item = _store.find(self._ns, I32, _bytes(key))
        return struct.unpack_from("<i", _found(item).value)[0]

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
        self._namespaces = {item.key: item.value[0] for _, item in self._items(U8) if item.ns == 0}
        self._drop_broken_blobs()

    def namespace(self, name):
        for key, index in self._namespaces.items():
            if key == name[:KEY_MAX]:
                return index
        index = 1
        while index in self._namespaces.values():
            index += 1
        if index == ANY:
            raise _chip.error(*_NOT_ENOUGH_SPACE)
        self.set(0, U8, name, bytes([index]))
        self._namespaces[name] = index
        return index

    def find(self, ns, kind, key, chunk=ANY, version=ANY):
        for page in self._used:
            item = page.find(ns, kind, key, chunk, version)
            if item:
                return page, item
        return None, None

    def set(self, ns, kind, key, value):
        page, old = self.find(ns, ANY, key)
        if old and old.kind == kind and old.value[: len(value)] == value:
            return
        if not self._used[-1].write(ns, kind, key, value):
            self._next_page()
            if not self._used[-1].write(ns, kind, key, value):
                raise _chip.error(*_NOT_ENOUGH_SPACE)
        if old:
            if page.state == UNUSED:  # freed by _next_page, which has moved the item
                page, _ = self.find(ns, ANY, key)
            page.erase_item(page.find(ns, ANY, key))

    def set_blob(self, ns, key, data):
        _, old = self.find(ns, BLOB_IDX, key)
        if not old:
            return self._write_blob(ns, key, data, 0)
        size, _, version = struct.unpack_from("<IBB", old.value)
        if size != len(data) or self._read_blob(ns, key, old) != data:
            self._write_blob(ns, key, data, 0 if version else _VERSION_1)
            self._erase_blob(ns, key, version)

    def get_blob(self, ns, key, room):
        _, index = self.find(ns, BLOB_IDX, key)
        size = struct.unpack_from("<I", _found(index).value)[0]
        if room < size:
            raise _chip.error(*_INVALID_LENGTH)
        data = _found(self._read_blob(ns, key, index))
        if len(data) != size:
            raise _chip.error(*_FAIL)
        return data

    def erase(self, ns, key):
        page, item = self.find(ns, ANY, key)
        if _found(item).kind == BLOB_IDX:
            self._erase_blob(ns, key, ANY)
        else:
            page.erase_item(item)

    def _items(self, kind):
        return [(page, item) for page in self._used for item in page.items if item.kind == kind]

    def _activate(self):
        if not self._free:
            raise _chip.error(*_NOT_ENOUGH_SPACE)
        page = self._free.pop(0)
        if page.state == CORRUPT:
            page.erase()
        page.sequence = self._sequence
        self._sequence += 1
        self._used.append(page)

    def _next_page(self):
        """Close the current page and open the next; the last free one gets the live items of the emptiest page."""
        self._used[-1].mark_full()
        if len(self._free) >= 2:
            return self._activate()
        page = min(self._used, key=Page.count)
        if page.count() == ENTRIES:
            raise _chip.error(*_NOT_ENOUGH_SPACE)
        self._activate()
        page.set_state(FREEING)
        self._move(page)

    def _move(self, page):
        page.copy_to(self._used[-1])
        page.erase()
        self._used.remove(page)
        self._free.append(page)

    def _finish_replacing(self):
        """The power went after an item was written and before the one that it replaces was erased."""
        last = self._used[-1]
        if last.items:
            item = last.items[-1]
            for page in self._used[:-1]:
                old = page.state != FREEING and page.find(item.ns, item.kind, item.key, item.chunk)
                if old:
                    return page.erase_item(old)

    def _finish_freeing(self):
        for page in self._used:
            if page.state == FREEING:
                if self._used[-1].state == ACTIVE:  # the copy that was not finished
                    copy = self._used.pop()
                    copy.erase()
                    self._free.append(copy)
                self._activate()
                return self._move(page)

    def _drop_broken_blobs(self):
        """Erase indexes whose chunks are not all there, then chunks without an index."""
        whole = []
        for page, index in self._items(BLOB_IDX):
            size, count, version = struct.unpack_from("<IBB", index.value)
            last = ANY if version else _VERSION_1
            chunks = [item for _, item in self._items(BLOB_DATA) if _is_chunk(item, index, version, last)]
            if len(chunks) == count and sum(data_size(item) for item in chunks) == size:
                whole.append((index, version, version + count))
            else:
                page.erase_item(index)
        for page, item in self._items(BLOB_DATA):
            if not any(_is_chunk(item, *index) for index in whole):
                page.erase_item(item)

    def _read_blob(self, ns, key, index):
        """The bytes of a blob, or None if a chunk is missing or is not what was written."""
        data = b""
        _, count, version = struct.unpack_from("<IBB", index.value)
        for chunk in range(version, version + count):
            page, item = self.find(ns, BLOB_DATA, key, chunk)
            part = item and page.read_data(item)
            if part is None:
                return None
            data += part
        return data

    def _write_blob(self, ns, key, data, version):
        if len(data) > (len(self._used) + len(self._free) - 1) * CHUNK_MAX:
            raise _chip.error(*_VALUE_TOO_LONG)
        room = self._used[-1].room()
        while room < max(len(data), 1) and room < CHUNK_MAX // 10:  # not worth a chunk
            self._next_page()
            before, room = room, self._used[-1].room()
            if room == before:
                raise _chip.error(*_NOT_ENOUGH_SPACE)
        pages = []
        try:
            self._write_chunks(ns, key, data, version, pages)
        except OSError:
            # ESP-IDF counts from 0 in either version: a blob that finds no space can take its older version along.
            for chunk, page in enumerate(pages):
                item = page.find(ns, BLOB_DATA, key, chunk)
                if item:
                    page.erase_item(item)
            raise

    def _write_chunks(self, ns, key, data, version, pages):
        start = 0
        while not pages or start < len(data):
            page = self._used[-1]
            room = page.room()
            if not room:
                raise _chip.error(*_NOT_ENOUGH_SPACE)
            part = data[start : start + room]
            page.write(ns, BLOB_DATA, key, data_value(part), version + len(pages), part)
            pages.append(page)
            start += len(part)
            if start < len(data) or room - len(part) < ENTRY:
                self._next_page()
        value = struct.pack("<IBBH", len(data), len(pages), version, 0xFFFF)
        self._used[-1].write(ns, BLOB_IDX, key, value)

    def _erase_blob(self, ns, key, version):
        for _ in range(2 if version == ANY else 1):
            page, index = self.find(ns, BLOB_IDX, key, ANY, version)
            if index:
                page.erase_item(index)
        for page, item in self._items(BLOB_DATA):
            if item.ns == ns and item.key == key and version in (ANY, item.chunk & _VERSION_1):
                page.erase_item(item)


def _is_chunk(item, index, first, end):
    return item.ns == index.ns and item.key == index.key and first <= item.chunk < end


def _found(item):
    if item is None:
        raise _chip.error(*_NOT_FOUND)
    return item


def _bytes(value):
    return value.encode() if isinstance(value, str) else bytes(memoryview(value))
