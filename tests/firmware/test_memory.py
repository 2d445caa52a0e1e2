"""What clients can make the board hold, on a real MicroPython: each no more than its share, whatever it sends."""

import contextlib
import random
import socket
import threading
from collections.abc import Callable

import pytest

PASSWORD = "a password of our own"
CLIENTS = 14  # at once: more than there are places
SHARE = 5_000  # bytes that one may take in the 64-bit words of this computer, which are twice those of a chip
PLACES = 8  # six are served, and two wait
HOST = "Host: localhost"
FIELDS = "&".join(map(str, range(300)))
ROOT = "GET /info HTTP/1.1"

Shape = tuple[str | bytes, bytes]  # head without its end, and what follows at once


def head(*lines: str, body: bytes = b"", length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    announced = [f"Content-Length: {length}"] if length else []
    return "\r\n".join([lines[0], HOST, *lines[1:], *announced, "", ""]).encode() + body


def login(body: bytes, length: int | None = None) -> bytes:
    return head("POST /login HTTP/1.1", body=body, length=length)


ATTACKS: dict[str, bytes] = {
    "query of 300 fields": head(f"POST /login?{FIELDS} HTTP/1.1", length=10),
    "query of 16 long fields": head("GET /info?" + "&".join("x" * 55 for _ in range(16)) + " HTTP/1.1"),
    "address of 4 kB": head(f"GET /{'x' * 4050} HTTP/1.1"),
    "percent signs": head(f"GET /{'%41' * 320} HTTP/1.1"),
    "300 headers": head(ROOT, *[f"X-{number}: 1" for number in range(300)]),
    "30 headers of 100 bytes": head(ROOT, *[f"X-{number}: {'x' * 95}" for number in range(30)])[:-2],
    "a header of 4 kB": head(ROOT, f"X-Long: {'x' * 4000}"),
    "known headers, long": head(ROOT, *[f"{name}: {'x' * 900}" for name in ("Accept", "Origin", "Expect", "Cookie")]),
    "known headers, repeated": head(ROOT, *["Accept: text/plain"] * 30),
    "300 cookies": head(ROOT, "Cookie: " + "; ".join(f"c{number}={number}" for number in range(300))),
    "a cookie of 3 kB": head(ROOT, f"Cookie: token={'x' * 3000}"),
    "half a head": head(ROOT, f"X-Half: {'x' * 900}")[:-2],
    "half a line": f"{ROOT}\r\n{HOST}\r\nAuthorization: Basic {'x' * 950}".encode(),
    "half a form": login(b"password=" + b"x" * 900, length=1024),
    "a form of fields": login(b"&".join(b"%d" % number for number in range(250))),
    "brackets": login(b"[" * 1024),
    "objects": login(b'{"":' * 200 + b"1" + b"}" * 200),
    "names": login(b"{" + b",".join(b'"%d":1' % number for number in range(140)) + b"}"),
    "escapes": login(b'{"password": "' + b"\\u0041" * 160 + b'"}'),
    "percent signs in a form": login(b"password=" + b"%41" * 338),
    "half an upload, by nobody": head("POST /update HTTP/1.1", body=b"x" * 5000, length=1_000_000),
    "a form's upload, by nobody": head(
        "POST /update HTTP/1.1", "Content-Type: multipart/form-data; boundary=x", body=b"--x\r\n", length=100_000
    ),
    "a long password": head("POST /update HTTP/1.1", f"Authorization: Basic {'YWRtaW46' * 90}", length=10),
    "a hundred requests": head("GET /ota.js HTTP/1.1") * 100,
    "the start of TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.Random(1).randbytes(500),
}


def attack(port: int, data: bytes, gate: threading.Barrier, is_over: threading.Event) -> None:
    """Connect, wait until all are there, send, and read nothing until it is over."""
    with contextlib.suppress(OSError), socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", port))
        gate.wait()
        connection.sendall(data)
        is_over.wait()


def run(board, shapes: list[bytes]) -> None:
    """All at once, while a good client asks again and again."""
    gate, is_over = threading.Barrier(len(shapes)), threading.Event()
    threads = [threading.Thread(target=attack, args=(board.port, data, gate, is_over)) for data in shapes]
    for thread in threads:
        thread.start()
    try:
        served = 0
        for _ in range(10):
            with contextlib.suppress(OSError):
                served += board.get("/info").status_code == 200
        assert served
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def watched(compiled, make_flash, serve) -> Callable[[list[list[bytes]]], int]:
    """Function that runs attacks, one after the other, and looks at what the board has held meanwhile."""

    def look(waves: list[list[bytes]]) -> int:
        board = serve(compiled, make_flash(), password=PASSWORD, watch=1)
        rest = board.get("/inside").json()["heap"]
        for shapes in waves:
            run(board, shapes)
            assert board.get("/info").json()["version"] == "1.0.0"
        inside = board.get("/inside").json()
        assert inside["peak"] < rest + PLACES * SHARE, (rest, inside)
        assert "Traceback" not in board.output()
        return inside["peak"] - rest

    return look


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str, watched) -> None:
    watched([[ATTACKS[name]] * CLIENTS])


def test_all_of_them_at_once_and_in_turn(watched, record_property: Callable[[str, object], None]) -> None:
    chance, shapes = random.Random(12), list(ATTACKS.values())
    held = watched([chance.sample(shapes, CLIENTS) for _ in range(5)])
    record_property("held", held)  # for benchmarks/


def test_a_thousand_requests(compiled, make_flash, serve) -> None:
    """They leave nothing behind."""
    board = serve(compiled, make_flash(), password=PASSWORD)
    heap = []
    for _ in range(5):
        for number in range(200):
            path = ("/info", "/", "/nothing", "/style.css")[number % 4]
            board.get(path)
        heap.append(board.get("/inside").json()["heap"])
    assert heap[-1] <= heap[0] + 64, heap
