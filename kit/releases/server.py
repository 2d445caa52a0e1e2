"""A small web server for a folder of releases: for this computer, or for a classroom without the internet."""

from __future__ import annotations

import ipaddress
import os
import socket
import socketserver
import ssl
import sys
import tempfile
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import ReleaseError, interruptible
from kit.image.version import is_version, precedence
from kit.releases.answer import answer
from kit.releases.journal import Journal, Request
from kit.releases.manifest import NEWEST
from kit.security.certificate import Certificate, read_certificate
from kit.shown import html_link

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINDOW = 5760  # bytes on their way: what was sent is then nearly what a board has; as in kit.faults.link
PIECE = 4096
IDLE = 30  # seconds without a byte, in either direction
LONGEST = 200  # characters of a path that are put down


@interruptible
class ReleaseServer:
    """A web server for one folder, which ends with its `with` block, by `close()`, or with Python.

    Attributes:
        url: of the manifest, which is what a board is told.
    """

    def __init__(self, folder: Path, host: str, port: int, certificate: Certificate | None) -> None:
        self._name, self._folder, self._journal = folder, folder.resolve(), Journal()
        self._is_local = ipaddress.IPv4Address(host).is_loopback
        self._server = _Server(host, port, self._folder, self._journal, certificate)
        scheme, port = "https" if certificate else "http", self._server.server_address[1]
        self.url = f"{scheme}://{host}:{port}/{NEWEST}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.1], name="releases", daemon=True)
        self._thread.start()

    def __enter__(self) -> ReleaseServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        names = [path.name.removeprefix("manifest-").removesuffix(".json") for path in self._folder.glob("*.json")]
        versions = sorted(filter(is_version, names), key=precedence)
        return f"ReleaseServer: {self._name} with {', '.join(versions) or 'no release yet'}"

    def _repr_html_(self) -> str:
        return f"{self!r}, at {html_link(self.url, self.url) if self._is_local else self.url}"

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order in which they came."""
        return self._journal.requests

    def break_after(self, count: int) -> None:
        """Break the link once: after so many more bytes of images, in one answer or several.

        Raises:
            ReleaseError: this is no whole number above 0.
        """
        if type(count) is not int or count <= 0:
            raise ReleaseError(f"{count!r} is no whole number above 0.", "Give bytes: server.break_after(700_000).")
        self._journal.break_after(count)

    def plot(self) -> Figure:
        """Draw which bytes of the images went out when, and where the link broke."""
        from kit.figures.fetches import fetches

        return fetches(self.requests, self._is_local)

    def close(self) -> None:
        """End the server, and what it sends just now."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@interruptible
def serve_releases(
    folder: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    certificate: Certificate | str | os.PathLike | None = None,
) -> ReleaseServer:
    """Serve a folder of releases, and nothing else, by HTTP, or by HTTPS with a certificate.

    Args:
        folder: what kit.release filled, or will.
        host: an IPv4 address of this computer by which boards reach it; by its own, 127.0.0.1, only virtual ones do.
        port: 0 for one that is free.
        certificate: what kit.new_certificate made, or the file of it; a board knows the server by its pin.

    Raises:
        ReleaseError: there is no such folder, or nobody can listen there.
        SecurityError: the certificate is none.
    """
    place = _folder(folder)
    try:
        is_reached = not ipaddress.IPv4Address(host).is_unspecified
    except ValueError:
        is_reached = False
    if not is_reached:
        cause = f"By {host!r} no board reaches this computer."
        raise ReleaseError(cause, 'Give an IPv4 address that it has in the network of the boards: "192.168.1.5".')
    if type(port) is not int or not 0 <= port <= 65535:
        raise ReleaseError(f"{port!r} is no port.", "Give a number up to 65535, or none.")
    known = read_certificate(certificate) if certificate is not None else None
    try:
        return ReleaseServer(place, str(host), port, known)
    except OSError as error:
        cause = f"Nobody can listen at {host}, port {port or 'any'}: {error.strerror}."
        raise ReleaseError(cause, "Give an address of this computer, and a port that is free.") from None


def _folder(folder: str | Path) -> Path:
    try:
        place = Path(folder)
        is_there = place.is_dir()
    except (TypeError, ValueError):
        is_there = False
    if not is_there:
        raise ReleaseError(f"{folder} is no folder.", "kit.release(image, folder) makes one.")
    return place


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = os.name != "nt"  # there it would share the port with others
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, folder: Path, journal: Journal, certificate: Certificate | None) -> None:
        self.folder, self.journal = folder, journal
        self.context = _context(certificate) if certificate else None
        self.open: set[socket.socket] = set()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WINDOW)  # those that it accepts have the same
        super().server_bind()

    def server_close(self) -> None:
        super().server_close()
        for connection in [*self.open]:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):  # of a client that hangs up there is nothing to say
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "esp32-ota-kit", ""
    timeout = IDLE
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        self.request.settimeout(IDLE)
        if self.server.context:  # here, where a client that says nothing keeps nobody else waiting
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.server.open.add(self.request)
        super().setup()

    def finish(self) -> None:
        self.server.open.discard(self.request)
        super().finish()
        self.request.close()

    def log_message(self, *_: object) -> None:
        """Say nothing: the journal has it."""

    def _answer(self) -> None:
        found = answer(self.server.folder, self.command, self.path, self.headers)
        path = self.path.partition("?")[0][:LONGEST]
        number = self.server.journal.begin(self.command, path, found.status, found.first)
        self.send_response_only(found.status)
        for name, value in found.headers.items():
            self.send_header(name, value)
        if found.status != 304:
            self.send_header("Content-Length", str(len(found.body)))
        if found.status == 405:  # the body that may follow is not read
            self.close_connection = True
        if self.close_connection:
            self.send_header("Connection", "close")
        try:
            self.end_headers()
            if self.command != "HEAD":
                self._send(number, found.body)
        except OSError:
            self.server.journal.break_off(number)
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer  # noqa: N815

    def _send(self, number: int, body: bytes) -> None:
        rest = memoryview(body)
        while rest:
            size, breaks = self.server.journal.send(number, min(PIECE, len(rest)))
            self.wfile.write(rest[:size])
            rest = rest[size:]
            if breaks:
                if rest:
                    self.server.journal.break_off(number)
                self.close_connection = True
                return self.connection.shutdown(socket.SHUT_RDWR)


def _context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # only this user can look into it
        context.load_cert_chain(certificate.save(Path(folder, "server.pem")))  # it reads files only
    return context
