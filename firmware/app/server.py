"""microdot 2.7 bent to a board's needs; each bend says why."""

import asyncio
import json

from errors import HttpError
from microdot import Microdot, Request, Response
from micropython import const

SECONDS = 10  # that a body may stall, that an answer may take to go out, and that a body is discarded
HEAD_SECONDS = 5
_HEAD = const(4096)  # bytes
_CLIENTS = const(6)  # of 10 sockets: one listens, one client may wait, and two at a time are about to come or go
_ANY = const(1 << 30)
_SMALL = const(1024)  # bytes of a form
_SURPLUS_SECONDS = 0.05
_LEAVING_SECONDS = 0.05  # of one that was answered: a browser opens the next connection at once
_NONSENSE_SECONDS = 1  # for a client of which nobody knows what more it sends
_GONE = (OSError, EOFError, asyncio.TimeoutError)  # MicroPython has no builtin TimeoutError


# microdot would read bodies of up to 16 kB itself, without a limit in time and before anybody has logged in.
Request.max_body_length = float("-inf")
Request.max_readline = _HEAD  # microdot: 2 kB


class Client:
    """A connection and the one request that comes over it.

    Handlers read the body, of which `left` bytes are still to come. The client is idle, and can be evicted, until its
    head is complete, while a form is awaited, and again once it was answered.
    """

    def __init__(self, reader, writer):
        self.left = 0
        self.task = asyncio.current_task()
        self.is_idle = True
        self._reader = reader
        self._writer = writer
        self._data = b""  # received, and not read yet
        self._waits = False  # for "100 Continue"

    async def serve(self, app):
        """Answer the request."""
        request = None
        if await asyncio.wait_for(self._receive_head(), HEAD_SECONDS):
            request = await self._request(app)
            response = await app.dispatch_request(request)  # microdot answers 400 to None
        else:
            response = Response("Request header fields too large", 431)
        await asyncio.wait_for(response.write(self._writer), SECONDS)
        self.is_idle = True
        # Closing with unread data would reset the connection, and the client might lose the answer.
        if self.left:
            await asyncio.wait_for(self._discard(), SECONDS if request else _NONSENSE_SECONDS)

    # microdot alone would take lines of any length and wait for them for ever.
    async def _receive_head(self):
        while b"\r\n\r\n" not in self._data:
            if len(self._data) == _HEAD:
                self.left = _ANY
                return False
            piece = await self._reader.read(_HEAD - len(self._data))
            if not piece:
                raise EOFError
            self._data += piece
        self.is_idle = False  # at once: by the time the caller goes on it might have been evicted
        return True

    async def _request(self, app):
        """Return the request, None where it makes no sense: microdot answers 400 to that."""
        self.left = _ANY
        try:
            request = await Request.create(app, self, self._writer, self._writer.get_extra_info("peername"))
        except (ValueError, IndexError):
            return None
        if request is None or request.content_length < 0:
            return None
        if "Transfer-Encoding" not in request.headers:  # chunked is refused; its length is not known
            self.left = request.content_length
        # microdot does not answer `Expect: 100-continue`, and curl then waits a second.
        self._waits = request.headers.get("Expect", "").lower() == "100-continue"
        request.max_content_length = request.content_length  # microdot: 16 kB. The updater knows better what fits
        request.g.client = self
        return request

    async def readline(self):
        """Return the next line of the head; for microdot."""
        line, _, self._data = self._data.partition(b"\r\n")
        return line

    async def readinto(self, view):
        """Fill as much of `view` as the body has; return the number of bytes, 0 at its end or if the client is gone."""
        n, seconds = min(len(view), self.left), SECONDS
        if not self.left:  # nothing comes any more, unless the client sends more than it has announced
            n, seconds = min(len(view), 1), _SURPLUS_SECONDS
            self.left = n * _ANY
        try:
            if self._waits:
                await self._writer.awrite(b"HTTP/1.1 100 Continue\r\n\r\n")
                self._waits = False
            await asyncio.wait_for(self._fill(view[:n]), seconds)
        except _GONE:
            self.left = n = 0
        return n

    def unread(self, data):
        """Put back what was read last."""
        self._data = data + self._data
        self.left += len(data)

    async def _discard(self):
        view = memoryview(bytearray(1024))
        while self.left:
            await self._fill(view[: min(len(view), self.left)])

    async def _fill(self, view):
        done = 0
        while done < len(view):
            got = await self._receive(view[done:])
            if got == 0:
                raise EOFError
            done += got or 0  # None: nothing was there yet
        self.left -= done

    async def _receive(self, view):
        if not self._data:
            return await self._reader.readinto(view)
        n = min(len(view), len(self._data))
        view[:n] = self._data[:n]
        self._data = self._data[n:]
        return n


