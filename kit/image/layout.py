"""The layout of an app image: header, segments, checksum, SHA-256, and the application that may stand behind it.

ESP-IDF 5.4, esp_app_format.h and esp_image_format.c.
"""

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import NamedTuple

import numpy as np

from kit.errors import ImageError
from kit.image.partition import SECTOR

MAGIC = 0xE9
CHIP_ESP32 = 0  # esp_chip_id_t

# esp_image_header_t: magic, segments, spi_mode, speed and size, entry, wp_pin, pin_drive, chip_id, min_revision,
# min_revision_full, max_revision_full, reserved, hash_appended
HEADER = struct.Struct("<BBBBIB3sHBHH4sB")
SEGMENT = struct.Struct("<II")  # load address, length
MAX_SEGMENTS = 16
CHECKSUM_SEED = 0xEF
HASH_SIZE = 32

# What kit.build puts behind an image, from the next sector on: a header with a sector to itself, and the application.
APPLICATION_HEADER = struct.Struct("<4sI32s")  # magic, length of the application, its SHA-256
APPLICATION_MAGIC = b"APP1"
SIGNERS = 64  # in the sector of the header: the digests of the keys that sign the image, for boards that know one only


@dataclass(frozen=True)
class Segment:
    """One segment: load address in the chip, offset of its data in the image, length in bytes."""

    address: int
    offset: int
    length: int


class Layout(NamedTuple):
    """Where the parts of an image are; offsets in bytes.

    `tail` starts at `end`: the checksum, and the SHA-256 where the image carries one. `application` is where the
    application behind it should be by its header, and `digest` its SHA-256 there: none and empty without a header.
    """

    segments: tuple[Segment, ...]
    end: int
    tail: bytes
    application: range
    digest: bytes


def layout(read: Callable[[int, int], bytes], size: int) -> Layout:
    """Find the parts of an image, of which only headers and tail are read.

    Args:
        read: (offset, count) -> bytes of the image.
        size: how many there are, of the image and what follows.

    Raises:
        ImageError: the data is empty, no image, or cut short.
    """

    def part(offset: int, count: int) -> bytes:
        if offset + count > size:
            cause = f"This image is cut short: it has {size:,} bytes and needs {offset + count:,} or more."
            raise ImageError(cause, "Build or download it once more.")
        return read(offset, count)

    if not size:
        raise ImageError("This image is empty: it has 0 bytes.", "Build or download it once more.")
    if (magic := part(0, 1)[0]) != MAGIC:
        raise _no_image(f"it starts with 0x{magic:02x} instead of 0xe9")
    header = part(0, HEADER.size)
    if not 1 <= header[1] <= MAX_SEGMENTS:
        raise _no_image(f"it counts {header[1]} segments, not 1 to {MAX_SEGMENTS}")
    segments, position = [], HEADER.size
    for _ in range(header[1]):
        address, length = SEGMENT.unpack(part(position, SEGMENT.size))
        segments.append(Segment(address, position + SEGMENT.size, length))
        position += SEGMENT.size + length
    end = position | 15  # the checksum ends a block of 16
    tail = part(end, 1 + (HASH_SIZE if header[-1] else 0))
    behind = end + len(tail)
    start = -(-behind // SECTOR) * SECTOR
    found = read(start, APPLICATION_HEADER.size) if start + SECTOR <= size else b""
    if not found.startswith(APPLICATION_MAGIC):
        return Layout(tuple(segments), end, tail, range(behind, behind), b"")
    _, length, digest = APPLICATION_HEADER.unpack(found)
    return Layout(tuple(segments), end, tail, range(start + SECTOR, start + SECTOR + length), digest)


def make(segments: Sequence[tuple[int, bytes]], entry: int, chip_id: int = CHIP_ESP32) -> bytes:
    """Return a complete image of (load address, data) segments, checksum and SHA-256 appended.

    The data is padded to whole words, as the bootloader demands.
    """
    # as ESP-IDF 5 does for an ESP32: DIO, 40 MHz and 4 MB, no write-protect pin, chips up to revision 3.99, SHA-256
    header = HEADER.pack(MAGIC, len(segments), 2, 0x20, entry, 0xEE, bytes(3), chip_id, 0, 0, 399, bytes(4), 1)
    image = bytearray(header)
    for address, data in segments:
        padding = bytes(-len(data) % 4)
        image += SEGMENT.pack(address, len(data) + len(padding)) + data + padding
    return seal(image + bytes(16 - len(image) % 16 + HASH_SIZE))  # the checksum ends a block of 16


def seal(image: bytearray) -> bytes:
    """Write the checksum, and the SHA-256 where the header announces one, over what is in their place."""
    segments, end, tail, *_ = layout(lambda offset, count: image[offset : offset + count], len(image))
    image[end] = checksum(image, segments)
    if tail[1:]:
        image[end + 1 : end + len(tail)] = hashlib.sha256(image[: end + 1]).digest()
    return bytes(image)


def _no_image(why: str) -> ImageError:
    return ImageError(f"This is no app image: {why}.", "Take the .bin file that a build made.")


def checksum(data: bytes, segments: Sequence[Segment]) -> int:
    """Return 0xEF XOR every byte of every segment."""
    bodies = (np.frombuffer(data, np.uint8, segment.length, segment.offset) for segment in segments)
    return int(reduce(xor, map(np.bitwise_xor.reduce, bodies), CHECKSUM_SEED))
