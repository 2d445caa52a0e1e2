"""GET /sectors: what the next slot holds, so that nobody sends it once more. Loaded when somebody asks."""

import asyncio
import binascii
import io
import struct

from errors import UpdateError
from micropython import const

_SECTOR = const(4096)
_TURN = const(4)  # sectors after which others have a turn


async def read(ota):
    """Return the answer: the number of sectors and the CRC-32 of each, 4 bytes each, the least significant first."""
    if ota.is_busy():
        raise UpdateError("BUSY", "Another update is running.")
    ota.check_target()
    tag = ota.tag()  # before the first look, so that it is stale where a sector changes meanwhile
    count = ota.target.info()[3] // _SECTOR
    found, buffer = bytearray(4 + 4 * count), bytearray(_SECTOR)
    struct.pack_into("<I", found, 0, count)
    for index in range(count):
        ota.target.readblocks(index, buffer)
        struct.pack_into("<I", found, 4 + 4 * index, binascii.crc32(buffer))
        if index % _TURN == 0:
            await asyncio.sleep(0)
    headers = {"Content-Type": "application/octet-stream", "ETag": tag, "Cache-Control": "no-store"}
    return io.BytesIO(found), 200, headers
