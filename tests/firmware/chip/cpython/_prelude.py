"""What MicroPython has and CPython has not."""

import asyncio
import gc
import os
import socket
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

tls = ModuleType("tls")  # no server's side: CPython's streams know no connection that becomes TLS
tls.PROTOCOL_TLS_CLIENT, tls.PROTOCOL_TLS_SERVER = 0, 1
tls.CERT_NONE, tls.CERT_OPTIONAL, tls.CERT_REQUIRED = 0, 1, 2
sys.modules["tls"] = tls

vfs = ModuleType("vfs")  # only a MicroPython can mount
sys.modules["vfs"] = vfs

os.uname = lambda: Uname("esp32", _chip.machine)
gc.threshold = lambda amount: None
gc.mem_free = gc.mem_alloc = lambda: 100_000
sys.print_exception = lambda error, file=None: traceback.print_exception(error, file=file or sys.stdout)


class Direct(socket.socket):
    """A socket that is a stream, too: None stands for "would block"."""

    def readinto(self, view):
        return unless_blocked(self.recv_into, view)

    def write(self, data):
        return unless_blocked(self.send, data)


def unless_blocked(call, *arguments):
    try:
        return call(*arguments)
    except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        return None


class Session:
    """A client's side of TLS, shaken by the first reads or writes."""

    def __init__(self, connection, verify):
        self._connection, self._verify = connection, verify
        self._is_shaken = False

    def write(self, data):
        return unless_blocked(self._run, self._connection.send, data)

    def readinto(self, view):
        return unless_blocked(self._run, self._connection.recv_into, view)

    def _run(self, call, data):
        if not self._is_shaken:
            self._connection.do_handshake()
            if self._verify and self._verify(self._connection.getpeercert(True), 0):
                raise OSError(-0x3000, "MBEDTLS_ERR_X509_FATAL_ERROR")
            self._is_shaken = True
        return call(data)

    def close(self):
        self._connection.close()


class SSLContext:
    def __init__(self, protocol):
        is_client = protocol == tls.PROTOCOL_TLS_CLIENT
        self._host = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if is_client else ssl.PROTOCOL_TLS_SERVER)
        self.verify_mode = tls.CERT_REQUIRED if is_client else tls.CERT_NONE
        self.verify_callback = None

    def load_cert_chain(self, cert, key):
        with tempfile.NamedTemporaryFile("w+", suffix=".pem") as file:
            file.write(ssl.DER_cert_to_PEM_cert(key).replace("CERTIFICATE", "EC PRIVATE KEY"))
            file.write(ssl.DER_cert_to_PEM_cert(cert))
            file.flush()
            self._host.load_cert_chain(file.name)

    def wrap_socket(self, sock, server_hostname=None, do_handshake_on_connect=True):
        assert self.verify_mode != tls.CERT_REQUIRED and not do_handshake_on_connect
        self._host.check_hostname, self._host.verify_mode = False, ssl.CERT_NONE
        options = {"do_handshake_on_connect": False, "suppress_ragged_eofs": False}
        wrapped = self._host.wrap_socket(sock, server_hostname=server_hostname, **options)
        return Session(wrapped, self.verify_mode == tls.CERT_OPTIONAL and self.verify_callback)


socket.socket = Direct
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
