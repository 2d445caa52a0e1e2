"""Find, check and start the application that stands behind the app image in a slot.

    [ app image ][ 0xFF to the next sector ][ header sector: "APP1", length, SHA-256 ][ littlefs ]

Updates over the air never replace this file, and the application in every slot relies on it: small, boring, safe.
"""

import binascii
import gc
import hashlib
import struct
import sys

import machine
import vfs
from esp32 import Partition
from micropython import const

BOOT_FILES = const(3)  # number of the interface between boot files and applications; the first one had none
SECTOR = const(4096)
LOG = "/log/"  # folder of the audit log
_BLOCK = const(512)  # of the application's littlefs
_KEPT = const(12)  # blocks in memory while modules are loaded
_MAGIC = b"APP1"
_COLLECT_EVERY = const(16384)  # bytes allocated: what stays then stays together, and leaves the heap in one piece

FOUND, IMPORTED = const(3), const(4)  # steps, see probation.py

# otadata: esp_ota_select_entry_t and esp_ota_img_states_t of ESP-IDF
_OTADATA = const(0)  # subtype
_OTA_0 = const(0x10)  # subtype
NEW = const(0)
PENDING_VERIFY = const(1)
VALID = const(2)
UNDEFINED = const(0xFFFFFFFF)


class SlotError(Exception):
    """There is no application that could be started; the text says why."""


# littlefs asks for 32 to 128 bytes at a time, and never across the end of a block (lfs_bd_read). For each file it walks
# through the same few blocks again: a start needs 300 reads of the flash with twelve of them kept, and 2,600 with one.
class Window:
    """Read-only block device over `length` bytes of a partition from the sector boundary `start` on."""

    def __init__(self, partition, start, length):
        self._partition = partition
        self._start = start
        self._count = length // _BLOCK
        self.keep(1)

    def keep(self, blocks):
        """Hold so many blocks in memory from now on."""
        self._pieces = [bytearray(_BLOCK) for _ in range(blocks)]
        self._kept = [-1] * blocks  # which ones
        self._next = 0  # to be replaced

    def readblocks(self, block, buf, offset=0):
        if block not in self._kept:
            place = self._next
            self._kept[place] = -1
            self._partition.readblocks(0, self._pieces[place], self._start + block * _BLOCK)
            self._kept[place] = block
            self._next = (place + 1) % len(self._kept)
        buf[:] = self._pieces[self._kept.index(block)][offset : offset + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        raise OSError(30)  # EROFS

    def ioctl(self, op, arg):
        return {4: self._count, 5: _BLOCK, 6: -30}.get(op, 0)  # block count, block size, erase: EROFS


# The three functions below take `read(offset, buf)`, because the updater looks at a slot whose first sector it still
# holds in its memory.
def reader(partition):
    """Return the function that fills a buffer from a byte offset of a partition."""
    return lambda offset, buf: partition.readblocks(0, buf, offset)


# Header 24 bytes, segments with 8 bytes of header, checksum at the end of a block of 16, SHA-256: esp_image_format.h
def end_of_image(read, size):
    """Return the offset of the first sector boundary behind the app image."""
    header = bytearray(24)
    read(0, header)
    if header[0] != 0xE9:
        raise SlotError("the slot holds no app image")
    segment = bytearray(8)
    end = 24
    for _ in range(header[1]):
        read(end, segment)
        end += 8 + struct.unpack("<II", segment)[1]
        if end > size - 48:
            raise SlotError("the app image is cut short, or longer than its slot")
    end = (end + 16) // 16 * 16 + (32 if header[23] else 0)
    return (end + SECTOR - 1) // SECTOR * SECTOR


def find(read, size):
    """Return (offset, length, SHA-256) of the application in the `size` bytes behind `read`."""
    start = end_of_image(read, size)
    header = bytearray(40)
    if start + SECTOR <= size:
        read(start, header)
    magic, length, digest = struct.unpack("<4sI32s", header)
    if magic != _MAGIC:
        raise SlotError("there is no application behind the app image")
    start += SECTOR
    if length == 0 or length % _BLOCK or length > size - start:
        raise SlotError("the application behind the app image is cut short")
    return start, length, digest


def check(read, size, buf):
    """Return (offset, length) of the application once its SHA-256 was found right. `buf`: memory to work with."""
    start, length, digest = find(read, size)
    sha = hashlib.sha256()
    view = memoryview(buf)
    for offset in range(0, length, len(buf)):
        piece = view[: min(len(buf), length - offset)]
        read(start + offset, piece)
        sha.update(piece)
    if sha.digest() != digest:
        raise SlotError("the SHA-256 of the application is wrong")
    return start, length


def other(partition):
    """Return the slot after a partition, None where the table has no second one."""
    try:
        found = partition.get_next_update()
    except OSError:
        return None
    return None if found.info()[2] == partition.info()[2] else found


def state(partition):
    """Return the state word that otadata has for a slot, UNDEFINED where it has none."""
    slots = len([p for p in Partition.find(Partition.TYPE_APP) if _OTA_0 <= p.info()[1] < 2 * _OTA_0])
    found = (0, UNDEFINED)
    for otadata in Partition.find(Partition.TYPE_DATA, _OTADATA):
        for sector in (0, 1):
            record = bytearray(32)
            otadata.readblocks(sector, record, 0)
            seq, _, word, crc = struct.unpack("<I20sII", record)
            right = binascii.crc32(struct.pack("<I", seq), 0xFFFFFFFF) == crc
            if right and slots and (seq - 1) % slots == partition.info()[1] - _OTA_0 and seq > found[0]:
                found = (seq, word)
    return found[1]


def is_unconfirmed():
    """Tell whether the bootloader would go back to the other slot at the next reset."""
    return state(Partition(Partition.RUNNING)) in (NEW, PENDING_VERIFY)


def roll_back():
    """Reset if the running app is unconfirmed, so that the bootloader goes back; else do nothing."""
    if is_unconfirmed():
        print("This version was never confirmed. Restarting: the bootloader goes back to the version before.")
        machine.reset()


def start(come):
    """Mount the application of the running slot read-only at /app and run its main.py. Raises SlotError.

    come: called with each step that was come to, FOUND and IMPORTED; a slow flash makes them long.
    """
    partition = Partition(Partition.RUNNING)
    offset, length = check(reader(partition), partition.info()[3], bytearray(SECTOR))
    come(FOUND)
    window = Window(partition, offset, length)
    window.keep(_KEPT)
    vfs.mount(vfs.VfsLfs2(window), "/app", readonly=True)
    gc.threshold(_COLLECT_EVERY)
    sys.path.insert(0, "/app/lib")
    sys.path.insert(0, "/app")
    import main

    come(IMPORTED)
    window.keep(1)
    main.run()
