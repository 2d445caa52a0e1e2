"""Whatever stands at the board's address: an error of the kit, within its time, and without taking memory."""

import gzip
import json
import math
import re
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import kit
from kit.board.boot_log import known_urls
from kit.errors import BoardError, KitError
from kit.ota.client import OtaClient

MEMORY = 4 << 20  # bytes that a verb may take, the server's own among them
IMAGE = bytes(2 << 20)  # more than the buffers of a connection hold
Treat = Callable[[socket.socket], None]

# What a board answers to each request.
GOOD = {
    "GET /info": {"name": "x", "version": "1.0.0", "running": "ota_0", "image_state": "VALID", "uptime": 1000},
    "POST /login": {"token": "0123456789abcdef", "expires_in": 300},
    "GET /progress": {"phase": "write", "received": 10, "written": 5, "size": 20, "error": None},
    "POST /restart": {"message": "The board restarts."},
    "POST /rollback": {"version": "1.0.0", "slot": "ota_1"},
    "GET /config": {"hostname": "x"},
    "GET /sectors": bytes(4),  # none
    "GET /log": {"boot": 3, "uptime": 5, "event": "CONFIRMED", "version": "1.1.0", "slot": "ota_1", "seconds": 1.5},
    "PUT /config": {"message": "The settings apply at the next restart."},
    "GET /tell": {"mqtt": None, "webhook": None, "problem": None},
    "PUT /tell": {"message": "The board tells nobody."},
    "POST /update": {
        "version": "1.1.0",
        "slot": "ota_1",
        "bytes": len(IMAGE),
        "seconds": {"receive": 0.1, "write": 0.2, "verify": 0.3, "commit": 0.4},
    },
}


