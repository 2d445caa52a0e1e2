"""The body of a PATCH /update: changed sectors, each with its number before it. Loaded when they come."""

import struct

from errors import UpdateError
from micropython import const

_SECTOR = const(4096)
_ENTRY = const(2 + 4096)  # a number and a sector


class Changes:
    """Some sectors of an image of `size` bytes; `left` bytes of them, without their numbers, are still to come."""

    is_exact = False  # a client may send what the slot has already

    def __init__(self, client, size):
        self.left = client.left // _ENTRY * _SECTOR
        self._client = client
        self._count = (size + _SECTOR - 1) // _SECTOR
        self._next = -1  # number of the sector of which the bytes come next, -1 where it has not been read
        if client.left % _ENTRY:
            cause = f"The body has {client.left} bytes, and a changed sector takes {_ENTRY}."
            raise UpdateError("SIZE", cause, "Send a number of two bytes and 4096 bytes for each.")
        if self.left > self._count * _SECTOR:
            raise UpdateError("SPACE", "More sectors come than the image has.")

    async def bring(self, index):
        """Tell whether a sector comes, which `readinto` then gives. Ask for one after the other, from 0 on."""
        if self._next < 0 and self.left:
            number = await self._client.whole(2)
            if len(number) < 2:
                raise UpdateError("ABORT", f"The upload ended with {self.left} bytes still to come.")
            self._next = self._checked(struct.unpack("<H", number)[0], index)
        if self._next != index:
            return False
        self._next = -1
        return True

    def _checked(self, number, index):
        if number >= self._count:
            raise UpdateError("SPACE", f"Sector {number} is behind the last one of the image.")
        if number < index:
            raise UpdateError("ABORT", f"Sector {number} comes too late.", "Send each once, in ascending order.")
        return number

    async def readinto(self, view):
        """Fill as much of `view` as has come; return the number of bytes, 0 at the end or if the client is gone."""
        got = await self._client.readinto(view)
        self.left -= got
        return got
