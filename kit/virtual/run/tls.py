"""The board's `tls`: mbedtls as MicroPython has it (extmod/modtls_mbedtls.c of v1.26), over this computer's OpenSSL.

Each connection takes of the system's heap what it takes on a chip; there is room for one beside our application.
"""

import ssl as host
import tempfile
from collections.abc import Callable

from .errors import BoardOSError, board_error
from .memory import TLS, memory
from .sockets import POLLIN, POLLOUT, Socket
from .streams import Stream, as_bytes, part

PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER = 0, 1
CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED = 0, 1, 2
FAILED = (-0x7200, "MBEDTLS_ERR_SSL_INVALID_RECORD")  # whatever it was
NOT_TRUSTED = (-0x2700, "MBEDTLS_ERR_X509_CERT_VERIFY_FAILED")
RECORD = 16384  # bytes that come from the network at a time
WAITS = (host.SSLWantReadError, host.SSLWantWriteError)


def _pem(data: str | bytes, label: str) -> str:
    """Return PEM for PEM or DER."""
    data = as_bytes(data)
    if data.lstrip().startswith(b"-----"):
        return data.decode()
    lines = host.DER_cert_to_PEM_cert(data)
    return lines.replace("CERTIFICATE", label)


class SSLContext:
    """Certificate, key and trust of the connections that are made with it."""

    def __init__(self, protocol: int) -> None:
        self._is_server = protocol == PROTOCOL_TLS_SERVER
        self._host = host.SSLContext(host.PROTOCOL_TLS_SERVER if self._is_server else host.PROTOCOL_TLS_CLIENT)
        self._host.check_hostname = False
        self.verify_mode = CERT_NONE if self._is_server else CERT_REQUIRED
        self.verify_callback: Callable[[bytes, int], int] | None = None

    def load_cert_chain(self, cert: bytes, key: bytes) -> None:
        if not key:
            raise ValueError("invalid key")
        if not isinstance(cert, str | bytes):
            raise TypeError(f"can't convert '{type(cert).__name__}' object to str implicitly")
        with tempfile.NamedTemporaryFile("w+", suffix=".pem") as file:  # OpenSSL takes none from memory
            file.write(_pem(key, "EC PRIVATE KEY") + _pem(cert, "CERTIFICATE"))
            file.flush()
            try:
                self._host.load_cert_chain(file.name)
            except host.SSLError:
                raise ValueError("invalid cert") from None

    def load_verify_locations(self, cadata: bytes) -> None:
        try:
            self._host.load_verify_locations(cadata=_pem(cadata, "CERTIFICATE"))
        except host.SSLError:
            raise ValueError("invalid cert") from None

    def wrap_socket(
        self,
        sock: Socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        server_hostname: object = None,
    ) -> Stream:
        if not self._is_server and self.verify_mode == CERT_REQUIRED and not server_hostname:
            raise ValueError("CERT_REQUIRED requires server_hostname")
        by_callback = self.verify_callback and self.verify_mode == CERT_OPTIONAL
        self._host.verify_mode = host.CERT_NONE if by_callback else host.VerifyMode(self.verify_mode)
        self._host.check_hostname = not self._is_server and self.verify_mode == CERT_REQUIRED
        wrapped = SSLSocket(sock, self._host, self._is_server, server_hostname, by_callback and self.verify_callback)
        if do_handshake_on_connect:
            wrapped.handshake()
        return wrapped


