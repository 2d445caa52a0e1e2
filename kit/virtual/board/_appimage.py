# Runs on CPython and on MicroPython.
"""Judge an app image in flash as ESP-IDF does (esp_image_format.c, bootloader_common_loader.c)."""

import hashlib
import struct

PIECE = 1024  # bytes at a time: a chip's bootloader takes none of the program's memory
MAGIC = 0xE9
MAX_SEGMENTS = 16
MAX_SEGMENT_LENGTH = 0x1000000  # ESP_IMAGE_MAX_FLASH_ADDR_SIZE
MMU_PAGE = 0x10000
MAPPED = ((0x3F400000, 0x3F800000), (0x400D0000, 0x40400000))  # DROM and IROM: soc/esp32/include/soc/soc.h
CHIP_ID = 0
CHIP_REVISION = 301  # as the virtual board's eFuses say
REVISION = "Image requires chip rev %s v%d.%d, but chip is v3.1"
BOOTLOADER_START = 0x1000  # the one image whose appended hash is not checked


def verify(read, start: int, size: int) -> int:
    """Check magic, chip, segments, checksum and SHA-256 of the image at flash address `start`.

    Args:
        read: function (address, n) -> n bytes; past the end of the flash it raises OSError or returns less.
        start, size: the partition, in bytes.

    Returns:
        the length of the image in bytes, checksum and hash included.

    Raises ValueError with the message that ESP-IDF logs.
    """
    header = _read(read, start, 24)
    _check_header(header, start)
    has_hash = header[23] != 0
    sha = hashlib.sha256(header)
    total = 0
    end = start + 24
    for address, _, length in segments(read, start, header[1]):
        sha.update(_read(read, address - 8, 8))
        end = address + length
        while address < end:
            piece = _read(read, address, min(PIECE, end - address))
            sha.update(piece)
            total ^= int.from_bytes(piece, "little")  # all bytes at once; their order does not matter
            address += len(piece)
    tail = _read(read, end, 16 - (end - start) % 16)
    sha.update(tail)
    checksum = 0xEF
    for byte in total.to_bytes(PIECE, "little"):
        checksum ^= byte
    if checksum != tail[-1]:
        raise ValueError("Checksum failed. Calculated 0x%x read 0x%x" % (checksum, tail[-1]))
    end += len(tail)
    length = end - start + (32 if has_hash else 0)
    if length > size:
        raise ValueError("Image length %d doesn't fit in partition length %d" % (length, size))
    if has_hash and start != BOOTLOADER_START and _read(read, end, 32) != sha.digest():
        raise ValueError("Image hash failed - image is corrupt")
    return length


def segments(read, start: int, count: int):
    """Yield (flash address of the data, load address, length) of each segment of the image at `start`."""
    address = start + 24
    for index in range(count):
        load, length = struct.unpack("<II", _read(read, address, 8))
        address += 8
        if length % 4 or length >= MAX_SEGMENT_LENGTH:
            raise ValueError("invalid segment length 0x%x" % length)
        mapped = any(low <= load < high for low, high in MAPPED)
        if mapped and (address - load) % MMU_PAGE:
            raise ValueError("Segment %d load address 0x%08x, doesn't match data 0x%08x" % (index, load, address))
        yield address, load, length
        address += length


def _check_header(header: bytes, start: int) -> None:
    if header[0] != MAGIC:
        raise ValueError("image at 0x%x has invalid magic byte (nothing flashed here?)" % start)
    chip_id, _, min_revision, max_revision = struct.unpack("<HBHH", header[12:19])
    if chip_id != CHIP_ID:
        raise ValueError("mismatch chip ID, expected %d, found %d" % (CHIP_ID, chip_id))
    if min_revision > CHIP_REVISION:
        raise ValueError(REVISION % (">=", min_revision // 100, min_revision % 100))
    if max_revision not in (0, 0xFFFF) and max_revision < CHIP_REVISION:
        raise ValueError(REVISION % ("<=", max_revision // 100, max_revision % 100))
    if header[1] > MAX_SEGMENTS:
        raise ValueError("image at 0x%x segment count %d exceeds max %d" % (start, header[1], MAX_SEGMENTS))


def _read(read, address: int, n: int) -> bytes:
    try:
        data = read(address, n)
    except OSError:
        data = b""
    if len(data) != n:
        raise ValueError("bootloader_mmap(0x%x, 0x%x) failed" % (address, n))
    return data
