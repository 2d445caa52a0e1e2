"""What MicroPython has and CPython has not."""

import asyncio
import gc
import os
import ssl
import sys
import tempfile
import time
import traceback
from collections import namedtuple
from types import ModuleType

import _chip

Uname = namedtuple("Uname", ("sysname", "machine"))

micropython = ModuleType("micropython")
micropython.const = lambda value: value
sys.modules["micropython"] = micropython

tls = ModuleType("tls")  # it only loads certificates: CPython's streams know no connection that becomes TLS
tls.PROTOCOL_TLS_SERVER = 1
sys.modules["tls"] = tls

vfs = ModuleType("vfs")  # only a MicroPython can mount
sys.modules["vfs"] = vfs

os.uname = lambda: Uname("esp32", _chip.machine)
gc.threshold = lambda amount: None
gc.mem_free = gc.mem_alloc = lambda: 100_000
sys.print_exception = lambda error, file=None: traceback.print_exception(error, file=file or sys.stdout)


class SSLContext:
    def __init__(self, protocol):
        self._host = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def load_cert_chain(self, cert, key):
        with tempfile.NamedTemporaryFile("w+", suffix=".pem") as file:
            file.write(ssl.DER_cert_to_PEM_cert(key).replace("CERTIFICATE", "EC PRIVATE KEY"))
            file.write(ssl.DER_cert_to_PEM_cert(cert))
            file.flush()
            self._host.load_cert_chain(file.name)


tls.SSLContext = SSLContext


class Socket:
    """What of a connection MicroPython's stream shows: reading without waiting."""

    def __init__(self, reader):
        self._reader = reader

    def readinto(self, view):
        """Return the number of bytes, None where none has come yet."""
        if not (self._reader._buffer or self._reader.at_eof()):
            return None
        data = bytes(self._reader._buffer[: len(view)])
        del self._reader._buffer[: len(view)]
        self._reader._maybe_resume_transport()
        view[: len(data)] = data
        return len(data)


class Stream:
    """extmod/asyncio/stream.py: one object for reading and for writing."""

    def __init__(self, reader, writer):
        self.s = Socket(reader)
        self._reader, self._writer = reader, writer
        self.read, self.readline, self.get_extra_info = reader.read, reader.readline, writer.get_extra_info
        self.write, self.drain, self.close = writer.write, writer.drain, writer.close

    async def readinto(self, view):
        data = await self._reader.read(len(view))
        view[: len(data)] = data
        return len(data)

    async def wait_closed(self):
        """Close the socket; nothing can go wrong here any more."""
        self._writer.close()


class Server:
    """`task` ends with the server."""

    def __init__(self, server):
        self._server = server
        self.task = asyncio.create_task(server.serve_forever())

    def close(self):
        self.task.cancel()


async def start_server(call, host, port, backlog=5):
    async def serve(reader, writer):
        stream = Stream(reader, writer)
        await call(stream, stream)

    return Server(await start_host_server(serve, host, port, backlog=backlog))


async def open_connection(host, port):
    stream = Stream(*await open_host_connection(host, port))
    return stream, stream


start_host_server, asyncio.start_server = asyncio.start_server, start_server
open_host_connection, asyncio.open_connection = asyncio.open_connection, open_connection
time.ticks_ms = lambda: time.monotonic_ns() // 1_000_000
time.ticks_add = lambda ticks, ms: ticks + ms
time.ticks_diff = lambda end, start: end - start
