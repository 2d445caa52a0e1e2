"""A web server for a board: few clients, and of each of them no more in memory than 4 kB, whatever it sends.

These are 1 kB received and not read yet, 1 kB of a form or of what is read, 1 kB of its head's values, and objects.
"""

import asyncio
import gc
import io
import json
import sys
import time

import client as connection
from client import ANY, Client
from errors import HttpError
from micropython import const
from request import Request

HEAD_SECONDS = 5  # that a head may take, and an open connection wait for the next one
ANYONE, TOKEN, PASSWORD = const(0), const(1), const(2)  # who may ask: the last also by the password, as HTTP Basic

_CLIENTS = const(6)  # of 10 sockets: one listens, one is for the board's own request, two for those who come or go
_NEWCOMERS = const(2)
_PIECE = const(1024)  # bytes of an answer, at a time
BACKLOG = const(8)  # as many as are left of lwIP's 10, where nobody is connected
_REQUESTS = const(100)  # over one connection
_LOOK = 0.2  # seconds between two looks at who is late
_PATIENCE = 1  # seconds that a newcomer waits for a place
_NONSENSE_SECONDS = 1  # for a client of which nobody knows what more it sends
GONE = (OSError, EOFError, asyncio.CancelledError)


class Server:
    """Handlers stand in a dict by method and path, as "GET /info". They take a request and return the answer: a dict, a
    text or an open file, or one of them with a status, or with status and headers.

    `admit(request, who)` raises HttpError for who may not ask. What it and the handlers raise `refuse(request, error)`
    turns into an answer. `cookies` are the names of those that they look at, `hosts` the names of the board in small
    letters, the last one its hostname.
    """

    def __init__(self, admit, refuse):
        self.handlers = {}  # method and path: (who may ask, function)
        self.cookies = ()
        self.hosts = ("localhost",)
        self.lets_in = lambda address: True  # else the connection is closed before a byte of it is read
        self.arrivals = 0  # connections so far
        self.places, self.newcomers = _CLIENTS, _NEWCOMERS
        self.tls = None  # see tls_server.py
        self.error = None, None  # the last exception that no handler meant, and for which path
        self._admit = admit
        self._refuse = refuse
        self._clients = []  # that have a place, the oldest first
        self._waiting = 0
        self._listener = None

    def on(self, name, who=TOKEN):
        """Return a decorator, which makes a function the handler of a method and path such as "GET /info"."""

        def add(function):
            self.handlers[name] = (who, function)
            return function

        return add

    async def run(self, port):
        """Serve until cancelled."""
        try:
            while True:
                if self._listener is None or self._listener.task.done():  # as where memory was short
                    gc.collect()  # closes its socket
                    try:
                        self._listener = await asyncio.start_server(self._arrive, "0.0.0.0", port, BACKLOG)
                    except (OSError, MemoryError):
                        pass  # once more at the next look
                await asyncio.sleep(_LOOK)
                self._look()
        finally:
            self.stop()

    # Not in `run`, which never ends, and so would hold the last of them for good.
    def _look(self):
        now = time.ticks_ms()
        for client in self._clients:
            client.look_at(now)

    def stop(self):
        """Close every connection."""
        if self._listener:
            self._listener.close()
            self._listener = None
        for client in self._clients:
            client.task.cancel()
        if self.tls:
            self.tls.stop()

    async def _arrive(self, stream, _):
        self.arrivals += 1
        client = Client(stream)
        try:
            if self.lets_in(client.address) and await self._get_place(client):
                await self.serve(client)
        except GONE:
            pass
        except MemoryError:
            print("A client was sent away: it takes more memory than there is.")
        finally:
            if client in self._clients:
                self._clients.remove(client)
            await stream.wait_closed()

    async def _get_place(self, client):
        """Wait for a place, and tell whether there is one; the oldest idle client makes room."""
        if self._waiting == self.newcomers:  # the board has no sockets for more
            return False
        end = time.ticks_add(time.ticks_ms(), _PATIENCE * 1000)
        self._waiting += 1
        try:
            while len(self._clients) >= self.places and not self._evict():
                if time.ticks_diff(time.ticks_ms(), end) > 0:
                    return False
                await asyncio.sleep(_PATIENCE / 20)
        finally:
            self._waiting -= 1
        self._clients.append(client)
        return True

    def _evict(self):
        for client in self._clients:
            if client.is_idle:
                self._clients.remove(client)
                client.task.cancel()
                return True
        return False

    async def serve(self, client):
        """Answer one request after the other."""
        for number in range(1, _REQUESTS + 1):
            client.is_idle = True
            client.allow(HEAD_SECONDS)
            request, seconds = Request(client, self.cookies), connection.SECONDS
            try:
                await request.read()
                client.is_idle = False
                client.allow(None)
                result = await self._result(request)
            except HttpError as error:  # of the head: nobody knows what more comes
                client.left, seconds = ANY, _NONSENSE_SECONDS
                result = error.body(), error.status, error.headers
            # A body that was not read, or not even sent, could be taken for the next request.
            keeps_open = not (client.left or client.is_last) and request.keeps_open and number < _REQUESTS
            client.is_idle = True
            await self._answer(request, result, keeps_open)
            if client.left:
                await client.discard(seconds)
            if not keeps_open:
                return

    async def _result(self, request):
        try:
            self._check(request)
            if self.tls and not request.client.is_tls:
                answer = self.tls.redirect(request)
                if answer:
                    return answer
            who, handler = self._handler(request)
            self._admit(request, who)
            return await handler(request)
        except HttpError as error:
            return self._refuse(request, error)
        except MemoryError:
            raise
        except Exception as error:
            sys.print_exception(error)
            self.error = request.path, error
            advice = "Look at the serial port."
            return self._refuse(request, HttpError(500, "INTERNAL", "The board has made a mistake.", advice))

    def _check(self, request):
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if host and not self._is_ours(host.lower()):  # DNS rebinding: a page at a name that leads to this board
            advice = f"Use its address, {self.hosts[-1]}.local, or put the name into the setting hosts."
            raise HttpError(403, "BAD_HOST", "The board does not know itself by this name.", advice)
        # A browser says which page a request comes from; others say nothing.
        is_foreign = origin and origin.split("//")[-1] != host
        if is_foreign or (origin and request.client.is_tls and not origin.startswith("https:")):
            raise HttpError(403, "FOREIGN_ORIGIN", "This comes from another page.", "Use the board's pages.")
        if "transfer-encoding" in request.headers:
            request.client.left = ANY
            request.client.waits_for_100 = False
            raise HttpError(411, "LENGTH_REQUIRED", "The body comes without its size.", "Send a Content-Length.")

    def _is_ours(self, host):
        name, _, port = host.rpartition(":") if ":" in host and not host.endswith("]") else (host, "", "")
        if port.strip("0123456789"):
            return False
        if name.startswith("[") and name.endswith("]"):
            return not name[1:-1].strip("0123456789abcdef:.")
        if name.count(".") == 3 and not name.strip("0123456789."):
            return True
        name = name[:-1] if name.endswith(".") else name
        return name in self.hosts or name == self.hosts[-1] + ".local"

    def _handler(self, request):
        """Return who may ask for it, and the function."""
        method = "GET" if request.method == "HEAD" else request.method
        found = self.handlers.get(f"{method} {request.path}")
        if found:
            return found
        methods = [name.split(" ")[0] for name in self.handlers if name.split(" ")[1] == request.path]
        if not methods:
            raise HttpError(404, "NOT_FOUND", "There is nothing at this address.", "Begin at the address /.")
        allowed = ", ".join(methods + ["HEAD"] * ("GET" in methods))
        headers = {"Allow": allowed}
        raise HttpError(405, "BAD_METHOD", f"This address takes {allowed} only.", "Use one of them.", headers)

    async def _answer(self, request, result, keeps_open):
        if not isinstance(result, tuple):
            result = (result,)
        body, status, headers = result + (200, {})[len(result) - 1 :]
        kind, reason = "text/plain; charset=UTF-8", "OK"
        if isinstance(body, dict):
            reason = body.get("error") or reason
            body, kind = json.dumps(body), "application/json"
        if isinstance(body, str):
            body = io.BytesIO(body.encode())
        with body:
            lines = {"Content-Type": kind, "Content-Length": body.seek(0, 2)}
            lines["Connection"] = "keep-alive" if keeps_open else "close"
            lines.update(request.gives)
            lines.update(headers)
            piece = _head(f"{status} {reason if status < 300 or reason != 'OK' else ''}", lines)
            is_wanted = request.method != "HEAD" and not body.seek(0)
            if is_wanted and len(piece) < _PIECE:  # a small answer is one packet
                piece += body.read(_PIECE - len(piece))
            while piece:
                await request.client.send(piece)
                piece = is_wanted and body.read(_PIECE)


def _head(status, lines):
    head = f"HTTP/1.1 {status}\r\n"
    for name, value in lines.items():
        for text in value if isinstance(value, list) else [value]:
            head += f"{name}: {text}\r\n"
    return (head + "\r\n").encode()
