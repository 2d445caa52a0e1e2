# Runs on CPython and on MicroPython.
"""A page of an NVS partition, in ESP-IDF's format and with its order of writes: see _nvs.py, which is what to import.

Source: ESP-IDF 5.4.2, components/nvs_flash/src/nvs_page.cpp, nvs_types.cpp, nvs_constants.h.
"""

import binascii
import struct
from collections import namedtuple

import _chip
from _errors import need

SECTOR, ENTRY, ENTRIES = 4096, 32, 126  # bytes of a page; bytes of an entry; entries behind header and state table
CHUNK_MAX = ENTRY * (ENTRIES - 1)  # bytes of blob data in one page
_KEY_MAX = 15
_VERSION = 0xFE  # of the format; a newer one is a smaller number
_BLANK = b"\xff" * 512

# Page and entry states: each step clears bits. A page whose header is not right counts as unused, too.
UNUSED, ACTIVE, FULL, FREEING = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFC, 0xFFFFFFF8
_EMPTY, _WRITTEN, _ERASED = 3, 2, 0

# nvs::ItemType
U8, I32, BLOB_DATA, BLOB_IDX = 0x01, 0x14, 0x42, 0x48
_NO_CHUNK = 0xFF  # the chunk number of all but BLOB_DATA

Item = namedtuple("Item", ("page", "index", "ns", "kind", "span", "chunk", "key", "value"))


def find(items, ns, key, kind=None, chunk=_NO_CHUNK):
    """The first item of this name, or None. Without `kind`: of any."""
    for item in items:
        if (item.ns, item.key, item.chunk) == (ns, key, chunk) and kind in (None, item.kind):
            return item
    return None


