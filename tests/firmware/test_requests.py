"""Requests as RFC 9110, 9112 and 6265 have them, on both interpreters; and what is none of them."""

import base64
import json
import random
import socket
import time

import pytest

PASSWORD = "a password of our own"
SEED, HEADS = 12, 2_000


@pytest.fixture
def own(interpreter, make_flash, serve):
    """A running board whose clients send every line themselves."""
    return serve(interpreter, make_flash(), password=PASSWORD)


class Wire:
    """A connection, over which one request follows another."""

    def __init__(self, board) -> None:
        self.socket = socket.create_connection(("127.0.0.1", board.port), timeout=20)
        self._file = self.socket.makefile("rb")

    def send(self, head: str | bytes, body: bytes = b"") -> "Wire":
        """Send a head, whose lines end with `\\n` here, and a body."""
        data = head.encode() if isinstance(head, str) else head
        self.socket.sendall(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n\r\n" + body)
        return self

    def answer(self, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers in small letters, and body of the next answer."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while (line := self._file.readline()) != b"\r\n":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self._file.read(int(headers["content-length"])) if has_body else b""
        return status, headers, body

    def is_closed(self) -> bool:
        """Tell whether the board has sent all and closed the connection, or does so within the time-out."""
        return self._file.read(1) == b""

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def ask(board, head: str | bytes, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    with Wire(board) as wire:
        return wire.send(head, body).answer()


def status(board, head: str | bytes, body: bytes = b"") -> int:
    return ask(board, head, body)[0]


def error(board, head: str | bytes, body: bytes = b"") -> tuple[int, str]:
    code, headers, answer = ask(board, head, body)
    assert headers["content-type"] == "application/json"
    said = json.loads(answer)
    assert said["message"].endswith(".")
    assert said["advice"].endswith(".")
    return code, said["error"]


def test_one_connection_for_a_page(own) -> None:
    """A browser's: the page, its style and its script, one after the other."""
    with Wire(own) as wire:
        for path, kind in (("/", "text/html"), ("/style.css", "text/css"), ("/ota.js", "text/javascript")) * 2:
            code, headers, body = wire.send(f"GET {path} HTTP/1.1\nHost: 127.0.0.1\nAccept: text/html").answer()
            assert (code, headers["connection"]) == (200, "keep-alive")
            assert headers["content-type"].startswith(kind)
            assert body


def test_requests_sent_at_once(own) -> None:
    """Pipelining: each gets its own answer, in order."""
    get = b"GET %s HTTP/1.1\r\nHost: x.local\r\n\r\n"
    login = b'POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 21\r\n\r\n{"password": "guess"}'
    with Wire(own) as wire:
        wire.socket.sendall(get.replace(b"x.local", b"127.0.0.1") % b"/info" + login + get % b"/info")
        assert json.loads(wire.answer()[2])["version"] == "1.0.0"
        assert wire.answer()[::2] == (401, b"Invalid password!")
        assert wire.answer()[0] == 403


def test_the_hundredth_request_is_the_last(own) -> None:
    with Wire(own) as wire:
        for number in range(1, 101):
            _, headers, _ = wire.send("GET /info HTTP/1.1\nHost: localhost").answer()
            assert headers["connection"] == ("close" if number == 100 else "keep-alive")
        assert wire.is_closed()


def test_an_open_connection_has_time_for_the_next_request(interpreter, make_flash, serve) -> None:
    board = serve(interpreter, make_flash(), head=0.5)
    with Wire(board) as wire:
        wire.send("GET /info HTTP/1.1\nHost: localhost").answer()
        assert wire.is_closed()


@pytest.mark.parametrize(
    ("head", "stays"),
    [
        ("GET /info HTTP/1.1\nHost: localhost", True),
        ("GET /info HTTP/1.1\nHost: localhost\nConnection: Keep-Alive", True),
        ("GET /info HTTP/1.1\nHost: localhost\nConnection: close", False),
        ("GET /info HTTP/1.1\nHost: localhost\nConnection: Upgrade, Close", False),
        ("GET /info HTTP/1.1\nHost: localhost\nConnection: Upgrade\nConnection: close", False),
        ("GET /info HTTP/1.0", False),
        ("GET /info HTTP/1.0\nConnection: keep-alive", True),
        ("GET /nothing HTTP/1.1\nHost: localhost", True),
    ],
)
def test_who_wants_the_connection_kept(head: str, stays: bool, own) -> None:
    with Wire(own) as wire:
        _, headers, _ = wire.send(head).answer()
        assert headers["connection"] == ("keep-alive" if stays else "close")
        if stays:
            assert wire.send("GET /info HTTP/1.1\nHost: localhost").answer()[0] == 200
        else:
            assert wire.is_closed()


def test_a_body_that_nobody_read_is_no_request(own) -> None:
    """Nor is one that the client was never asked for: the connection ends with the answer."""
    inner = b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for head in (
        f"POST /nothing HTTP/1.1\nHost: localhost\nContent-Length: {len(inner)}",
        f"POST /restart HTTP/1.1\nHost: localhost\nContent-Length: {len(inner)}",
        "POST /login HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked",
        f"GET /info HTTP/1.1\nHost: localhost\nContent-Length: {len(inner)}",
    ):
        with Wire(own) as wire:
            assert wire.send(head, inner).answer()[1]["connection"] == "close"
            if "chunked" not in head:
                assert wire.is_closed()


@pytest.mark.parametrize(
    "length", ["+20", "-1", "2_0", "0x14", "20 ", "2 0", "20.0", "1e1", "\u0662\u0660", "20, 21", "", "twenty", "20;"]
)
def test_lengths_that_are_none(length: str, own) -> None:
    expected = 401 if length == "20 " else 400  # white space around a value does not belong to it
    head = f"POST /login HTTP/1.1\nHost: localhost\nContent-Length: {length}"
    assert status(own, head, b"password=not the one") == expected


def test_two_lengths(own) -> None:
    head = "POST /login HTTP/1.1\nHost: localhost\nContent-Length: 20\nContent-Length: {}"
    assert status(own, head.format(20), b"password=not the one") == 401
    assert status(own, head.format(0), b"password=not the one") == 400


def test_numbers_without_end(own) -> None:
    """A length of a thousand digits is a number, and too large for everything."""
    head = f"POST /login HTTP/1.1\nHost: localhost\nContent-Length: {'9' * 900}"
    assert error(own, head) == (413, "BODY_TOO_LARGE")


def test_credentials(own) -> None:
    """Schemes in any letters; cookies in two headers, among others, in quotes."""
    own.log_in(PASSWORD)
    basic = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    for line in (
        f"Authorization: bearer {own.token}",
        f"authorization: BEARER   {own.token}",
        f"Authorization: basic {basic}",
        f"Cookie: token={own.token}",
        f"Cookie: other=1; token={own.token}; more=2",
        f'Cookie: token="{own.token}"',
        f"Cookie: other=1\nCookie: token={own.token}",
        f"Cookie: {'long=' + 'x' * 500 + '; '}long2={'y' * 700}; token={own.token}; z={'z' * 900}",
    ):
        assert status(own, f"GET /progress HTTP/1.1\nHost: localhost\n{line}") == 200, line
    for line in (f"Authorization: {own.token}", f"Cookie: Token={own.token}", f"Cookie: xtoken={own.token}", "Cookie:"):
        assert status(own, f"GET /progress HTTP/1.1\nHost: localhost\n{line}") == 401, line


def test_what_a_401_offers(own) -> None:
    """curl --anyauth and wget --user take Basic up; a browser would put a box of its own over the page."""
    post = "POST /update HTTP/1.1\nHost: localhost\nContent-Length: 0"
    offer = ask(own, post)[1]["www-authenticate"]
    assert "Bearer" in offer
    assert 'Basic realm="' in offer
    for head in (
        f"{post}\nAccept: text/html",
        f"{post}\nOrigin: http://localhost",
        "GET /update HTTP/1.1\nHost: localhost",
        "GET /progress HTTP/1.1\nHost: localhost",
        "POST /restart HTTP/1.1\nHost: localhost",
    ):
        assert ask(own, head)[1]["www-authenticate"] == "Bearer"


def test_no_such_thing(own) -> None:
    assert error(own, "GET /nothing HTTP/1.1\nHost: localhost") == (404, "NOT_FOUND")
    assert error(own, "BREW /info HTTP/1.1\nHost: localhost") == (405, "BAD_METHOD")
    for path, allowed in (("/info", "GET, HEAD"), ("/login", "POST"), ("/update", "GET, POST, PATCH, HEAD")):
        _, headers, _ = ask(own, f"OPTIONS {path} HTTP/1.1\nHost: localhost")
        assert sorted(headers["allow"].split(", ")) == sorted(allowed.split(", "))


def test_head(own) -> None:
    """The same head as of GET, and nothing after it."""
    for path in ("/info", "/", "/ota.js", "/nothing", "/progress"):
        with Wire(own) as wire:
            code, headers, body = wire.send(f"GET {path} HTTP/1.1\nHost: localhost").answer()
            again = wire.send(f"HEAD {path} HTTP/1.1\nHost: localhost").answer(has_body=False)
            assert (again[0], again[1]["content-type"]) == (code, headers["content-type"])
            assert abs(int(again[1]["content-length"]) - len(body)) < 20  # figures in it may change
            assert wire.send("GET /info HTTP/1.1\nHost: localhost").answer()[0] == 200


HOSTS = {
    200: ["127.0.0.1", "192.168.4.1:8080", "10.0.0.1", "[::1]", "[fe80::1]:80", "localhost", "LOCALHOST:1234"],
    403: ["example.org", "localhost.example.org", "192.168.4.1.example.org", "1.2.3", "local", ".local", "x.local"],
}
HOSTS[200] += ["esp32-ota-0110", "esp32-ota-0110.local", "ESP32-OTA-0110.LOCAL.", "esp32-ota-0110.local:80"]
HOSTS[403] += ["127.0.0.1:x", "[::1", "esp32-ota-0110.lan", "user@127.0.0.1", "127.0.0.1, example.org", "[evil.org]"]


@pytest.mark.parametrize(("code", "host"), [(code, host) for code, hosts in HOSTS.items() for host in hosts])
def test_names_of_the_board(code: int, host: str, own) -> None:
    """A page at a name of its own that leads to the board's address (DNS rebinding) gets nothing."""
    head = f"GET /info HTTP/1.1\nHost: {host}"
    assert status(own, head) == code
    if code == 403:
        assert error(own, head) == (403, "BAD_HOST")
        assert b"hosts" in ask(own, head)[2]


def test_no_host(own) -> None:
    assert status(own, "GET /info HTTP/1.0") == 200
    assert status(own, "GET /info HTTP/1.0\nHost: example.org") == 403
    assert status(own, "GET /info HTTP/1.1") == 400
    assert status(own, "GET /info HTTP/1.1\nHost:") == 400
    assert status(own, "GET /info HTTP/1.1\nHost: localhost\nHost: example.org") == 403


def test_addresses(own) -> None:
    for target, code in (
        ("http://localhost/info", 200),  # RFC 9112, 3.2.2
        ("/info?", 200),
        ("/info?a=b&force=0", 200),
        ("/info?" + "&".join("abcdefghijklmnop"), 200),
        ("/info?" + "&".join("abcdefghijklmnopq"), 414),
        ("/info?" + "&".join(map(str, range(300))), 414),
        ("/" + "x" * 5000, 414),
        ("/info?x=%zz", 400),
        ("/info?x=%2", 400),
        ("/%", 400),
        ("info", 400),
        ("*", 400),
        ("", 400),
        ("/info /info", 400),
        ("/info\rSet-Cookie:x=y", 400),
        ("/info?a=\r", 400),
        ("\r/info", 400),
        ("http://localhost\r/info", 400),
        ("/info?a=\0", 400),
        ("/info\tx", 400),
        ("/info?\x1b[2J", 400),
        ("/info?\x7f", 400),
        ("/info?\x85", 400),
    ):
        assert status(own, f"GET {target} HTTP/1.1\nHost: localhost") == code, target
    assert status(own, "GET /info HTTP/2.0\nHost: localhost") == 400
    assert status(own, "GET /info\nHost: localhost") == 400


def test_limits_of_a_head(own) -> None:
    get = "GET /info HTTP/1.1\nHost: localhost\n"
    lines = [f"X-{number}: 1" for number in range(31)]
    assert status(own, get + "\n".join(lines)) == 200
    assert error(own, get + "\n".join([*lines, "X-31: 1"])) == (431, "HEAD_TOO_LARGE")
    assert status(own, f"{get}X-Long: {'x' * 3900}") == 200
    assert status(own, f"{get}X-Long: {'x' * 4096}") == 431
    assert status(own, f"{get}Accept: {'x' * 900}") == 200
    assert status(own, f"{get}Accept: {'x' * 2000}") == 431
    assert status(own, f"{get}Accept: {'x' * 600}\nAuthorization: {'x' * 600}") == 431


def test_cookies_of_other_pages_on_the_same_host(own) -> None:
    """A hub has many; browsers send all of them to a board behind its proxy."""
    own.log_in(PASSWORD)
    foreign = "; ".join(f"foreign-{number}={'x' * 500}" for number in range(6))
    get = "GET /progress HTTP/1.1\nHost: localhost\n"
    others = f"X-Long: {'x' * 2000}"
    assert status(own, f"{get}{others}\nCookie: {foreign}; token={own.token}") == 200
    assert status(own, f"{get}Cookie: {foreign}\nCookie: token={own.token}\n{others}") == 200
    assert error(own, f"{get}{others}\nCookie: {foreign}; {foreign}") == (431, "HEAD_TOO_LARGE")
    assert error(own, f"{get}Cookie: a=b\n{others}\nCookie: {foreign}\nCookie: {foreign}") == (431, "HEAD_TOO_LARGE")


@pytest.mark.parametrize("line", [" folded: 1", "\tfolded", "no colon", ": no name", "Na me: 1", "Name : 1"])
def test_lines_without_a_name(line: str, own) -> None:
    assert status(own, f"GET /info HTTP/1.1\nHost: localhost\n{line}") == 400


@pytest.mark.parametrize("size", [1, 700])
def test_a_proxy_that_forwards_few_bytes_at_a_time(size: int, own, image_file) -> None:
    """Heads, a form, and a whole upload: wherever they are cut."""
    own.log_in(PASSWORD)
    image = image_file.read_bytes()
    image = image if size > 1 else b"\x7f" + image[1:5000]  # a refusal after 5 kB is enough there
    for head, body, expected in (
        ("GET /info HTTP/1.1\nHost: localhost", b"", 200),
        ("POST /login HTTP/1.1\nHost: localhost\nContent-Length: 20", b"password=not the one", 401),
        (
            f"POST /update HTTP/1.1\nHost: localhost\nAuthorization: Bearer {own.token}\nContent-Length: {len(image)}",
            image,
            200 if size > 1 else 415,
        ),
    ):
        with Wire(own) as wire:
            wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            data = head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body
            for start in range(0, len(data), size):
                wire.socket.sendall(data[start : start + size])
            assert wire.answer()[0] == expected


def test_a_form_that_drips(interpreter, make_flash, serve) -> None:
    """As long as something comes it is waited for; silence ends it."""
    board = serve(interpreter, make_flash(), password=PASSWORD, stall=0.5)
    body = f"password={PASSWORD}".encode().replace(b" ", b"+")
    with Wire(board) as wire:
        wire.send(f"POST /login HTTP/1.1\nHost: localhost\nContent-Length: {len(body)}")
        for byte in body[:8]:
            time.sleep(0.1)  # it is the dripping that is tested
            wire.socket.sendall(bytes([byte]))
        wire.socket.sendall(body[8:])
        assert wire.answer()[0] == 200


def pieces(chance: random.Random) -> bytes:
    """A head of no sense, made of what heads are made of."""
    words = [
        b"GET",
        b"POST",
        b" ",
        b"  ",
        b"/",
        b"/info",
        b"/login",
        b"/update",
        b"?a=%",
        b"%41",
        b"&force=1",
        b"#",
        b"\0",
    ]
    words += [
        b" HTTP/1.1",
        b" HTTP/1.0",
        b"\r\n",
        b"\n",
        b"\r",
        b":",
        b"Host: localhost",
        b"Host: x",
        b"Cookie: a=b;token",
    ]
    words += [b"Content-Length: 5", b"Content-Length: 99999", b"Transfer-Encoding: chunked", b"Expect: 100-continue"]
    words += [
        b"Authorization: Basic YQ==",
        b"Authorization: Bearer",
        b"Connection: close",
        b"\xff\xfe",
        "\u20ac".encode(),
    ]
    words += [
        b"x" * 1100,
        b"Content-Type: multipart/form-data",
        b"Origin: null",
        b'{"password": "',
        b"password=guess",
        b"=",
    ]
    return b"".join(chance.choices(words, k=chance.randrange(1, 30)))


def test_heads_of_no_sense(own) -> None:
    """By chance, the same ones each time: nothing breaks, and nobody gets what is another's."""
    own.log_in(PASSWORD)
    chance = random.Random(SEED)
    for number in range(HEADS):
        head = pieces(chance)
        with socket.create_connection(("127.0.0.1", own.port), timeout=20) as connection:
            connection.sendall(head)
            connection.shutdown(socket.SHUT_WR)
            received = b""
            try:
                while piece := connection.recv(4096):
                    received += piece
            except ConnectionResetError:
                pass
        for answer in received.split(b"HTTP/1.1 ")[1:]:
            assert int(answer[:3]) in (100, 200, 400, 401, 403, 404, 405, 411, 413, 414, 429, 431), head
        assert own.token.encode() not in received
        if number % 100 == 0:
            assert own.get("/info").json()["version"] == "1.0.0", head
    assert "Traceback" not in own.output()
    assert own.progress()["phase"] == "idle"
