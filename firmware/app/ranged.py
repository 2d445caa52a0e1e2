"""A file that comes in parts: from where a link broke, or only the sectors that a slot lacks. Loaded when one comes."""

import asyncio
import binascii

from errors import FetchError
from micropython import const

PAUSE = 1  # seconds before a file is asked for once more, then two, four …
_TRIES = const(5)  # in a row that bring nothing
_PATIENCE = const(60)  # seconds that a server may want to have in between
_SECTOR = const(4096)
_PIECE = const(512)  # bytes of a slot, or of what is thrown away, at a time
_GAP = const(4 * 4096)  # bytes that are thrown away rather than asking anew


class Ranged:
    """The file of `size` bytes that `get(start, etag)` gives as an Answer, read from its begin to its end.

    With `crcs`, the CRC-32 of each of its sectors, the last one with 0xFF behind it, and a `slot` only what that lacks
    is read, after `bring`. `left`: bytes that are still to come, at most.
    """

    is_exact = True

    def __init__(self, get, size, crcs=None, slot=None):
        self._get, self._size, self._crcs, self._slot = get, size, crcs, slot
        self._next = 0  # where in the file reading goes on
        self._end = size if crcs is None else 0  # and where it ends for now
        self.left = size if crcs is None else len(crcs) * _SECTOR
        self._answer = self._etag = None
        self._at = 0  # where in the file the answer is
        self._has_parts = True  # the server gives parts of the file
        self._tries = 0
        self._piece = memoryview(bytearray(_PIECE))

    async def bring(self, index):
        """Tell whether the slot lacks a sector, which `readinto` then gives. Ask for one after the other, from 0 on."""
        crc = 0
        for offset in range(0, _SECTOR, _PIECE):
            self._slot.readblocks(index, self._piece, offset)
            crc = binascii.crc32(self._piece, crc)
        if crc == self._crcs[index]:
            self.left -= _SECTOR
            return False
        self._next, self._end = index * _SECTOR, (index + 1) * _SECTOR
        return True

    async def readinto(self, view):
        """Put some bytes into a memoryview; return their number, 0 where no more are to come. Raises FetchError."""
        most = min(len(view), self._end - self._next)
        if most <= 0:
            return 0
        come = min(most, self._size - self._next)
        if come > 0:
            most = await self._receive(view[:come])
        else:
            view[:most] = b"\xff" * most
        self._next += most
        self.left -= most
        if self._next >= self._size:
            self.close()
        return most

    def close(self):
        """Hang up."""
        if self._answer:
            self._answer.close()
            self._answer = None

    async def _receive(self, view):
        while True:
            try:
                if self._answer and not 0 <= self._next - self._at <= (_GAP if self._has_parts else self._size):
                    self.close()
                if not self._answer:
                    await self._ask()
                while self._at < self._next:
                    await self._read(self._piece[: self._next - self._at])
                    await asyncio.sleep(0)  # what comes fast never waits
                got = await self._read(view)
                self._tries = 0
                return got
            except FetchError as error:
                self.close()
                if error.is_final or self._tries == _TRIES or (error.wait or 0) > _PATIENCE:
                    raise
                pause = max(PAUSE * (1 << self._tries), error.wait or 0)
                self._tries += 1
            await asyncio.sleep(pause)

    async def _read(self, view):
        got = await self._answer.readinto(view)
        if not got:
            raise FetchError("The server sends less than the whole file.")
        self._at += got
        return got

    async def _ask(self):
        self._answer = answer = await self._get(self._next, self._etag)
        self._etag = self._etag or answer.etag
        self._at = answer.start
        self._has_parts = self._next == 0 or answer.status == 206
        is_other = answer.status not in (200, 206) or answer.etag not in (None, self._etag)
        if is_other or answer.total not in (None, self._size):
            raise FetchError("The file has changed meanwhile.", True)
        if not self._has_parts and self._crcs is None:
            raise FetchError("The link broke, and the server gives no part of a file.", True)
