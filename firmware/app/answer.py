"""What a server answers: a head, whose lengths are judged, and a body that is held to them. Loaded with fetch.py.

As in link.py, OSError says that the network failed, ValueError that what came cannot be right.
"""

from errors import FetchError
from micropython import const

_HEAD = const(16384)  # bytes of a head, or of the lines of a chunk: GitHub's redirects have 6 kB
_LINE = const(2048)  # bytes of a line that are kept: the address in one of them has 1 kB
_LINES = const(64)
_KEPT = const(
    (
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"etag",
        b"location",
        b"retry-after",
        b"transfer-encoding",
    )
)
_HEX = const(b"0123456789abcdefABCDEF")


class Answer:
    """The answer that comes over a link.

    `start`: where in the file the body begins. `total`: bytes of the file, `length`: those of the body, `etag`, `type`:
    None where the server does not say. A status from 300 on has no body here.
    """

    def __init__(self, link):
        self._link = link
        self._headers = {}
        self.start = 0
        self.total = None
        self._chunk = None  # bytes left of one
        self.length = self._left = 0

    async def begin(self, start):
        """Read the head. It may begin at `start` or at 0."""
        link = self._link
        link.allow(_HEAD)
        lines = _LINES
        self.status = 100
        while self.status < 200:  # others come before the one that counts
            self._headers.clear()
            version, _, rest = (await link.readline(_LINE)).partition(b" ")
            if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit() or rest[3:4] not in (b"", b" "):
                raise ValueError(f"{link.host} does not answer by HTTP/1.1.")
            self.status = int(rest[:3])
            while True:
                line = await link.readline(_LINE)
                if not line:
                    break
                lines -= 1
                self._keep(line, lines)
        self.etag, self.type = self.header(b"etag"), self.header(b"content-type")
        if self.status < 300 and self.status != 204:
            self._frame(start)

    def _keep(self, line, lines):
        name, colon, value = line.partition(b":")
        name = name.lower()
        if lines < 0 or not colon or name != name.strip():
            raise self._lie("a head that is none")
        if name not in _KEPT:
            return
        value = value.strip()
        is_plain = len(line) < _LINE and all(0x20 <= byte < 0x7F for byte in value)
        if not is_plain or self._headers.get(name, value) != value:
            raise self._lie("a bad " + name.decode())
        self._headers[name] = value

    def header(self, name):
        """Return the value of a header as text, None without it."""
        value = self._headers.get(name)
        return value and value.decode()

    def _lie(self, what):
        return ValueError(f"{self._link.host} sends {what}.")

    def _number(self, text, what):
        if not text.isdigit() or len(text) > 9:
            raise self._lie(what)
        return int(text)

    # How long the body is (RFC 9112, 6.3).
    def _frame(self, start):
        coding, length = self.header(b"transfer-encoding"), self.header(b"content-length")
        if self._headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise self._lie("packed data that nobody asked for")
        if length is not None:
            length = self._number(length, "a bad content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise self._lie("a body whose length cannot be told")
            self._chunk = 0
        if self.status == 206:
            length = self._part(start, length)
        elif self.status == 200:
            self.total = length
        self.length = self._left = length

    # Content-Range: bytes FIRST-LAST/TOTAL, whose total may be * (RFC 9110, 14.4).
    def _part(self, start, length):
        lie = "another part of the file than it was asked for"
        unit, _, span = (self.header(b"content-range") or "").partition(" ")
        span, _, total = span.partition("/")
        first, _, last = span.partition("-")
        first, last = self._number(first, lie), self._number(last, lie)
        if total != "*":
            self.total = self._number(total, lie)
        size = last - first + 1
        if not start or first != start or unit.lower() != "bytes" or size < 1 or length not in (None, size):
            raise self._lie(lie)
        if self.total is not None and last >= self.total:
            raise self._lie(lie)
        self.start = first
        return size

    async def readinto(self, view):
        """Put some bytes of the body into a memoryview; return their number, 0 at its end. Raises FetchError."""
        link = self._link
        link.allow(_HEAD)
        try:
            if self._chunk == 0:
                await self._open_chunk()
            if self._left is not None and len(view) > self._left:
                view = view[: self._left]
            if self._chunk and len(view) > self._chunk:
                view = view[: self._chunk]
            if not len(view):
                return 0
            got = await link.readinto(view)
            if self._left is not None:
                self._left -= got
            if self._chunk:
                self._chunk -= got
                if not self._chunk and await link.readline(_LINE):
                    raise self._lie("a chunk that is longer than it says")
            if not got:
                if self._left is not None or self._chunk:
                    raise OSError(f"{link.host} hung up before all had come.")
                self._left = 0
            return got
        except (OSError, ValueError) as error:
            raise FetchError(error.args[0], isinstance(error, ValueError))

    # SIZE;extension, and behind the last one, of size 0, lines that mean nothing here (RFC 9112, 7.1).
    async def _open_chunk(self):
        size = (await self._link.readline(_LINE)).partition(b";")[0].strip()
        if not 0 < len(size) < 8 or size.strip(_HEX):
            raise self._lie("a chunk without a size")
        self._chunk = int(size.decode(), 16)
        if self._left is not None and self._chunk > self._left:
            raise self._lie("more than it announced")
        if not self._chunk:
            while await self._link.readline(_LINE):
                pass
            if self._left:
                raise OSError(f"{self._link.host} ended before all had come.")
            self._chunk, self._left = None, 0

    async def whole(self, most):
        """Return the whole body. Raises FetchError, also where it has more than `most` bytes."""
        size = most if self.length is None else self.length
        if size > most:
            raise FetchError(f"{self._link.host} sends {size} bytes, and {most} are the most.", True)
        buffer, done = bytearray(size + 1), 0
        while True:
            got = await self.readinto(memoryview(buffer)[done:])
            if not got:
                return bytes(memoryview(buffer)[:done])
            done += got
            if done > most:
                raise FetchError(f"{self._link.host} sends more than {most} bytes.", True)

    def close(self):
        """Hang up."""
        self._link.close()
