"""HTTPS on a real MicroPython: one session at a time, and who is slow or silent keeps nobody else out."""

import base64
import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit.board.installation import store_certificate
from kit.security.certificate import Certificate, new_certificate

PASSWORD = "a password of our own"
CLIENT_HELLO = 0x16


@pytest.fixture(scope="session")
def certificate() -> Certificate:
    return new_certificate("esp32-ota-0110", "127.0.0.1")


@pytest.fixture
def pair(certificate: Certificate, tmp_path: Path) -> Path:
    """The file from which a board has its certificate."""
    return write_pair(tmp_path, certificate.der, certificate.key)


def write_pair(folder: Path, certificate: bytes, key: bytes) -> Path:
    path = folder / "pair"
    path.write_bytes(len(certificate).to_bytes(2, "little") + certificate + key)
    return path


@pytest.fixture
def secure(compiled, make_flash, serve, pair: Path) -> Callable:
    """Function that starts a board with HTTPS on."""

    def start(**options: object):
        return serve(compiled, make_flash(), password=PASSWORD, https=1, pair=pair, **options)

    return start


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Session:
    """One HTTPS connection that stays open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=trusting())

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str):
        """Return the answer, its body read, as `data`."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        answer.data = answer.read()
        return answer

    @property
    def socket(self) -> ssl.SSLSocket | None:
        return self._connection.sock

    def log_in(self) -> dict[str, str]:
        answer = self.ask("POST", "/login", json.dumps({"password": PASSWORD}).encode())
        assert answer.status == 200, answer.data
        return {"Authorization": f"Bearer {json.loads(answer.data)['token']}"}

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def session(port: int) -> Iterator[Session]:
    opened = Session(port)
    try:
        yield opened
    finally:
        opened.close()


def info(port: int) -> dict:
    with session(port) as opened:
        return json.loads(opened.ask("GET", "/info", Connection="close").data)


def test_says_where_it_is(secure, certificate: Certificate) -> None:
    board = secure()
    assert "URL: https://127.0.0.1\n" in board.output()
    assert f"Certificate: SHA-256 {certificate.fingerprint}\n" in board.output()
    assert ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", board.https))) == certificate.der
    assert info(board.https)["https"] is True


def test_page_style_and_script_come_over_one_connection(secure) -> None:
    board = secure()
    with session(board.https) as browser:
        assert b"<form" in browser.ask("GET", "/").data
        first = browser.socket
        for path in ("/style.css", "/ota.js", "/info"):
            assert browser.ask("GET", path).status == 200
            assert browser.socket is first


def test_cookies_are_for_https_alone(secure) -> None:
    with session(secure().https) as browser:
        answer = browser.ask("POST", "/login", b"password=" + PASSWORD.replace(" ", "+").encode())
    cookies = answer.headers.get_all("Set-Cookie")
    assert len(cookies) == 3
    for cookie in cookies:
        assert "; Secure" in cookie
        assert "; HttpOnly" in cookie


def test_a_page_that_came_by_plain_http_is_a_foreign_one(secure) -> None:
    """Whoever is in between can write into it."""
    port = secure().https
    with session(port) as browser:
        for scheme, status in (("http", 403), ("https", 200)):
            answer = browser.ask("GET", "/info", Origin=f"{scheme}://127.0.0.1:{port}", Host=f"127.0.0.1:{port}")
            assert answer.status == status


# Port 80


def test_plain_http_answers_who_it_is(secure) -> None:
    board = secure()
    assert board.get("/info").json()["version"] == "1.0.0"


@pytest.mark.parametrize("path", ["/", "/update", "/nothing", "/log"])
def test_plain_http_leads_to_https(path: str, secure) -> None:
    board = secure()
    for host in ("localhost", f"127.0.0.1:{board.port}", "esp32-ota-0110.local"):
        answer = board.get(path, headers={"Host": host})
        assert answer.status_code == 308
        assert answer.headers["Location"] == f"https://{host.split(':')[0]}:{board.https}{path}"
        assert "Set-Cookie" not in answer.headers


