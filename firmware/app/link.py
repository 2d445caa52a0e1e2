"""A connection to somebody else, plain or TLS, on which nothing blocks the loop. Loaded when there is one.

OSError with one clear text says that the network failed, ValueError with one that what came cannot be right.
"""

import asyncio
import binascii
import errno
import hashlib
import select
import socket
import time

import tls
from micropython import const
from seldom import load

SECONDS = 10  # for the connection, for TLS, for a head, and for a piece of a body, each
_LOOK = 0.01  # seconds between two looks at what has come
_READ = const(512)  # bytes of lines received at a time


class Link:
    """What comes over it, as lines or as bytes, and what goes out. `host` is who is at the other end."""

    def __init__(self, host):
        self.host = host
        self._trouble = "{} takes no connection."
        self._socket = self._stream = None
        self._buffer = bytearray(_READ)
        self._at = self._end = 0  # received as lines, and not read yet
        self._until = self._most = 0
        self._is_right = None  # the certificate, once it has come

    async def connect(self, port, is_tls=False, certificate=None):
        """Connect; where there is to be TLS, the session is made now or by the first bytes that are sent.

        certificate: SHA-256 of the only one that is taken, 64 hex digits: nothing is sent before it has come. Without
        it any is taken: TLS then hides what is sent from those who listen, and proves nothing about who takes it.
        """
        try:
            address = await load("dns").resolve(self.host)
            await self._connect(address, port)
            if is_tls:
                self._wrap(address, certificate)
            if certificate:
                await self._meet()
        except MemoryError:
            raise OSError("The board has no memory left for a connection.")
        except (OSError, ValueError) as error:  # mbedtls has both for a certificate
            raise self._failed(error)

    async def _connect(self, address, port):
        self.allow()
        self._socket = self._stream = socket.socket()
        self._socket.setblocking(False)
        try:
            self._socket.connect(socket.getaddrinfo(address, port)[0][-1])
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                raise
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        while not poll.poll(0):  # whether it was refused shows the first write
            await self._wait()

    def _wrap(self, address, certificate):
        def verify(der, depth):
            if depth:  # who signed it makes no difference
                return 0
            self._is_right = binascii.hexlify(hashlib.sha256(der).digest()).decode() == certificate.lower()
            return 0 if self._is_right else -1

        self._trouble = "No TLS connection to {} came about."
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_NONE
        if certificate:
            context.verify_mode, context.verify_callback = tls.CERT_OPTIONAL, verify
        name = None if address == self.host else self.host  # no literal is one (RFC 6066, section 3)
        self._stream = context.wrap_socket(self._socket, server_hostname=name, do_handshake_on_connect=False)

    # To read makes the session, too, and never sends what is only for the right one.
    async def _meet(self):
        self.allow()
        view = memoryview(bytearray(1))
        while not self._is_right:
            if self._stream.readinto(view) is not None:
                raise OSError(errno.ECONNRESET)
            await self._wait()

    def _failed(self, error):
        if self._is_right is False:
            return ValueError(f"{self.host} has another certificate than the one that it was set to have.")
        if isinstance(error, OSError) and isinstance(error.args[0], str):
            return error
        return OSError(self._trouble.format(self.host))

    def allow(self, most=0):
        """Give what follows its time, and lines so many bytes in all."""
        self._until = time.ticks_add(time.ticks_ms(), int(SECONDS * 1000))
        self._most = most

    async def _wait(self):
        if time.ticks_diff(time.ticks_ms(), self._until) > 0:
            raise OSError(f"{self.host} takes longer than {SECONDS} seconds.")
        await asyncio.sleep(_LOOK)

    async def send(self, data):
        """Send bytes."""
        self.allow()
        view = memoryview(data)
        try:
            while len(view):
                sent = self._stream.write(view)
                if sent:
                    view = view[sent:]
                else:
                    await self._wait()
        except (OSError, ValueError) as error:
            raise self._failed(error)
        self._trouble = "The connection to {} broke off."

    async def readinto(self, view):
        """Put what has come into a memoryview; return the number of bytes, 0 at the end. Waits for the first one."""
        got = min(len(view), self._end - self._at)
        if got:
            view[:got] = memoryview(self._buffer)[self._at : self._at + got]
            self._at += got
            return got
        try:
            while True:
                got = self._stream.readinto(view)  # None also where a part of a TLS record has come
                if got is not None:
                    return got
                await self._wait()
        except OSError as error:
            raise self._failed(error)

    async def readline(self, longest):
        """Return the next line without its end, or the first bytes of one that is not shorter than `longest`."""
        line = b""
        while True:
            if self._at == self._end:
                self._at = self._end = 0
                self._end = await self.readinto(memoryview(self._buffer))
                if not self._end:
                    raise OSError(f"{self.host} hung up in the middle.")
            end = self._buffer.find(b"\n", self._at, self._end) + 1
            piece = memoryview(self._buffer)[self._at : end or self._end]
            self._at += len(piece)
            self._most -= len(piece)
            if self._most < 0:
                raise ValueError(f"{self.host} sends a head without an end.")
            line += bytes(piece[: longest - len(line)])
            if end:
                return line.rstrip(b"\r\n")

    def look(self):
        """Return None as long as nothing comes, 0 where the other end has closed; it waits for nothing."""
        try:
            return self._stream.readinto(bytearray(1))
        except OSError:
            return 0

    def close(self):
        """Close it."""
        for stream in (self._stream, self._socket):  # TLS leaves the socket open where the handshake failed
            if stream:
                stream.close()
        self._stream = self._socket = None
