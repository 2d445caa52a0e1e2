"""The head of a request. Only what handlers ask for is kept of it, so that nobody can fill the memory with the rest."""

import binascii

from errors import HttpError
from micropython import const
from seldom import load

_HEAD = const(4096)  # bytes of it all, but for cookies
_COOKIES = const(4096)  # bytes of them, most of other pages on the same host, such as a hub's
_KEPT = const(1024)  # bytes of values that are kept
_HEADERS = const(32)
_FIELDS = const(16)  # of a query
_BODY = const(1024)  # bytes of one that is no file
_NAMES = (
    " accept authorization connection content-digest content-length content-type expect host if-match origin "
    "repr-digest transfer-encoding x-device x-md5 "
)
_QUERY = const(("force",))


def _bad(why):
    return HttpError(400, "BAD_REQUEST", "This is no HTTP request: " + why + ".", "Use a browser, curl, or the kit.")


def _too_large(what):
    return HttpError(431, "HEAD_TOO_LARGE", "The head of the request has too many " + what + ".", "Send less of them.")


class Request:
    """`method`, `path`, and as texts those headers (in small letters), cookies and fields that have a known name."""

    def __init__(self, client, cookies):
        self.client = client
        self.method = self.path = ""
        self.headers = {}
        self.cookies = {}
        self.query = {}
        self.gives = {}  # more headers of the answer
        self._wanted = cookies
        self._room = _HEAD
        self._cookie_room = _COOKIES
        self._kept = _KEPT

    async def read(self):
        """Read the head. Raises HttpError where it makes no sense or is too large; nobody knows then what follows."""
        line = await self._line()
        if not line.endswith(b"\n"):
            raise HttpError(414, "URI_TOO_LONG", "The address is too long.", "Send a shorter one.")
        is_new = self._take_first(line)
        await self._take_headers()
        if is_new and not self.headers.get("host"):
            raise _bad("it has no Host")
        self.keeps_open = not self.says("connection", "close") if is_new else self.says("connection", "keep-alive")
        self.client.waits_for_100 = is_new and self.says("expect", "100-continue")
        self.client.left = self._length()

    def says(self, name, word):
        """Tell whether a header has a word in it."""
        return word in self.headers.get(name, "").lower()

    async def fields(self, only_json=False):
        """Return the fields of a body; fields.py is loaded when all of it is there, not by each who waits."""
        client = self.client
        length = client.left
        if length > _BODY:
            raise HttpError(413, "BODY_TOO_LARGE", "The body has more than 1 kB.", "Send the fields alone.")
        client.is_idle = True  # a part of a form, like a part of a head, holds no place
        data = await client.whole(length)
        client.is_idle = False
        if len(data) < length:  # who breaks off has asked for nothing
            return {}
        return load("fields").parse(data.strip(), only_json)

    async def _line(self):
        line = await self.client.readline()
        self._room -= len(line)
        if self._room < 0:
            raise _too_large("bytes")
        return line

    # Return whether the client speaks HTTP/1.1.
    def _take_first(self, line):
        try:
            self.method, target, version = str(line, "utf-8").rstrip("\r\n").split(" ")
            self._take_target(target)
            is_plain = min(target) > " " and max(target) <= "~"  # RFC 3986, 2
            if version in ("HTTP/1.1", "HTTP/1.0") and self.path.startswith("/") and is_plain:
                return version == "HTTP/1.1"
        except ValueError:
            pass
        raise _bad("its first line is not METHOD /address HTTP/1.1")

    def _take_target(self, target):
        if target.startswith("http://"):  # as to a proxy; RFC 9112, 3.2.2
            target = "/" + target[7:].partition("/")[2]
        self.path, _, query = target.partition("?")
        at = target.find("%")
        while at >= 0:
            binascii.unhexlify(target[at + 1 : at + 3] or "%")
            at = target.find("%", at + 1)
        if query.count("&") >= _FIELDS:
            raise HttpError(414, "URI_TOO_LONG", f"The address has more than {_FIELDS} fields.", "Send fewer of them.")
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if name in _QUERY:
                self.query[name] = value

    async def _take_headers(self):
        for _ in range(_HEADERS + 1):
            line = await self._line()
            if line in (b"\r\n", b"\n"):
                return
            name, colon, value = line.partition(b":")
            if not colon or not name or b" " in name or b"\t" in name:
                raise _bad("a line of its head has no name")
            try:
                name = str(name, "utf-8").lower()
                if name == "cookie":
                    self._room += self._cookie_room
                    self._cookie_room = 0
                    line = await self._take_cookies(value)
                elif line.endswith(b"\n"):
                    self._take(name, str(value, "utf-8").strip())
                elif self._is_known(name):
                    raise _too_large("bytes in one line")
            except ValueError:
                raise _bad("its head is not UTF-8")
            while not line.endswith(b"\n"):
                line = await self._line()
        raise _too_large("lines")

    def _is_known(self, name):
        return f" {name} " in _NAMES

    def _take(self, name, value):
        if not self._is_known(name):
            return
        if name == "authorization" and name in self.headers:
            raise _bad("it says twice who asks")
        before = self.headers.get(name, value)
        if before != value:  # RFC 9110, 5.3: the second one goes on with the first
            value = before + ", " + value
        self._keep(self.headers, name, value)

    # Browsers send those of every page on the same host, whatever its port: together they can be longer than a line.
    async def _take_cookies(self, value):
        while True:
            pair, semicolon, value = value.partition(b";")
            if not semicolon and not pair.endswith(b"\n"):
                value = pair + await self._line()
                continue
            name, _, text = str(pair, "utf-8").strip().partition("=")
            if name in self._wanted:
                self._keep(self.cookies, name, text.strip('"'))
            if not semicolon:
                return pair

    def _keep(self, where, name, value):
        self._kept -= len(value)
        if self._kept < 0:
            raise _too_large("bytes in the lines that the board reads")
        where[name] = value

    def _length(self):
        text = self.headers.get("content-length", "0")
        if not text or text.strip("0123456789"):
            raise _bad("its Content-Length is no number")
        return int(text)