async def fields(request):
    """Return the fields of a body of up to 1 kB, {} where it has none: a dict of JSON, or a MultiDict of a form.

    What it is shows in itself, as curl calls every body a form. No page from elsewhere can send one: see Origin below.
    """
    client = request.g.client
    if not 0 < client.left <= _SMALL:
        return {}
    data = bytearray(client.left)
    client.is_idle = True  # a part of a form, like a part of a head, holds no place
    length = await client.readinto(memoryview(data))
    client.is_idle = False
    if length < len(data):
        return {}
    text = bytes(data).strip()
    try:
        return json.loads(text.decode()) if text.startswith(b"{") else request._parse_urlencoded(text)
    except (ValueError, RuntimeError):  # no JSON, or nested too deep
        return {}


class Server(Microdot):
    """microdot with few clients at a time, whose bodies have any length: handlers read them from `request.g.client`.

    Handlers stand in a dict by method and path, as "GET /info". `admit` raises HttpError for who may not ask for one of
    these. What it and the handlers raise `refuse` turns into an answer.
    """

    def __init__(self, handlers, admit, refuse):
        super().__init__()
        self.handlers = handlers
        self._admit = admit
        self._refuse = refuse
        self._clients = []  # the oldest first
        self._open = 0  # connections, those that were evicted and still have to close too

    # microdot keeps a compiled pattern and more for each path: 4 kB of memory for ours, none of which is a pattern.
    def find_route(self, request):
        method = "GET" if request.method == "HEAD" else request.method
        request.g.name = f"{method} {request.path}"
        if request.g.name in self.handlers:
            request.url_args = {}
            return self._answer, "", None
        is_known = any(known.split(" ")[1] == request.path for known in self.handlers)
        return 405 if is_known else 404, "", None

    async def _answer(self, request):
        try:
            # A browser says which page a request comes from; others say nothing.
            origin = request.headers.get("Origin")
            if origin and origin.split("//")[-1] != request.headers.get("Host"):
                raise HttpError(403, "FOREIGN_ORIGIN", "This comes from another page.", "Use the board's pages.")
            if "Transfer-Encoding" in request.headers:
                raise HttpError(411, "LENGTH_REQUIRED", "The body comes without its size.", "Send a Content-Length.")
            self._admit(request)
            return await self.handlers[request.g.name](request)
        except HttpError as error:
            return self._refuse(request, error)

    async def handle_request(self, reader, writer):
        client = Client(reader, writer)
        self._clients.append(client)
        self._open += 1
        try:
            if self._open == _CLIENTS + 1:  # of a burst one waits: the board has no sockets for more
                await asyncio.sleep(_LEAVING_SECONDS)
            self._evict()
            if client in self._clients:
                await client.serve(self)
        except _GONE + (asyncio.CancelledError,):
            pass
        finally:
            self._open -= 1
            if client in self._clients:
                self._clients.remove(client)
            await writer.aclose()

    # The oldest idle ones go; a newcomer is idle too.
    def _evict(self):
        for client in list(self._clients):
            if len(self._clients) > _CLIENTS and client.is_idle:
                self._clients.remove(client)
                if client.task is not asyncio.current_task():
                    client.task.cancel()
