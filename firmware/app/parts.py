"""What stands at the places of an image that count, picked out as its sectors come: later the flash could differ."""

import hashlib
import struct

from micropython import const

_SECTOR = const(4096)
_HEADER = const(40)  # bytes at the start of the header sector, see slot.py


class Parts:
    """Once it has been fed: `header` and `header_sha`, of the header sector that begins at `start`; and `app_hash`,
    the SHA-256 that the app image carries at `hash_at`. None for what is not there.
    """

    def __init__(self):
        self.start = self.header = self.header_sha = self.hash_at = self.app_hash = None
        self._piece = b""
        self._walk = self._places()
        self._at, self._length = next(self._walk)

    # As slot.end_of_image goes through an image that it can read where it likes.
    def _places(self):
        header = yield 0, 24
        end = 24
        for _ in range(header[1]):
            segment = yield end, 8
            end += 8 + struct.unpack("<II", segment)[1]
        end = (end + 16) // 16 * 16
        if header[23]:
            self.app_hash = yield end, 32
            self.hash_at = end
            end += 32
        self.start = (end + _SECTOR - 1) // _SECTOR * _SECTOR
        header = yield self.start, _HEADER
        if len(self._sector) == _SECTOR:
            self.header, self.header_sha = header, hashlib.sha256(self._sector).digest()

    def feed(self, index, sector):
        """Look at a sector (memoryview); they come one after the other, from 0 on."""
        self._sector = sector
        while self._length:
            at = self._at + len(self._piece) - index * _SECTOR
            if at >= len(sector):
                return
            self._piece += bytes(sector[at : at + self._length - len(self._piece)])
            if len(self._piece) == self._length:
                piece, self._piece = self._piece, b""
                try:
                    self._at, self._length = self._walk.send(piece)
                except StopIteration:
                    self._length = 0
