"""HTTPS beside the plain server: one TLS session at a time, of a client that has sent something. Loaded where it is on.

A session takes 27 kB of memory, and a second one finds none. So connections are accepted plainly: one waits here, the
others with the network. Of 10 sockets two listen, one has the session, one waits, three are plain (see server.py), one
is for the board's own request, and two are for what it asks others.
"""

import asyncio
import select
import socket
import time

import server
import wifi
from client import Client
from errors import HttpError
from micropython import const

_LOOK = 0.05  # seconds between two looks at who comes, who has sent, and who is late
_RETRY = 1  # seconds until the port is opened anew, as where memory was short
_SILENCE = const(500)  # ms for which a connection may send nothing while another one wants its place
_IDLE = const(2_000)  # ms for which nothing may happen in a session while somebody waits for it
_TURN = const(10_000)  # ms after which a session ends with its next answer, if somebody waits
_PLACES, _NEWCOMERS = const(2), const(1)  # of plain HTTP


class TlsServer:
    """Serves what `app`, the plain server, does; `context` has certificate and key, and is None where they are bad.

    `port` is that of HTTPS as clients see it.
    """

    def __init__(self, app, context, port):
        self.context = context
        self._app, self._port = app, port
        self._client = None  # of the session
        self._task = None
        self._is_busy = False  # there is a session, or its end
        self._began = self._moved = self._until = 0
        self._waiting = None  # a plain connection
        self._since = 0
        self._has_sent = False
        app.places, app.newcomers, app.tls = _PLACES, _NEWCOMERS, self

    async def run(self, port):
        """Serve until cancelled."""
        while True:
            listener = socket.socket()
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(socket.getaddrinfo("0.0.0.0", port)[0][-1])
                listener.listen(server.BACKLOG)
                listener.setblocking(False)
                poll = select.poll()
                poll.register(listener, select.POLLIN)
                while True:
                    await asyncio.sleep(_LOOK)
                    self._look(time.ticks_ms(), listener, poll)
            except (OSError, MemoryError):
                self.stop()
            finally:
                listener.close()
            await asyncio.sleep(_RETRY)

    def stop(self):
        """Close every connection."""
        if self._waiting:
            self._waiting.s.close()
            self._waiting = None
        if self._client:
            self._client.task.cancel()

    def _look(self, now, listener, poll):
        ready = [stream for stream, _ in poll.ipoll(0)]
        if self._waiting is None:
            if listener in ready:
                self._accept(now, listener, poll)
        elif not self._has_sent:
            waited = time.ticks_diff(now, self._since)
            if self._waiting.s in ready:
                self._has_sent = True
                poll.unregister(self._waiting.s)
            elif waited > (_SILENCE if listener in ready else server.HEAD_SECONDS * 1000):
                poll.unregister(self._waiting.s)
                self._waiting.s.close()
                self._waiting = None
        elif not self._is_busy:
            self._is_busy = True
            self._began = now
            self._task = asyncio.create_task(self._serve(self._waiting))
            self._waiting = None
        if self._client:
            self._watch(self._client, now)

    def _accept(self, now, listener, poll):
        connection, address = listener.accept()
        if not self._app.lets_in(address[0]):
            return connection.close()
        connection.setblocking(False)
        self._waiting = asyncio.StreamReader(connection, {"peername": address})
        self._since, self._has_sent = now, False
        poll.register(connection, select.POLLIN)

    # What happens in a session gives it time, see Client.allow.
    def _watch(self, client, now):
        client.look_at(now)
        if client.until != self._until:
            self._until, self._moved = client.until, now
        if self._waiting is None or not self._has_sent:
            return
        if client.is_idle and time.ticks_diff(now, self._moved) > _IDLE:
            client.task.cancel()
        elif time.ticks_diff(now, self._began) > _TURN:
            client.is_last = True

    # Handshake and head have the time of a head together.
    async def _serve(self, stream):
        connection = stream.s
        try:
            stream.s = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            self._client = Client(stream, True)
            self._moved = time.ticks_ms()
            await self._app.serve(self._client)
        except server.GONE:  # ENOMEM of wrap_socket, too
            pass
        except MemoryError:
            print("A client was sent away: it takes more memory than there is.")
        finally:
            self._client = None
            await stream.wait_closed()
            connection.close()  # what TLS leaves open where the handshake fails (extmod/modtls_mbedtls.c)
            self._is_busy = False

    def redirect(self, request):
        """Return the answer to a plain request, None for GET /info. Raises HttpError where a secret may be in it."""
        headers = request.headers
        is_bare = request.method in ("GET", "HEAD") and not request.client.left
        if not is_bare or "authorization" in headers or "x-device" in headers:
            advice = "Use its address that begins with https, and change what you have sent: others could read it."
            raise HttpError(403, "HTTPS_REQUIRED", "This board takes that by HTTPS only.", advice)
        if request.path == "/info":
            return None
        host = headers.get("host") or wifi.ip()
        if ":" in host and not host.endswith("]"):
            host = host.rpartition(":")[0]
        port = "" if self._port == 443 else f":{self._port}"
        return "", 308, {"Location": f"https://{host}{port}{request.path}"}