def test_plain_http_leads_to_https_by_ipv6(secure) -> None:
    board = secure()
    for host in ("[::1]:80", "[::1]", "[fe80::1]:8080"):
        answer = board.get("/update", headers={"Host": host})
        name = host[: host.index("]") + 1]
        assert (answer.status_code, answer.headers["Location"]) == (308, f"https://{name}:{board.https}/update")


def test_plain_http_takes_nothing_that_may_be_a_secret(secure, assert_refused) -> None:
    board = secure()
    asked = [
        board.post("/login", json={"password": PASSWORD}),
        board.post("/update", data=b"x" * 5000, auth=("admin", PASSWORD)),
        board.put("/certificate", data=b"{}"),
        board.get("/info", headers={"Authorization": "Bearer x"}),
        board.get("/info", headers={"X-Device": "x"}),
        board.get("/info", data=b"x"),
        board.post("/restart"),
        board.patch("/update"),
        board._request("DELETE", "/info"),
        board._request("OPTIONS", "/nothing"),
    ]
    for answer in asked:
        assert_refused(answer, 403, "HTTPS_REQUIRED")
        assert "Set-Cookie" not in answer.headers
        assert "X-Device" not in answer.headers
    assert info(board.https)["uptime"] >= 0


def test_plain_http_does_not_ask_for_a_body(secure) -> None:
    board = secure()
    with board.connect("POST /login HTTP/1.1", "Content-Length: 20", "Expect: 100-continue") as client:
        assert client.recv(100).startswith(b"HTTP/1.1 403 ")


def test_plain_http_leads_nobody_elsewhere(secure) -> None:
    answer = secure().get("/", headers={"Host": "evil.example.org"})
    assert answer.status_code == 403
    assert "Location" not in answer.headers


# Slow and silent clients


def hello(port: int) -> tuple[socket.socket, ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """A TLS client by hand: its socket, engine, what came and what goes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = trusting().wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        engine.do_handshake()
    return socket.create_connection(("127.0.0.1", port), timeout=60), engine, incoming, outgoing


def stop_in_client_hello(port: int) -> socket.socket:
    client, _, _, outgoing = hello(port)
    client.sendall(outgoing.read()[:60])
    return client


def stop_after_server_hello(port: int) -> socket.socket:
    client, _, _, outgoing = hello(port)
    client.sendall(outgoing.read())
    assert client.recv(1) == b"\x16"
    return client


def stop_before_a_head(port: int) -> socket.socket:
    client = trusting().wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=60))
    client.sendall(b"GET /info HTTP/1.1\r\nX-Half:")
    return client


def say_nothing(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


STOPS = [say_nothing, stop_in_client_hello, stop_after_server_hello, stop_before_a_head]


@pytest.mark.parametrize("stop", STOPS)
def test_who_stops_is_sent_away(stop: Callable, secure) -> None:
    """After 5 s, here fewer; meanwhile port 80 answers."""
    board = secure(head=1)
    with stop(board.https) as client:
        assert board.get("/info").status_code == 200
        assert rest(client) == b""
    assert info(board.https)["version"] == "1.0.0"


def rest(client: socket.socket) -> bytes:
    """What comes until the board hangs up, but for TLS's own."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := client.recv(4096):
            if isinstance(client, ssl.SSLSocket):
                return data
    return b""


@pytest.mark.parametrize("stop", STOPS)
def test_who_stops_costs_nobody_else_his_time(stop: Callable, secure) -> None:
    """They are sent away earlier when somebody wants their place."""
    board = secure(head=600)
    slow = [stop(board.https)]
    slow += [say_nothing(board.https), say_nothing(board.https)]
    for _ in range(3):
        assert info(board.https)["version"] == "1.0.0"
    for client in slow:
        client.close()


def test_silent_clients_come_and_come(secure) -> None:
    board = secure(head=600)
    silent = []
    is_over = threading.Event()

    def come() -> None:
        while not is_over.wait(0.2):
            silent.append(say_nothing(board.https))

    crowd = threading.Thread(target=come)
    crowd.start()
    try:
        assert info(board.https)["version"] == "1.0.0"
    finally:
        is_over.set()
        crowd.join()
        for client in silent:
            client.close()


def test_who_speaks_no_tls(secure) -> None:
    board = secure()
    for data in (b"GET /info HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(1000), b"\x80" * 5000):
        with socket.create_connection(("127.0.0.1", board.https), timeout=60) as client:
            client.sendall(data)
            assert b"HTTP" not in rest(client)
    assert info(board.https)["version"] == "1.0.0"
    assert "Traceback" not in board.output()


def test_a_second_client_waits(secure, image_file) -> None:
    """Until the upload of the first one is over, and no longer."""
    board = secure(restarts=0)
    data = image_file.read_bytes()
    with session(board.https) as first:
        token = first.log_in()
        connection = first._connection
        connection.putrequest("POST", "/update")
        for name, value in {**token, "Content-Length": str(len(data))}.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(data[:5000])
        answers = []
        second = threading.Thread(target=lambda: answers.append(info(board.https)))
        second.start()
        assert board.get("/info").status_code == 200
        assert not answers
        connection.send(data[5000:])
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())["version"]) == (200, "1.1.0")
        second.join()
    assert answers[0]["version"] == "1.0.0"


