"""The board's client for the web, against a server that lies: the same bodies on CPython and on MicroPython."""

import contextlib
import json
import re
import socket
import ssl
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from kit.security.certificate import new_certificate

BODIES = Path(__file__).parent / "bodies"
CLIENT_HELLO = b"\x16\x03"  # with which TLS begins
POLICY = b"Content-Security-Policy: " + b"x" * 5000 + b"\r\n"  # as long as GitHub's
PAUSE = 0.02  # seconds
RESET = struct.pack("ii", 1, 0)  # SO_LINGER
SOCKETS = 20
SECONDS = 60  # after which the server gives up on a client
SHOWN = 60  # characters of the line of a request, which has all of the answer in it
PIECE = 700  # bytes that the slow line carries at a time


class Net:
    """Servers on some ports, all with the same tricks: see `_answer`. `ports` has them by name."""

    def __init__(self, file: bytes) -> None:
        self.ports: dict[str, int] = {}
        self._file = file
        self._heads: list[str] = []
        self._open: list[socket.socket] = []
        self._busy = 0
        self._news = threading.Condition()
        certificate = new_certificate("server", "127.0.0.1")
        self.pin = certificate.pin
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:
            pem.write(ssl.DER_cert_to_PEM_cert(certificate.key).replace("CERTIFICATE", "EC PRIVATE KEY"))
            pem.write(ssl.DER_cert_to_PEM_cert(certificate.der))
            pem.flush()
            self._context.load_cert_chain(pem.name)
        for name in ("plain", "other"):
            self._listen(name, self._serve)
        for name in ("tls", "tls_other"):
            self._listen(name, self._serve_tls)
        self._listen("pieces", self._forward)
        self._listen("mute", lambda connection: None)
        self._listen("silent", self._wait_for_end)
        self._bind("dead")
        self._fill(self._bind("full"))

    def close(self) -> None:
        for opened in self._open:
            opened.close()

    def _bind(self, name: str) -> socket.socket:
        opened = socket.socket()
        opened.bind(("127.0.0.1", 0))
        self.ports[name] = opened.getsockname()[1]
        self._open.append(opened)
        return opened

    def _fill(self, listener: socket.socket) -> None:
        """Leave no place for one more connection: the system does not answer it."""
        listener.listen(0)
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
            self._open.append(waiting)

    def _listen(self, name: str, serve: Callable[[socket.socket], None]) -> None:
        listener = self._bind(name)
        listener.listen(16)
        threading.Thread(target=self._accept, args=(listener, serve), daemon=True).start()

    def _accept(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = listener.accept()
                connection.settimeout(SECONDS)
                self._count(1)
                threading.Thread(target=self._run, args=(connection, serve), daemon=True).start()

    def _count(self, change: int) -> None:
        with self._news:
            self._busy += change
            self._news.notify_all()

    def _run(self, connection: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        with contextlib.suppress(OSError), connection:
            serve(connection)
        self._count(-1)

    def _forward(self, connection: socket.socket) -> None:
        """Carry what comes to the TLS server and back, in small pieces."""
        with socket.create_connection(("127.0.0.1", self.ports["tls"])) as server:
            back = threading.Thread(target=carry, args=(server, connection), daemon=True)
            back.start()
            carry(connection, server)
            back.join()

    def _serve_tls(self, connection: socket.socket) -> None:
        with self._context.wrap_socket(connection, server_side=True) as wrapped:
            self._serve(wrapped)

    def _serve(self, connection: socket.socket) -> None:
        head = b""
        with contextlib.suppress(OSError):
            while b"\r\n\r\n" not in head and not head.startswith(CLIENT_HELLO) and (data := connection.recv(4096)):
                head += data
        head, end, body = head.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        while length and len(body) < int(length[1]):
            body += connection.recv(4096)
        path = head.split(b" ")[1].decode() if end else ""
        if path == "/seen":
            return self._tell(connection)
        if head.startswith(CLIENT_HELLO):
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return self._hang_up(connection)
        if head:
            line, *others = (head + end + body).decode("latin-1").split("\r\n")
            self._heads.append("\r\n".join([line[:SHOWN], *others]))
        if end:
            self._answer(connection, path, head.decode("latin-1"))

    def _tell(self, connection: socket.socket) -> None:
        """Answer what has been asked since the last time, once all others have hung up."""
        with self._news:
            assert self._news.wait_for(lambda: self._busy == 1, SECONDS)
            text = json.dumps(self._heads).encode()
            self._heads.clear()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
        self._wait_for_end(connection)

    # /TRICK/HEX: the bytes that are sent, and what is done then.
    def _answer(self, connection: socket.socket, path: str, head: str) -> None:
        _, trick, *data = urlsplit(path).path.split("/")
        if trick == "file":
            return self._send_file(connection, path, head)
        first, *more = [bytes.fromhex(part) for part in data]
        if trick == "policy":
            first = POLICY.join([first, *more, b"\r\n"])
        if trick == "drip":
            for byte in first:
                connection.sendall(bytes([byte]))
                time.sleep(PAUSE)
        else:
            connection.sendall(first)
        while trick in ("endless", "trickle"):
            connection.sendall(more[0])
            time.sleep(PAUSE * (trick == "trickle"))
        if trick == "hold":
            self._wait_for_end(connection)
        elif trick == "rude":
            connection.shutdown(socket.SHUT_RDWR)
        elif trick == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        else:
            self._hang_up(connection)

    def _hang_up(self, connection: socket.socket) -> None:
        if isinstance(connection, ssl.SSLSocket):
            connection = connection.unwrap()
        else:
            connection.shutdown(socket.SHUT_WR)
        self._wait_for_end(connection)

    def _wait_for_end(self, connection: socket.socket) -> None:
        while connection.recv(4096):
            pass

    # /file?etag=…&cut=…: as a good server sends it, but for the options.
    def _send_file(self, connection: socket.socket, path: str, head: str) -> None:
        options = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
        etag, size = options.get("etag", '"one"'), len(self._file)
        wanted = re.search(r"\r\nRange: bytes=(\d+)-\r\n", head + "\r\n")
        condition = re.search(r"\r\nIf-Range: (.*)\r\n", head + "\r\n")
        if "status" in options:
            lines = [f"HTTP/1.1 {options['status']} Trouble", f"Retry-After: {options.get('after', '')}", "", ""]
            connection.sendall("\r\n".join(lines).encode())
            return self._hang_up(connection)
        start, status, lines = 0, "200 OK", [] if etag == "none" else [f"ETag: {etag}"]
        if wanted and options.get("ranges") != "0" and (not condition or condition[1] == etag):
            start, status = int(wanted[1]), "206 Partial Content"
        data = self._file[start:][: int(options.get("part", size))]
        if options.get("short"):
            data = data[: -int(options["short"])]
        if start:
            start += int(options.get("shift", 0))
            lines.append(f"Content-Range: bytes {start}-{start + len(data) - 1}/{size}")
        lines.append(f"Content-Length: {len(data)}")
        if "length" in options:
            lines.pop()
        connection.sendall("\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode())
        connection.sendall(data[: int(options.get("cut", size))])
        if "hold" in options:
            self._wait_for_end(connection)
        self._hang_up(connection)


def carry(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE):
            target.sendall(data)
            time.sleep(0.002)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def file(image_file: Path, tmp_path: Path) -> Path:
    """An image and more, so that its last sector is not full."""
    path = tmp_path / "file"
    path.write_bytes(image_file.read_bytes() + bytes(range(1, 250)))
    return path


@pytest.fixture
def make_net() -> Iterator[Callable[[Path], Net]]:
    """Function that starts the servers, which give a file."""
    servers = []

    def make(file: Path) -> Net:
        servers.append(Net(file.read_bytes()))
        return servers[-1]

    yield make
    for net in servers:
        net.close()


@pytest.fixture
def net(make_net: Callable[[Path], Net], file: Path) -> Net:
    return make_net(file)


def functions(body: str) -> list[str]:
    return re.findall(r"^def (test_\w+)", (BODIES / f"{body}.py").read_text(), re.M)


def expect_pass(done) -> None:
    assert done.code == 0, done.output
    assert done.output.endswith("PASSED\n")


@pytest.mark.parametrize("function", functions("fetches"))
def test_fetch(function: str, interpreter, make_flash: Callable[..., Path], net: Net) -> None:
    expect_pass(interpreter.run("fetches", function, make_flash(), json.dumps(net.ports), net.pin))


@pytest.mark.parametrize("function", functions("ranges"))
def test_ranged(function: str, interpreter, make_flash: Callable[..., Path], net: Net, file: Path) -> None:
    expect_pass(interpreter.run("ranges", function, make_flash(), json.dumps(net.ports), file))


def test_update(
    interpreter, make_flash: Callable[..., Path], make_net: Callable[[Path], Net], image_file: Path
) -> None:
    ports = json.dumps(make_net(image_file).ports)
    expect_pass(interpreter.run("ranges", "an_update", make_flash(), ports, image_file))


def test_sockets_are_closed(interpreter, make_flash: Callable[..., Path], net: Net) -> None:
    """However a request ends: the system gives no more of them than a chip has, and some files."""
    limit = ("sh", "-c", 'ulimit -n "$0"; exec "$@"', str(SOCKETS))
    limited = replace(interpreter, command=limit + interpreter.command)
    expect_pass(limited.run("fetches", "sockets_do_not_run_out", make_flash(), json.dumps(net.ports), net.pin))