class Page:
    """One sector: 32 bytes of header, 32 of entry states (2 bits each), 126 entries of 32."""

    def __init__(self, base):
        self._base = base
        self._clear()
        header = _chip.read(base, ENTRY)
        state, sequence, version = struct.unpack_from("<IIB", header)
        if state != UNUSED and struct.unpack_from("<I", header, 28)[0] == _crc(header[4:28]):
            need(version >= _VERSION, "ESP_ERR_NVS_NEW_VERSION_FOUND")
            if state in (ACTIVE, FULL, FREEING):
                self.state, self.sequence = state, sequence
                self._load()

    def _clear(self):
        self.state, self.sequence, self.items = UNUSED, None, []
        self._table, self._next = bytearray(b"\xff" * ENTRY), 0

    def _load(self):
        self._table = bytearray(_chip.read(self._base + ENTRY, ENTRY))
        while self._next < ENTRIES and not self._is_free(self._next):
            self._next += self._load_item(self._next)
        if self.state == ACTIVE and self.items:
            self._drop_double(self.items[-1])
        if self.state != ACTIVE:
            self._next = ENTRIES

    def _is_free(self, index):
        """An entry that is half written is not."""
        return self._entry_state(index) == _EMPTY and _chip.read(self._address(index), 4) == b"\xff" * 4

    def _load_item(self, index):
        """Add the item at `index`, or erase it if it is not whole. Return the number of entries that it takes."""
        state = self._entry_state(index)
        item = self._unpack(index) if state == _WRITTEN else None
        end = index + (item.span if item else 1)
        if item and all(self._entry_state(i) == _WRITTEN for i in range(index, end)):
            old = self.state == ACTIVE and find(self.items, item.ns, item.key, None, item.chunk)
            if old:
                erase_item(old)
            self.items.append(item)
        elif state == _WRITTEN or (state != _ERASED and self.state == ACTIVE):
            self._mark(index, end, _ERASED)
        return end - index

    def _drop_double(self, last):
        # ESP-IDF takes any older chunk of the same key for a double: a power cut between a blob's new chunk and its
        # new index leaves neither the old blob nor the new one.
        if last.kind == BLOB_DATA and last.index + last.span == self._next:
            for old in self.items[:-1]:
                if (old.ns, old.kind, old.key) == (last.ns, BLOB_DATA, last.key):
                    return erase_item(old)

    def waste(self):
        """Number of entries that hold nothing."""
        return sum(self._entry_state(i) != _WRITTEN for i in range(ENTRIES))

    def room(self):
        """Bytes of blob data that one more chunk can hold."""
        return max(ENTRIES - self._next - 1, 0) * ENTRY

    def write(self, ns, kind, key, value, chunk=_NO_CHUNK):
        """Append an item; False if the page has no room for it. The value of BLOB_DATA is the data."""
        need(len(key) <= _KEY_MAX, "ESP_ERR_NVS_KEY_TOO_LONG")
        data = b""
        if kind == BLOB_DATA:
            data, value = value, struct.pack("<HHI", len(value), 0xFFFF, _crc(value))
        span = 1 + -(-len(data) // ENTRY)
        if self._next + span > ENTRIES:
            return False
        item = Item(self, self._next, ns, kind, span, chunk, key, value + b"\xff" * (8 - len(value)))
        whole = len(data) // ENTRY * ENTRY
        self._append(_pack(item))
        self._append(data[:whole])
        self._append(data[whole:])
        self.items.append(item)
        return True

    def read_data(self, item):
        """The bytes of a chunk, or None if they are not what was written."""
        size, _, crc = struct.unpack_from("<HHI", item.value)
        data = _chip.read(self._address(item.index + 1), size)
        return data if _crc(data) == crc else None

    def copy_to(self, page):
        for item in self.items:
            page.items.append(Item(page, page._next, *item[2:]))
            for index in range(item.index, item.index + item.span):
                page._append(_chip.read(self._address(index), ENTRY))

    def take(self, sequence):
        """Give a free page its place in the order of the pages."""
        if any(_chip.read(self._base + i, len(_BLANK)) != _BLANK for i in range(0, SECTOR, len(_BLANK))):
            self.erase()
        self.sequence = sequence

    def close(self):
        """Take no more items."""
        if self.state != FULL:
            self.set_state(FULL)
        self._next = ENTRIES

    def set_state(self, state):
        _chip.write(self._base, struct.pack("<I", state))
        self.state = state

    def erase(self):
        _chip.erase(self._base, SECTOR)
        self._clear()

    def _initialize(self):
        body = struct.pack("<IB", self.sequence, _VERSION) + b"\xff" * 19
        _chip.write(self._base, struct.pack("<I", ACTIVE) + body + struct.pack("<I", _crc(body)))
        self.state = ACTIVE

    def _unpack(self, index):
        """Return the item whose first entry this is, None if it is none: Item::checkHeaderConsistency."""
        entry = _chip.read(self._address(index), ENTRY)
        ns, kind, span, chunk, crc = struct.unpack_from("<BBBBI", entry)
        if crc != _crc(entry[:4] + entry[8:]) or not 0 < span <= ENTRIES - index:
            return None
        return Item(self, index, ns, kind, span, chunk, entry[8:23].split(b"\0")[0], entry[24:32])

    def _address(self, index):
        return self._base + (2 + index) * ENTRY

    def _append(self, data):
        """Write entries, the last one filled up, and then their states."""
        if self.state == UNUSED:
            self._initialize()
        if data:
            end = self._next + -(-len(data) // ENTRY)
            _chip.write(self._address(self._next), data + b"\xff" * (-len(data) % ENTRY))
            self._mark(self._next, end, _WRITTEN)
            self._next = end

    def _entry_state(self, index):
        return self._table[index >> 2] >> (index & 3) * 2 & 3

    def _mark(self, start, end, state):
        """Set the state of entries, the last word first: the head of an item changes last."""
        for index in range(end - 1, start - 1, -1):
            shift = (index & 3) * 2
            self._table[index >> 2] = self._table[index >> 2] & ~(3 << shift) | state << shift
            if index == start or index % 16 == 0:
                word = index // 16 * 4
                _chip.write(self._base + ENTRY + word, bytes(self._table[word : word + 4]))


def erase_item(item):
    item.page.items.remove(item)
    item.page._mark(item.index, item.index + item.span, _ERASED)


def _pack(item):
    head = struct.pack("<BBBB", item.ns, item.kind, item.span, item.chunk)
    tail = item.key + bytes(16 - len(item.key)) + item.value
    return head + struct.pack("<I", _crc(head + tail)) + tail


def _crc(data):
    return binascii.crc32(data, 0xFFFFFFFF)