class SSLSocket(Stream):
    """A socket whose bytes are encrypted; a read gives None where a record has not come whole, whatever poll says."""

    def __init__(
        self, sock: Socket, context: host.SSLContext, is_server: bool, name: str | None, verify: Callable | None
    ) -> None:
        try:
            memory.take(TLS)
        except MemoryError:
            raise board_error("ENOMEM") from None
        self._sock, self._verify, self._is_open, self._is_shaken = sock, verify, True, False
        self._in, self._out = host.MemoryBIO(), host.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, is_server, None if is_server else name)
        self.fileno, self.setblocking, self.settimeout = sock.fileno, sock.setblocking, sock.settimeout

    def _run(self, call: Callable, *args: object) -> object:
        """Have the TLS engine do something, and carry its bytes; None where it would have to wait."""
        while True:
            try:
                result = call(*args)
                self._flush()
                return result
            except WAITS:
                if not self._flush() or not self._fill():
                    return None
            except (host.SSLZeroReturnError, host.SSLEOFError):
                return b""
            except host.SSLCertVerificationError:
                self._flush()
                raise BoardOSError(*NOT_TRUSTED) from None
            except host.SSLError:
                self._flush()
                raise BoardOSError(*FAILED) from None

    def _flush(self) -> bool:
        """Send what is encrypted; False where some of it has to wait."""
        self._unsent = getattr(self, "_unsent", b"") + self._out.read()
        while self._unsent and (n := self._sock.write(self._unsent)):
            self._unsent = self._unsent[n:]
        return not self._unsent

    def _fill(self) -> bool:
        """Take what has come; False where nothing has."""
        try:
            data = self._sock.receive_all(RECORD)
        except BoardOSError:
            if self._sock.host.gettimeout() != 0:
                raise
            return False
        self._in.write(data) if data else self._in.write_eof()
        return True

    def handshake(self) -> bool:
        """Go on with it; True once it is done."""
        if not self._is_shaken:
            try:
                found = self._run(self._tls.do_handshake)
            except BoardOSError:
                self._free()  # and the socket stays open (ssl_check_async_handshake_failure)
                raise
            self._is_shaken = self._tls.version() is not None and found != b""
            if self._is_shaken and self._verify and self._verify(self._tls.getpeercert(True), 0):
                raise BoardOSError(*NOT_TRUSTED)
            if found == b"":
                raise board_error("ECONNRESET")
        return self._is_shaken

    def receive(self, view: memoryview) -> int | None:
        if not self.handshake():
            return None
        data = self._run(self._tls.read, len(view))
        if data:
            view[: len(data)] = data
        return None if data is None else len(data)

    def write(self, data: bytes, *limits: int) -> int | None:
        if not self.handshake():
            return None
        return self._run(self._tls.write, part(as_bytes(data), *limits)) or None

    def events(self, wanted: int) -> int:
        """Return which of the events happen now; bytes that are decrypted already can be read."""
        found = self._sock.events(wanted | (POLLOUT if getattr(self, "_unsent", b"") else 0))
        return found | (wanted & POLLIN if self._in.pending or self._tls.pending() else 0)

    def getpeercert(self, binary_form: bool = False) -> bytes:
        return self._tls.getpeercert(binary_form)

    def cipher(self) -> tuple:
        return self._tls.cipher()[:2]

    def _free(self) -> bool:
        """Give the memory back; False where that was done before."""
        was_open, self._is_open = self._is_open, False
        memory.give(TLS * was_open)
        return was_open

    def close(self) -> None:
        """Close the socket without TLS's own farewell, which mbedtls leaves to its caller."""
        if self._free():
            self._sock.close()


class FileContext(SSLContext):
    """The context of `ssl`, which takes names of files, too (frozen ssl.py)."""

    open: Callable  # of a subclass: the board's

    def _read(self, data: str | bytes) -> bytes:
        if not isinstance(data, str) or data.startswith("-----"):
            return data
        with self.open(data, "rb") as file:
            return file.read()

    def load_cert_chain(self, certfile: str | bytes, keyfile: str | bytes) -> None:
        super().load_cert_chain(self._read(certfile), self._read(keyfile))

    def load_verify_locations(self, cafile: str | None = None, cadata: bytes | None = None) -> None:
        super().load_verify_locations(cadata or self._read(cafile))


def ssl_names(open: Callable) -> dict[str, object]:
    """Return the names of `ssl`, which is Python over `tls` on the chip."""
    context_type = type("SSLContext", (FileContext,), {"open": staticmethod(open)})

    def wrap_socket(
        sock: Socket,
        server_side: bool = False,
        key: bytes | None = None,
        cert: bytes | None = None,
        cert_reqs: int = CERT_NONE,
        cadata: bytes | None = None,
        server_hostname: str | None = None,
        do_handshake: bool = True,
    ) -> Stream:
        context = context_type(PROTOCOL_TLS_SERVER if server_side else PROTOCOL_TLS_CLIENT)
        if cert is not None or key is not None:
            context.load_cert_chain(cert, key)
        if cadata:
            context.load_verify_locations(cadata=cadata)
        context.verify_mode = cert_reqs
        return context.wrap_socket(sock, server_side, do_handshake, server_hostname)

    return {**TLS_NAMES, "SSLContext": context_type, "wrap_socket": wrap_socket}


TLS_NAMES = {
    "CERT_NONE": CERT_NONE,
    "CERT_OPTIONAL": CERT_OPTIONAL,
    "CERT_REQUIRED": CERT_REQUIRED,
    "MBEDTLS_VERSION": "Mbed TLS 3.6.2",
    "PROTOCOL_TLS_CLIENT": PROTOCOL_TLS_CLIENT,
    "PROTOCOL_TLS_SERVER": PROTOCOL_TLS_SERVER,
    "SSLContext": SSLContext,
}
