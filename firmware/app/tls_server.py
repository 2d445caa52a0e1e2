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
import settings
import wifi
from client import Client
from errors import HttpError
from micropython import const

_LOOK = 0.05  # seconds between two looks at who comes, who has sent, and who is late
_SILENCE = const(500)  # ms for which a connection may send nothing while another one wants its place
_HURRY = const(3)  # seconds for which a session may do nothing, if somebody waits for it
_TURN = const(10_000)  # ms after which it ends then, an upload with its answer


class TlsServer:
    """Serves what `app`, the plain server, does. `context` has certificate and key; without a good one it is None."""

    context = None
    is_paused = False  # its memory is lent to a session of the board's own

    def __init__(self, app):
        self._app = app
        self._client = self._task = None  # of the session
        self._began = self._until = 0
        self._waiting = None  # a plain connection
        self._since = 0  # None: it has sent something
        app.places, app.newcomers, app.tls = 2, 1, self

    async def run(self, port):
        """Serve until cancelled."""
        listener, poll = socket.socket(), select.poll()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(socket.getaddrinfo("0.0.0.0", port)[0][-1])
        listener.listen(server.BACKLOG)
        listener.setblocking(False)
        poll.register(listener, select.POLLIN)
        while True:
            await asyncio.sleep(_LOOK)
            try:
                self._look(listener, poll, time.ticks_ms())
            except (OSError, MemoryError):  # who came has gone, or there is no socket or no memory for him
                pass

    def stop(self):
        """Close the session."""
        if self._client:
            self._task.cancel()

    async def pause(self):
        """Begin no session until is_paused is False again; the one that there is has some seconds to end."""
        self.is_paused = True
        for _ in range(_TURN // 100):
            if not self._task:
                return
            await asyncio.sleep(0.1)
        self.stop()
        while self._task:
            await asyncio.sleep(0.1)

    def _look(self, listener, poll, now):
        client, stream = self._client, self._waiting
        has_sent = stream and self._since is None
        if client:
            client.is_last = has_sent and time.ticks_diff(now, self._began) > _TURN
            if client.is_last and client.is_idle:  # however slowly it goes on
                self._task.cancel()
            elif has_sent and client.is_idle and client.until != self._until:  # it has moved
                client.allow(_HURRY)
                self._until = client.until
            client.look_at(now)
        if has_sent:
            if self._task is None and not self.is_paused:
                self._began, self._waiting = now, None
                self._task = asyncio.create_task(self._serve(stream, stream.s))
            return
        ready = [source for source, _ in poll.ipoll(0)]
        patience = _SILENCE if listener in ready else server.HEAD_SECONDS * 1000
        if stream:
            if stream.s in ready:
                poll.unregister(stream.s)
                self._since = None
            elif time.ticks_diff(now, self._since) > patience:
                poll.unregister(stream.s)
                stream.s.close()
                self._waiting = None
        elif listener in ready:
            connection, address = listener.accept()
            if self._app.lets_in(address[0]):
                connection.setblocking(False)
                poll.register(connection, select.POLLIN)
                self._waiting, self._since = asyncio.StreamReader(connection, {"peername": address}), now
            else:
                connection.close()

    # Handshake and head have the time of a head together.
    async def _serve(self, stream, connection):
        try:
            stream.s = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            self._client = Client(stream, True)
            await self._app.serve(self._client)
        except server.GONE + (MemoryError,):  # ENOMEM of wrap_socket, too
            pass
        finally:
            self._client = None
            await stream.wait_closed()
            connection.close()  # what TLS leaves open where the handshake fails (extmod/modtls_mbedtls.c)
            self._task = None

    def redirect(self, request):
        """Return the answer to a plain request, None for GET /info. Raises HttpError where a secret may be in it."""
        headers = request.headers
        is_bare = request.method in ("GET", "HEAD") and not request.client.left
        if not is_bare or "authorization" in headers or "x-device" in headers:
            advice = "Ask by https. A secret that came so may have been read: change it."
            raise HttpError(403, "HTTPS_REQUIRED", "This board takes that by HTTPS only.", advice)
        if request.path == "/info":
            return None
        host = headers.get("host") or wifi.ip()
        if ":" in host and not host.endswith("]"):
            host = host.rpartition(":")[0]
        port = settings.blob("https_port")  # of a virtual board
        if port:
            host += ":" + port.decode()
        return "", 308, {"Location": f"https://{host}{request.path}"}
