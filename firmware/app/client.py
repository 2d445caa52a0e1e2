"""A connection: what comes over it, as lines of a head or as the bytes of a body, and what goes back.

Time is counted here and kept by the server: see `allow`.
"""

import asyncio
import time

from micropython import const

SECONDS = 10  # that a body may stall, that a piece of an answer may take to go out, and that a body is discarded
LINE = const(1024)  # bytes received and not read yet
ANY = const(1 << 30)  # bytes are left where nobody knows how many
_PIECE = const(512)  # bytes of what is discarded, at a time
_GONE = (OSError, EOFError)


class Client:
    """Handlers read the body, of which `left` bytes are still to come.

    An idle client can be sent away when others come: its head or its form is not complete, or it does not take its
    answer.
    """

    def __init__(self, stream, is_tls=False):
        self.is_tls = is_tls
        self.is_last = False  # its next answer is the last one
        self.left = 0
        self.is_idle = True
        self.waits_for_100 = False  # it sends the body once it was asked to
        self.task = asyncio.current_task()
        address = stream.get_extra_info("peername")
        self.address = address[0] if isinstance(address, tuple) else None
        self._stream = stream
        self._data = b""  # received, and read up to `_at`
        self._at = 0
        self.until = None  # ticks in ms
        self._is_late = False

    def allow(self, seconds):
        """Give what follows so many seconds, None for any number of them."""
        self.until = seconds and time.ticks_add(time.ticks_ms(), int(seconds * 1000))

    def look_at(self, now):
        """End the wait of a client whose time is over at `now` (ticks in ms): a body ends, anything else breaks off."""
        if self.until is not None and time.ticks_diff(now, self.until) > 0:
            self.until = None
            self._is_late = True
            self.task.cancel()

    async def readline(self):
        """Return the next line of a head, or the first 1,024 bytes of a longer one, which have no line end."""
        while True:
            end = self._data.find(b"\n", self._at) + 1
            if not end and len(self._data) - self._at >= LINE:
                end = self._at + LINE
            if end:
                line = self._data[self._at : end]
                self._at = end
                return line
            self.unread(b"")  # lets go of what was read
            held = len(self._data)
            self._data += await self._stream.read(LINE - held)
            if len(self._data) == held:
                raise EOFError

    def unread(self, data):
        """Put back what was read last of a body."""
        self._data = data + self._data[self._at :]
        self._at = 0
        self.left += len(data)

    async def readinto(self, view):
        """Put some bytes of the body into a memoryview; return their number, 0 at its end or if the client is gone.

        At the end it tells too whether more has come than was announced.
        """
        if self.left and len(view) > self.left:
            view = view[: self.left]
        if self._at < len(self._data):
            piece = self._data[self._at : self._at + len(view)]
            got = len(piece)
            view[:got] = piece
            self._at += got
            self.unread(b"")  # lets go of what was read
        elif self.left:
            got = await self._receive(view)
        else:
            got = self._look(view)
        if got and not self.left:
            self.left = ANY
        self.left = self.left - got if got else 0
        return got

    # One that has sent already does not wait: what the network brings meanwhile waits in the socket.
    async def _receive(self, view):
        try:
            if self.waits_for_100:
                self.waits_for_100 = False
                await self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            got = self._stream.s.readinto(view)
            if got is None:
                self.allow(SECONDS)
            while got is None:  # again where a part of a TLS record has come
                got = await self._stream.readinto(view)
            return got
        except _GONE:
            return 0
        except asyncio.CancelledError:
            if not self._is_late:  # it was sent away
                raise
            self._is_late = False
            return 0
        finally:
            self.until = None

    def _look(self, view):
        try:
            return self._stream.s.readinto(view) or 0
        except OSError:
            return 0

    async def whole(self, n):
        """Return the next n bytes of the body, fewer where it ends before."""
        data = bytearray(n)
        done = 0
        while done < n:
            got = await self.readinto(memoryview(data)[done:])
            if not got:
                break
            done += got
        return bytes(data[:done])

    async def send(self, data):
        """Send bytes."""
        self.allow(SECONDS)
        self._stream.write(data)
        await self._stream.drain()
        self.until = None

    async def discard(self, seconds):
        """Read what is left of the body: closing with unread data resets a connection, and loses the answer."""
        self.left -= len(self._data) - self._at
        self._data, self._at = b"", 0
        self.allow(seconds)
        view = memoryview(bytearray(_PIECE))
        while self.left > 0:
            got = await self._stream.readinto(view)
            if got == 0:
                return
            self.left -= got or 0
