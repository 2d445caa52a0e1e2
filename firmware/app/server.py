"""microdot 2.7 bent to a board's needs; each bend says why."""

import asyncio

from microdot import Microdot, Request
from micropython import const

SECONDS = 10  # that a body may stall, and that one is discarded
_ANY = const(1 << 30)
_SMALL = const(1024)  # bytes of a form
_GONE = (OSError, EOFError, asyncio.TimeoutError)  # MicroPython has no builtin TimeoutError


# microdot would read bodies of up to 16 kB itself, without a limit in time and before anybody has logged in.
Request.max_body_length = 0


class Body:
    """The body of a request, read piece by piece. `left` counts the bytes that have not been read."""

    def __init__(self, request):
        is_chunked = "Transfer-Encoding" in request.headers  # refused; its length is not known
        self.left = _ANY if is_chunked else request.content_length
        self._stream = request.stream
        # microdot does not answer `Expect: 100-continue`, and curl then waits a second.
        self._continue = request.headers.get("Expect", "").lower() == "100-continue" and request.sock[1]

    async def readinto(self, view):
        """Fill as much of `view` as the body has; return the number of bytes, 0 at its end or if the client is gone."""
        n = min(len(view), self.left)
        try:
            if self._continue:
                await self._continue.awrite(b"HTTP/1.1 100 Continue\r\n\r\n")
                self._continue = None
            await asyncio.wait_for(self._fill(view[:n]), SECONDS)
        except _GONE:
            self.left = n = 0
        return n

    async def discard(self):
        """Read the rest of the body for up to 10 s: closing with unread data would reset the connection."""
        try:
            await asyncio.wait_for(self._skip(), SECONDS)
        except _GONE:
            self.left = 0

    async def _skip(self):
        view = memoryview(bytearray(1024))
        while self.left:
            await self._fill(view[: min(len(view), self.left)])

    async def _fill(self, view):
        done = 0
        while done < len(view):
            got = await self._stream.readinto(view[done:])
            if got == 0:
                raise EOFError
            done += got or 0  # None: nothing was there yet
        self.left -= done


async def fields(request):
    """Return the fields of a JSON or form body of up to 1 kB, {} where it has none."""
    body = request.g.body
    if not 0 < body.left <= _SMALL:
        return {}
    data = bytearray(body.left)
    if await body.readinto(memoryview(data)) < len(data):
        return {}
    request._body = bytes(data)  # microdot has no other way to parse what it has not read itself
    try:
        found = request.json or request.form
    except (ValueError, RuntimeError):  # no JSON, or nested too deep
        return {}
    return found if isinstance(found, dict) else {}


class _Answer:
    """A response, and after it what is left of the request's body."""

    def __init__(self, response, body):
        self.status_code = response.status_code
        self._response = response
        self._body = body

    async def write(self, stream):
        await self._response.write(stream)
        await self._body.discard()


class Server(Microdot):
    """microdot with bodies of any length (microdot: 16 kB), which handlers read from `request.g.body`."""

    async def dispatch_request(self, request):
        if not request:
            return await super().dispatch_request(request)
        request.max_content_length = request.content_length  # the updater knows better what fits
        request.g.body = Body(request)
        return _Answer(await super().dispatch_request(request), request.g.body)
