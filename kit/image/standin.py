"""The stand-in: a valid ESP32 image set that the kit makes itself, for virtual boards.

It holds no program. A virtual board runs its own MicroPython runtime for any valid app image; a chip must never get it.
"""

import hashlib

from kit.image import table
from kit.image.app_image import DESCRIPTOR, DESCRIPTOR_MAGIC
from kit.image.base import STAND_IN, BaseImage
from kit.image.layout import HASH_SIZE, HEADER, SEGMENT, make

APP_SIZE = 1_310_720  # 1.25 MB; MicroPython's OTA builds have 1.43 to 1.45 MB

DROM = 0x3F400020  # read-only data, mapped: its place in a 64 KiB page is its offset in the image
IRAM = 0x40080000
IRAM_SIZE = 0x10000
APP_ENTRY = 0x40081000

# segments and entry of the bootloader in MicroPython's 1.25 build, as the ROM prints them
BOOTLOADER_SEGMENTS = ((0x3FFF0030, 4892), (0x40078000, 14896), (0x40080400, 4), (0x40080404, 3372))
BOOTLOADER_ENTRY = 0x400805B0

# 40 byte values, each as likely: 5.3 of 8 bits, so that the stand-in compresses to two thirds as real firmware does
ALPHABET = bytes(value * 40 // 256 for value in range(256))


def _filler(seed: str, size: int) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(size).translate(ALPHABET)


def app() -> bytes:
    """Return the app image: 1,310,720 bytes, version "", project "kit-stand-in"."""
    descriptor = DESCRIPTOR.pack(
        DESCRIPTOR_MAGIC, 0, b"", b"", STAND_IN.encode(), b"", b"", b"", b"", 0, 0, 0, b"", b""
    )
    around = HEADER.size + 2 * SEGMENT.size + 16 + HASH_SIZE  # 16: the block of the checksum
    drom = descriptor + _filler("drom", APP_SIZE - around - IRAM_SIZE - len(descriptor))
    return make([(DROM, drom), (IRAM, _filler("iram", IRAM_SIZE))], APP_ENTRY)


def bootloader() -> bytes:
    """Return the bootloader image, with the segments of a real one and no descriptor."""
    segments = [(address, _filler(f"{address:x}", size)) for address, size in BOOTLOADER_SEGMENTS]
    return make(segments, BOOTLOADER_ENTRY)


def image_set() -> BaseImage:
    """Return bootloader, partition table and app of the stand-in."""
    return BaseImage(bootloader(), table.MICROPYTHON_OTA, app(), is_stand_in=True, name=STAND_IN)