def test_an_idle_session_ends_for_who_waits(secure) -> None:
    board = secure(head=600)
    with session(board.https) as first:
        assert first.ask("GET", "/info").status == 200
        assert info(board.https)["version"] == "1.0.0"


def test_a_form_that_drips_ends_for_who_waits(secure) -> None:
    """Each byte is a sign of life, and all of them together are no turn."""
    board = secure(head=600)
    is_over = threading.Event()
    with session(board.https) as slow:
        assert slow.ask("GET", "/info").status == 200
        head = "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
        slow.socket.sendall(head.encode())

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not is_over.wait(0.5):
                    slow.socket.sendall(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert info(board.https)["version"] == "1.0.0"
            dripping.join()  # the board has hung up
        finally:
            is_over.set()
            dripping.join()


# Half records


@contextlib.contextmanager
def dripping(port: int, size: int = 700) -> Iterator[int]:
    """A port from where so many bytes at a time come through to another one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)

        def forward(source: socket.socket, sink: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(size):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)

        def run() -> None:
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                with client, socket.create_connection(("127.0.0.1", port)) as board:
                    board.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    back = threading.Thread(target=forward, args=(board, client))
                    back.start()
                    forward(client, board)
                    back.join()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def test_an_upload_in_half_records(secure, image_file) -> None:
    board = secure(restarts=0)
    with dripping(board.https) as port, session(port) as client:
        token = client.log_in()
        data = image_file.read_bytes()
        answer = client.ask("POST", "/update", data, **token)
        assert (answer.status, json.loads(answer.data)["bytes"]) == (200, len(data)), answer.data


# The certificate


def body(der: bytes, key: bytes) -> dict[str, str]:
    """What PUT /certificate takes."""
    return {"certificate": base64.b64encode(der).decode(), "key": base64.b64encode(key).decode()}


def as_json(texts: object) -> bytes:
    return json.dumps(texts).encode()


def test_another_one_by_https(secure, certificate: Certificate) -> None:
    board = secure()
    other = new_certificate("esp32-ota-0110")
    mixed = new_certificate("esp32-ota-0110")

    with session(board.https) as owner:
        assert owner.ask("PUT", "/certificate", as_json(body(other.der, other.key))).status == 401
        token = owner.log_in()
        bad = [
            body(other.der, mixed.key),
            body(other.der, b""),
            body(b"", other.key),
            body(other.der[:-1], other.key),
            body(other.key, other.der),
            {},
            [],
            {"certificate": 1, "key": 2},
            {"certificate": "%%%%", "key": "x"},
        ]
        for data in bad:
            answer = owner.ask("PUT", "/certificate", as_json(data), **token)
            assert answer.status == 400, answer.data
        assert owner.ask("PUT", "/certificate", as_json(body(other.der, other.key)), **token).status == 200
    assert other.der in board.flash.read_bytes()
    assert "Traceback" not in board.output()


@pytest.mark.parametrize("function", ["test_over_https", "test_by_cable"])
def test_a_power_cut_leaves_one_pair(function: str, interpreter, make_flash, tmp_path: Path) -> None:
    made = [new_certificate("esp32-ota-0110") for _ in range(3)]
    path = tmp_path / "certificates.json"
    path.write_text(json.dumps([body(one.der, one.key) | {"code": store_certificate(one)} for one in made]))
    done = interpreter.run("certificates", function, make_flash(), path)
    assert done.code == 0, done.output
    assert done.output.endswith("PASSED\n")


def test_no_certificate_comes_by_plain_http(interpreter, make_flash, serve, assert_refused) -> None:
    board = serve(interpreter, make_flash(), password=PASSWORD)
    board.log_in(PASSWORD)
    answer = board.put("/certificate", json={"certificate": "", "key": ""}, headers=board.bearer)
    assert_refused(answer, 403, "HTTPS_REQUIRED")


def test_no_https_without_certificate(interpreter, make_flash, serve, assert_refused) -> None:
    board = serve(interpreter, make_flash(), password=PASSWORD)
    board.log_in(PASSWORD)
    answer = board.put("/config", json={"https": True}, headers=board.bearer)
    assert_refused(answer, 400, "BAD_SETTING")
    assert "board.install(certificate=" in answer.json()["advice"]
    assert board.get("/config", headers=board.bearer).json()["https"] is False
    assert board.put("/config", json={"https": False}, headers=board.bearer).status_code == 200


def test_https_with_a_certificate(interpreter, make_flash, serve, pair: Path) -> None:
    board = serve(interpreter, make_flash(), password=PASSWORD, pair=pair)
    board.log_in(PASSWORD)
    assert board.put("/config", json={"https": True}, headers=board.bearer).status_code == 200
    assert board.get("/config", headers=board.bearer).json()["https"] is True


@pytest.mark.parametrize("is_there", [False, True])
def test_a_bad_certificate_opens_nothing(
    is_there: bool, compiled, make_flash, serve, certificate: Certificate, tmp_path: Path
) -> None:
    """A confirmed board does not fall back to plain HTTP, and goes on saying who it is."""
    given = {"pair": write_pair(tmp_path, certificate.der, new_certificate("other").key)} if is_there else {}
    board = serve(compiled, make_flash(), password=PASSWORD, https=1, **given)
    assert "HTTPS does not work: " in board.output()
    assert board.get("/info").json()["https"] is True
    assert board.post("/login", json={"password": PASSWORD}).status_code == 403
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", board.https), timeout=20)


# Memory


def test_a_session_that_finds_no_memory_ends_alone(secure) -> None:
    board = secure(hungry=2)
    with session(board.https) as client, pytest.raises((OSError, http.client.HTTPException)):
        client.ask("GET", "/info")
    assert board.get("/info").status_code == 200
    assert info(board.https)["version"] == "1.0.0"
    assert "Traceback" not in board.output()


def test_heap(secure, compiled, make_flash, serve, record_property: Callable[[str, object], None]) -> None:
    """What HTTPS takes of MicroPython's heap, in words of 64 bits; mbedtls takes its own from the system."""

    def heap(board) -> int:
        return min(board.get("/inside").json()["heap"] for _ in range(3))

    without, board = heap(serve(compiled, make_flash(), password=PASSWORD)), secure()
    listening = heap(board)
    with session(board.https) as opened:
        busy = min(json.loads(opened.ask("GET", "/inside").data)["heap"] for _ in range(3))
    record_property("heap", [without, listening, busy])  # for benchmarks/
    assert listening < without + 12_000
    assert busy < listening + 3_000


def test_an_upload_by_tls_and_one_by_plain_http(secure, compiled, make_flash, serve, large, record_property) -> None:
    """What they take is for benchmarks/: seconds of three each."""
    data, took = large("1.1.0").data, {"plain": [], "tls": []}
    plain, board = serve(compiled, make_flash(), password=PASSWORD, restarts=0), secure(restarts=0)
    plain.log_in(PASSWORD)
    for _ in range(3):
        started = time.perf_counter()
        assert plain.update(data).status_code == 200
        took["plain"].append(time.perf_counter() - started)
        with session(board.https) as opened:
            headers = opened.log_in()
            started = time.perf_counter()
            assert opened.ask("POST", "/update?force=1", data, **headers).status == 200
            took["tls"].append(time.perf_counter() - started)
    record_property("seconds", json.dumps(took))