@dataclass
class Server:
    """A web server that answers as a board does, but for one kind of request, and for that only after another one."""

    listener: socket.socket
    request: str = ""
    treat: Treat = lambda connection: None
    after: str = ""
    seen: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                threading.Thread(target=self.answer, args=[self.listener.accept()[0]], daemon=True).start()

    def answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client hangs up
            connection.settimeout(60)
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(4096) or b"\r\n\r\n"
            self.heads.append(head)
            name = " ".join(head.decode("latin-1").split(" ")[:2])
            is_hostile = name == self.request and (not self.after or self.after in self.seen)
            self.seen.append(name)
            if is_hostile:
                return self.treat(connection)
            if name == "POST /update":
                left = len(IMAGE) - len(head.partition(b"\r\n\r\n")[2])
                while left > 0 and (piece := connection.recv(65536)):
                    left -= len(piece)
            connection.sendall(http(GOOD[name]))


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(autouse=True)
def _memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kit waits less; what is tested with it fails all the same where the computer is too busy to answer."""
    for name in ("web.SECONDS", "exchange.SEND", "waiting.CONFIRM_TIMEOUT", "waiting.LOOK_TIMEOUT"):
        monkeypatch.setattr(f"kit.ota.{name}", 0.2)
    for name in ("SILENCE", "VERDICT_TIMEOUT", "ABORT_TIMEOUT"):
        monkeypatch.setattr(f"kit.ota.upload.{name}", 0.2)
    monkeypatch.setattr("kit.ota.waiting.RETRY", 0.01)
    monkeypatch.setattr("kit.board.found.PATIENCE", 0.2)


def http(body: object, status: str = "200 OK", head: str = "") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n{head}\r\n".encode() + data


def say(data: bytes) -> Treat:
    """Send this and hang up."""
    return lambda connection: connection.sendall(data)


def drip(start: bytes, piece: bytes) -> Treat:
    """Send this and then a piece now and then, for ever."""

    def treat(connection: socket.socket) -> None:
        connection.sendall(start)
        pause = threading.Event()
        while not pause.wait(0.02):
            connection.sendall(piece)

    return treat


def flood(start: bytes, piece: bytes) -> Treat:
    """Send this and then the same, as fast as it goes, for ever."""

    def treat(connection: socket.socket) -> None:
        connection.sendall(start)
        many = piece * (65536 // len(piece))
        while True:
            connection.sendall(many)

    return treat


OK = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(b'{"version": "' + bytes(64 << 20))
SHAPES: dict[str, Treat] = {
    "hangs up": lambda connection: None,
    "is silent": lambda connection: connection.recv(1) and connection.recv(1),
    "is silent after its head": drip(OK + b"\r\n", b""),
    "drips a status line": drip(b"", b"H"),
    "drips head lines": drip(OK, b"X: y\r\n"),
    "drips one head line": drip(OK + b"X: ", b"y"),
    "drips a body": drip(OK + b"\r\n{", b" "),
    "drips a long body": drip(OK + b"Content-Length: 999999999\r\n\r\n{", b" "),
    "drips chunks": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{", b"\r\n1\r\n "),
    "drips trailers": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    "drips 1xx": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "floods a status line": flood(b"", b"H"),
    "floods head lines": flood(OK, b"X: y\r\n"),
    "floods a body": flood(OK + b"\r\n{", b" "),
    "floods chunks": flood(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{", b"\r\n1\r\n "),
    "floods trailers": flood(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
    "floods 1xx": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "redirects to itself": say(http(b"", "302 Found", "Location: /info\r\n")),
    "redirects with an object": say(http({"version": "1"}, "307 Temporary Redirect", "Location: /\r\n")),
    "gzip bomb": say(http(BOMB, head="Content-Encoding: gzip\r\n")),
    "status 600": say(http({"a": 1}, "600 What")),
    "status 99": say(http({"a": 1}, "99 What")),
    "status 1000": say(http({"a": 1}, "1000 What")),
    "status -200": say(http({"a": 1}, "-200 What")),
    "status of letters": say(http({"a": 1}, "ok")),
    "a reason of controls": say(http(b"", "500 \x1b[2J\x07")),
    "no status line": say(b"\r\n\r\n"),
    "HTTP/0.9": say(b"<h1>Hello</h1>\n"),
    "SSH": say(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "TLS": say(b"\x15\x03\x03\x00\x02\x02\x46"),
    "random bytes": say(bytes(range(256)) * 64),
    "no answer in its body": say(http(b"")),
    "nothing found": say(http(b"", "204 No Content")),
    "body is missing": say(OK + b"Content-Length: 10\r\n\r\n"),
    "body is cut": say(OK + b'Content-Length: 1000\r\n\r\n{"version": "1.0.0"}'),
    "length below 0": say(OK + b"Content-Length: -1\r\n\r\n"),
    "length of 5,000 digits": say(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}"),
    "length of 18 digits": say(OK + b"Content-Length: " + b"9" * 18 + b"\r\n\r\n{}"),
    "chunk of no size": say(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
    "chunk below 0": say(OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n{}"),
    "chunk of -1": say(OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}"),
    "huge chunk": say(OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 15 + b"\r\n{}"),
    "long head line": say(OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n{}"),
    "500 head lines": say(OK + b"X: y\r\n" * 500 + b"\r\n{}"),
    "head line without a colon": say(OK + b"nonsense\r\n\r\n"),
    "no UTF-8": say(http(b'{"version": "\xff"}')),
    "UTF-16": say(http('{"version": "1.0.0"}'.encode("utf-16"))),
    "half a character": say(http({"version": "\ud800"})),
    "a page": say(http(b"<h1>Router</h1>", head="Content-Type: text/html\r\n")),
    "[ 60,000 times": say(http(b"[" * 60_000)),
    "[ 200,000 times": say(http(b"[" * 200_000)),
    "nested objects": say(http(b'{"a":' * 300 + b"1" + b"}" * 300)),
    "a list": say(http([1])),
    "a list of pairs": say(http([["version", "1.0.0"]])),
    "a number": say(http(5)),
    "a number of 5,000 digits": say(http(b'{"version": "1.0.0", "uptime": ' + b"9" * 5000 + b"}")),
    "null": say(http(None)),
    "a text": say(http("version")),
    "NaN": say(http({"version": math.nan})),
    "an error without words": say(http({"error": "UPDATE_ERROR_SIZE"}, "413 Too Large")),
    "an error of objects": say(http({"error": {}, "message": [], "advice": 5}, "400 Bad Request")),
    "an error of controls": say(http({"error": "\x1b", "message": "\x1b[2J\n", "advice": "\r"}, "400 Bad Request")),
    "a long error": say(http({"error": "A", "message": "m" * 20_000, "advice": "a" * 20_000}, "400 Bad Request")),
    "locked for 5,000 digits": say(
        http({"error": "LOCKED_OUT", "message": "Wait.", "advice": "Do."}, "429 No", f"Retry-After: {'9' * 5000}\r\n")
    ),
}
# As the answer of a log in which there is nothing
EMPTY = ("no answer in its body", "nothing found", "length below 0", "head line without a colon")


def upload(client: OtaClient) -> None:
    client.upload(IMAGE)


# The request that goes wrong, once which other one was made, and the verb that meets it.
VERBS: dict[str, tuple[str, str, Callable[[OtaClient], object]]] = {
    "info": ("GET /info", "", OtaClient.info),
    "login": ("POST /login", "", OtaClient.login),
    "progress": ("GET /progress", "", OtaClient.progress),
    "config": ("GET /config", "", OtaClient.config),
    "configure": ("PUT /config", "", lambda client: client.configure(hostname="x")),
    "tell": ("PUT /tell", "", OtaClient.tell),
    "telling": ("GET /tell", "", OtaClient.telling),
    "log": ("GET /log", "", OtaClient.log),
    "history": ("GET /log", "", OtaClient.history),
    "restart": ("POST /restart", "", OtaClient.restart),
    "wait for a restart": ("GET /info", "POST /restart", OtaClient.restart),
    "rollback": ("POST /rollback", "", OtaClient.rollback),
    "wait for a rollback": ("GET /info", "POST /rollback", OtaClient.rollback),
    "look at the slot": ("GET /sectors", "", upload),
    "upload": ("POST /update", "", upload),
    "wait for a confirmation": ("GET /info", "POST /update", upload),
}


def assert_error_of_the_kit(server: Server, verb: str, treat: Treat) -> KitError:
    server.request, server.after, call = VERBS[verb]
    server.treat = treat
    client = OtaClient(server.url, virtual=True)
    client._web.token = "token"
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    with pytest.raises(KitError) as caught:
        call(client)
    assert tracemalloc.get_traced_memory()[1] - before < MEMORY
    error = caught.value
    assert error.cause
    assert error.advice
    assert str(error).isprintable()
    assert len(str(error)) < 1000
    return error


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("verb", "shape"),
    [(v, s) for v in VERBS for s in SHAPES if v not in ("log", "history") or s not in EMPTY],
)
def test_what_is_no_answer(server: Server, verb: str, shape: str):
    assert_error_of_the_kit(server, verb, SHAPES[shape])


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("shape", SHAPES)
def test_find(server: Server, shape: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("KIT_URL", server.url)
    monkeypatch.setenv("KIT_FLASH", str(tmp_path / "flash.bin"))  # whatever virtual boards run elsewhere
    for url in list(known_urls):
        monkeypatch.delitem(known_urls, url)
    server.request, server.treat = "GET /info", SHAPES[shape]
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    boards = kit.find()
    assert tracemalloc.get_traced_memory()[1] - before < MEMORY
    assert [(board.url, board.state, board.how) for board in boards] == [(server.url, "no answer", "KIT_URL")]


NO_TEXT = [..., None, 5, True, [], {}, "a\nb", "\x1b[2J", "\ud800", "x" * 1000]
NO_NUMBER = [..., None, "5", True, [], {}, -1, math.nan, math.inf, 10**30]
NEITHER = [True, [], {}, -1, math.nan, 10**30, "a\nb", "\x1b[2J", "\ud800", "x" * 1000]
LOG = {"boot": [*NO_NUMBER, 1.5], "uptime": [*NO_NUMBER, 1.5], "event": NO_TEXT}
LOG |= dict.fromkeys(("version", "slot", "time", "address", "step", "cause", "error"), NO_TEXT[2:])
LOG |= {
    "seconds": NO_NUMBER[2:],
    "bytes": [*NO_NUMBER[2:], 1.5],
    "count": [*NO_NUMBER[2:], 1.5],
    "rssi": NEITHER,
}
FIELDS = {
    "log": LOG,
    "history": LOG,
    "info": {"version": NO_TEXT, "running": NO_TEXT, "uptime": NO_NUMBER},
    "wait for a restart": {"uptime": NO_NUMBER},
    "wait for a confirmation": {"uptime": NO_NUMBER, "running": NO_TEXT, "image_state": NO_TEXT},
    "login": {"token": NO_TEXT, "expires_in": [*NO_NUMBER, 1.5]},
    "progress": {"phase": NO_TEXT, "received": [*NO_NUMBER, 1.5], "written": [*NO_NUMBER, 1.5]},
    "rollback": {"version": NO_TEXT, "slot": NO_TEXT},
    "configure": {"message": NO_TEXT},
    "tell": {"message": NO_TEXT},
    "telling": {
        "mqtt": [..., 5, True, [], "broker"],
        "webhook": [..., 5, True, [], "http://127.0.0.1"],
        "problem": [..., 5, True, [], {}],
    },
    "upload": {
        "version": NO_TEXT,
        "slot": NO_TEXT,
        "bytes": [*NO_NUMBER, 1.5, 5],
        "seconds": [*NO_NUMBER, {"receive": 1}]
        + [dict.fromkeys(("receive", "write", "verify", "commit"), value) for value in (None, "1", -1, math.nan)],
    },
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("verb", "name", "value"),
    [(verb, name, value) for verb, fields in FIELDS.items() for name, values in fields.items() for value in values],
    ids=lambda value: str(value)[:20],
)
def test_answer_with_a_wrong_field(server: Server, verb: str, name: str, value: object):
    right = GOOD[VERBS[verb][0]]
    wrong = {key: old for key, old in right.items() if key != name} | ({} if value is ... else {name: value})
    assert_error_of_the_kit(server, verb, say(http(wrong)))


@pytest.mark.parametrize(
    "line", [b"[" * 60_000, b"{}", b"x", b"5", b"[1]", b"null", b'{"boot": 1}', b"\xff", b"{" * 101]
)
@pytest.mark.parametrize("before", [b"", b'{"boot": 1, "uptime": 2, "event": "RESTART"}\n\n'])
def test_line_of_a_log_that_is_none(server: Server, line: bytes, before: bytes):
    error = assert_error_of_the_kit(server, "log", say(http(before + line + b"\n\n")))
    assert error.cause == "/log answered 200 OK, not as our firmware does."


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n" * 5000, b"\r\n", b" \n\t\n"])
@pytest.mark.parametrize("count", [0, 1, 1200])
def test_log_with_blank_lines(server: Server, count: int, ending: bytes):
    line = b'{"boot": 1, "uptime": 2, "event": "RESTART"}'
    server.request, server.treat = "GET /log", say(http(b"\n".join([line] * count) + ending))
    client = OtaClient(server.url, virtual=True)
    assert len(client.log()) == count
    assert len(client.history()) == 0
    assert client.log().plot().axes or not count


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if not re.match("drips|is silent", shape)])
def test_progress_that_is_none_does_not_end_an_upload(server: Server, shape: str):
    server.request, server.treat = "GET /progress", SHAPES[shape]
    client = OtaClient(server.url, virtual=True)
    client._web.token = "token"
    assert client.upload(IMAGE, wait=False).bytes == len(IMAGE)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("count", [0, 1, 100_000])
@pytest.mark.parametrize("answer", [b"", http(GOOD["POST /update"]), OK, http({}, "413 Too Large")])
def test_server_that_hangs_up_in_the_middle_of_an_upload(server: Server, count: int, answer: bytes):
    def treat(connection: socket.socket) -> None:
        left = count
        while left > 0 and (piece := connection.recv(left)):
            left -= len(piece)
        connection.sendall(answer)

    assert_error_of_the_kit(server, "upload", treat)


@pytest.mark.parametrize("name", ["BAD_BODY", "BODY_TOO_LARGE", "BAD_HOST", "HEAD_TOO_LARGE", "URI_TOO_LONG"])
def test_refusal_is_told_in_the_words_of_the_board(server: Server, name: str):
    said = {"error": name, "message": "The board does not take this.", "advice": "Send something else."}
    error = assert_error_of_the_kit(server, "configure", say(http(said, "403 Forbidden")))
    assert isinstance(error, BoardError)
    assert (error.cause, error.advice) == (said["message"], said["advice"])


@pytest.mark.parametrize("wait", ["9" * 5000, "Wed, 21 Oct 2015 07:28:00 GMT", "-1", "1e9", "\u0663", ""])
def test_lock_out_for_no_number_of_seconds(server: Server, wait: str):
    said = {"error": "LOCKED_OUT", "message": "Too many wrong passwords.", "advice": "Wait 600 s."}
    answer = http(said, "429 Too Many Requests", f"Retry-After: {wait}\r\n")
    assert str(assert_error_of_the_kit(server, "login", say(answer))) == "Too many wrong passwords. Wait 600 s."


def test_every_request_has_a_connection_of_its_own(server: Server):
    """A board closes a connection that waits for 5 s: none is used again, and none takes a place on it."""
    client = OtaClient(server.url, virtual=True)
    client.login()
    client.upload(IMAGE, wait=False)
    for _ in range(3):
        client.info()
    assert len(server.heads) == len(server.seen) > 5
    assert all(b"\r\nConnection: close\r\n" in head for head in server.heads)
    assert all(b"\r\nAccept-Encoding: identity\r\n" in head for head in server.heads)


def test_server_that_keeps_the_connection_open(server: Server):
    over = threading.Event()

    def keep(connection: socket.socket) -> None:
        connection.sendall(http(GOOD["GET /info"], head="Connection: keep-alive\r\n"))
        over.wait(60)

    server.request, server.treat = "GET /info", keep
    client = OtaClient(server.url, virtual=True)
    assert [client.info()["version"] for _ in range(3)] == ["1.0.0"] * 3
    over.set()
