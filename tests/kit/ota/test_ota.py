import base64
import errno
import hashlib
import json
import os
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from kit.board.board import Board
from kit.errors import AddressError, BoardError, ImageError, Interrupted, KitError, SettingsError, UpdateError
from kit.ota.client import OtaClient
from kit.ota.info import VIRTUAL_CHIP
from kit.settings import DEMO

IMAGE = bytes(range(256)) * 4096  # 1 MiB; the fake board does not judge
BLOCK = 4096


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: clients hang up on purpose, and a traceback would come in the middle of another test."""


class FakeBoard:
    """A board's web server on loopback. Time passes in it by what the client does, not by the clock."""

    def __init__(self) -> None:
        self.password = DEMO.password
        self.chip = VIRTUAL_CHIP
        self.version, self.running, self.state = "1.0.0", "ota_0", "VALID"
        self.token = "token-1"
        self.skipped = 0.0  # seconds
        self.started = self.clock() - 1000
        self.progress = {"phase": "idle", "received": 0, "written": 0, "size": 0, "error": None}
        self.requests: list[tuple[str, dict]] = []
        self.received = hashlib.sha256()
        self.after_half = lambda handler: None  # what happens when half of the image is written
        self.refusal: tuple[int, dict] | None = None
        self.polled = threading.Condition()
        self.polls = 0
        self.is_over = False
        self.cut_short = threading.Event()
        self.restart: list = []  # what the next looks of a waiting client find
        self.port = 0
        self.listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def clock(self) -> float:
        return time.monotonic() + self.skipped

    def listen(self) -> None:
        handler = type("BoundHandler", (Handler,), {"board": self})
        self.server = Server(("127.0.0.1", self.port), handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections."""
        self.server.shutdown()
        self.server.server_close()
        self.server = None

    def up(self, version: str, running: str, state: str) -> None:
        self.version, self.running, self.state, self.started = version, running, state, self.clock()
        if self.server is None:
            self.listen()

    def tick(self, seconds: float) -> None:
        """Stand in for the client's sleep between two looks."""
        self.skipped += seconds
        if self.restart:
            self.restart.pop(0)()

    def await_poll(self) -> None:
        """Return when the client has been told the present progress."""
        with self.polled:
            polls = self.polls
            assert self.polled.wait_for(lambda: self.polls > polls or self.is_over, timeout=20)

    def end(self) -> None:
        """Let go of whoever waits for a poll, and listen no more."""
        with self.polled:
            self.is_over = True
            self.polled.notify_all()
        if self.server:
            self.down()


class Handler(BaseHTTPRequestHandler):
    board: FakeBoard

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, body: dict | str, **headers: str) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def is_stranger(self) -> bool:
        if self.headers["Authorization"] == f"Bearer {self.board.token}":
            return False
        self.answer(401, {"error": "UNAUTHORIZED", "message": "This needs a login."})
        return True

    def do_GET(self) -> None:
        board = self.board
        board.requests.append((f"GET {self.path}", dict(self.headers)))
        if self.path == "/info":
            info = {"name": "kit-stand-in", "version": board.version, "chip": board.chip, "running": board.running}
            info |= {"boot": board.running, "next": "ota_1", "image_state": board.state}
            info |= {"uptime": int(board.clock() - board.started), "free_heap": 91_000, "hostname": "<esp32>"}
            self.answer(200, info)
        elif self.path == "/progress":
            with board.polled:  # a poll is before a state or after it, never between
                if not self.is_stranger():
                    self.answer(200, board.progress)
                board.polls += 1
                board.polled.notify_all()

    def do_POST(self) -> None:
        self.board.requests.append((f"POST {self.path}", dict(self.headers)))
        if self.path == "/login":
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if body == {"password": self.board.password}:
                self.answer(200, {"token": self.board.token, "expires_in": 300})
            else:
                self.answer(401, "Invalid password!")
        elif not self.is_stranger():
            self.update()

    def update(self) -> None:
        board, size = self.board, int(self.headers["Content-Length"])
        if board.refusal:
            return self.answer(*board.refusal)
        done = 0
        while done < size:
            try:
                block = self.rfile.read(min(BLOCK, size - done))
            except ConnectionError:
                block = b""
            if not block:
                board.progress.update(phase="idle")
                board.cut_short.set()
                return None
            board.received.update(block)
            done += len(block)
            board.progress.update(phase="write", received=done, written=done, size=size)
            if done == size // 2:
                board.await_poll()
                board.after_half(self)
        for phase in ("verify", "commit"):
            board.progress.update(phase=phase)
            board.await_poll()
        board.progress.update(phase="restart")
        seconds = {"receive": 0.1, "write": 0.1, "verify": 0.05, "commit": 0.01}
        return self.answer(200, {"slot": "ota_1", "version": "1.1.0", "bytes": size, "seconds": seconds})


@pytest.fixture
def board(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("KIT_WIFI_SSID", "KIT_WIFI_PASSWORD", "KIT_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    board = FakeBoard()
    time = SimpleNamespace(monotonic=board.clock, sleep=board.tick)
    monkeypatch.setattr("kit.ota.upload.time", time)
    monkeypatch.setattr("kit.ota.waiting.time", time)
    yield board
    board.end()


@pytest.fixture
def client(board):
    client = OtaClient(board.url)
    client.login()
    return client


def into_new_version(board: FakeBoard) -> list:
    return [
        board.down,
        lambda: None,
        lambda: board.up("1.1.0", "ota_1", "PENDING_VERIFY"),
        lambda: setattr(board, "state", "VALID"),
    ]


def test_upload_until_confirmed(board, client, monkeypatch):
    phases = []
    monkeypatch.setattr("kit.progress.Progress.update", lambda self, done, phase=None: phases.append((phase, done)))
    board.restart = into_new_version(board)
    result = client.upload(IMAGE)
    assert repr(result) == "1.1.0 in ota_1: 1,048,576 bytes accepted, confirmed"
    assert (result.version, result.slot, result.bytes) == ("1.1.0", "ota_1", len(IMAGE))
    assert result.virtual
    assert result.restart_seconds > 0
    assert board.restart == []
    assert board.received.digest() == hashlib.sha256(IMAGE).digest()
    names = [phase for phase, _ in phases]
    assert names[-2:] == ["restart", "confirmed"]
    assert ("write", len(IMAGE) // 2) in phases
    assert {"verify", "commit"} <= set(names)


def test_samples_are_the_boards_word(board, client):
    result = client.upload(IMAGE, wait=False)
    times = [t for t, *_ in result.samples]
    written = [done for _, _, done, _ in result.samples]
    assert result.samples[0] == (0.0, 0, 0, "check")
    assert result.samples[-1] == (times[-1], len(IMAGE), len(IMAGE), "restart")
    assert len(IMAGE) // 2 in written
    assert times == sorted(times)
    assert written == sorted(written)
    assert result.seconds == {"receive": 0.1, "write": 0.1, "verify": 0.05, "commit": 0.01}
    assert result.plot().axes


def test_upload_without_waiting(board, client):
    result = client.upload(IMAGE, wait=False)
    assert repr(result) == "1.1.0 in ota_1: 1,048,576 bytes accepted, restarting"
    assert result.restart_seconds is None


def test_request_of_an_upload(board, client):
    client.upload(IMAGE, wait=False)
    [headers] = [headers for name, headers in board.requests if name == "POST /update"]
    digest = base64.b64encode(hashlib.sha256(IMAGE).digest()).decode()
    assert headers["Content-Length"] == str(len(IMAGE))
    assert headers["Content-Digest"] == f"sha-256=:{digest}:"
    assert headers["Authorization"] == "Bearer token-1"
    assert "Transfer-Encoding" not in headers


def test_upload_of_a_file_and_of_an_update_image(board, client, tmp_path):
    path = tmp_path / "update.bin"
    path.write_bytes(IMAGE)
    for image in (path, str(path), SimpleNamespace(data=IMAGE)):
        client.login()
        assert client.upload(image, wait=False).bytes == len(IMAGE)


def test_upload_of_what_is_no_image(board, client, tmp_path):
    (tmp_path / "empty.bin").touch()
    for image, words in {
        tmp_path / "none.bin": r"There is no file .*none\.bin",
        str(tmp_path): "is a folder",
        tmp_path / "empty.bin": "is empty",
        None: r"A NoneType is no update image\. Build one",
        5: "A int is no update image",
    }.items():
        with pytest.raises(ImageError, match=words):
            client.upload(image)
    assert "POST /update" not in [name for name, _ in board.requests]


REFUSAL = {
    "error": "UPDATE_ERROR_MAGIC_BYTE",
    "message": "This is a full firmware.bin.",
    "advice": "Send the app image: the file that ends in .app-bin.",
}


@pytest.mark.parametrize("size", [0, 100, 32 << 20])  # 32 MiB: sending breaks, and the answer is there
def test_refusal_is_an_update_error(board, client, size):
    board.refusal = (415, REFUSAL)
    with pytest.raises(UpdateError) as caught:
        client.upload(bytes(size))
    error = caught.value
    assert (error.error, error.status) == ("UPDATE_ERROR_MAGIC_BYTE", 415)
    assert (error.cause, error.advice) == (REFUSAL["message"], REFUSAL["advice"])


def drop(handler: Handler) -> None:
    """Reset the connection, as a router that gives up does."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.rfile.close()


def test_link_that_drops_in_the_middle(board, client):
    board.after_half = drop
    with pytest.raises(BoardError) as caught:
        client.upload(IMAGE)
    assert caught.value.cause == "The link broke after the board had acknowledged 524,288 of 1,048,576 bytes."
    assert caught.value.advice == "The old version 1.0.0 still runs: upload again."


def test_upload_after_a_dropped_one(board, client):
    board.after_half = drop
    with pytest.raises(BoardError):
        client.upload(IMAGE)
    board.after_half = lambda handler: None
    assert client.upload(IMAGE, wait=False).bytes == len(IMAGE)


def hang_up(times: int) -> Callable[[Handler], None]:
    """Return what hangs up on the next uploads, each in the middle."""
    left = iter([drop] * times)
    return lambda handler: next(left, lambda handler: None)(handler)


def uploads(board: FakeBoard) -> int:
    return [name for name, _ in board.requests].count("POST /update")


def test_upload_that_is_tried_until_it_arrives(board, client, capsys):
    board.after_half = hang_up(2)
    result = client.upload(IMAGE, wait=False, tries=5)
    assert repr(result) == "1.1.0 in ota_1: 1,048,576 bytes accepted at try 3, restarting"
    assert [samples[-1][2] for samples in result.broken] == [524_288, 524_288]
    assert result.samples[-1][1:] == (len(IMAGE), len(IMAGE), "restart")
    assert uploads(board) == 3
    broke = "The link broke after the board had acknowledged 524,288 of 1,048,576 bytes.\n"
    assert f"Try 1: {broke}Try 2: {broke}" in capsys.readouterr().out


def test_upload_that_is_tried_in_vain(board, client):
    board.after_half = hang_up(9)
    with pytest.raises(
        BoardError, match=r"acknowledged 524,288 of 1,048,576 bytes\. The old version 1\.0\.0 still runs"
    ):
        client.upload(IMAGE, tries=2)
    assert uploads(board) == 2


def test_upload_is_not_tried_again_where_the_board_may_have_had_all(board, client, monkeypatch):
    monkeypatch.setattr(Handler, "answer", drop_answer_of_update(Handler.answer))
    with pytest.raises(BoardError, match=r"ota.info\(\) shows which version runs"):
        client.upload(IMAGE, tries=5)
    assert uploads(board) == 1


def test_upload_is_not_tried_again_where_it_is_refused(board, client):
    board.refusal = (422, {"error": "UPDATE_ERROR_MD5", "message": "No.", "advice": "Do."})
    with pytest.raises(UpdateError):
        client.upload(IMAGE, tries=5)
    assert uploads(board) == 1


@pytest.mark.parametrize("tries", [0, -1, 1.5, "3", None])
def test_tries_that_are_no_number(board, client, tries: object):
    with pytest.raises(BoardError, match="is no number of tries"):
        client.upload(IMAGE, tries=tries)
    assert uploads(board) == 0


def test_answer_that_is_lost_is_not_called_a_failure(board, client, monkeypatch):
    monkeypatch.setattr(Handler, "answer", drop_answer_of_update(Handler.answer))
    with pytest.raises(BoardError) as caught:
        client.upload(IMAGE)
    assert "1,048,576 of 1,048,576" in caught.value.cause
    assert caught.value.advice.startswith("ota.info() shows which version runs")


def drop_answer_of_update(answer):
    def wrapped(handler: Handler, status: int, body: dict | str) -> None:
        if handler.path != "/update":
            answer(handler, status, body)

    return wrapped


def test_board_that_falls_silent(board, client, monkeypatch):
    monkeypatch.setattr("kit.ota.upload.SILENCE", 0.3)
    monkeypatch.setattr("kit.ota.web.SECONDS", 0.1)
    over = threading.Event()

    def fall_silent(handler: Handler) -> None:
        monkeypatch.setattr(Handler, "do_GET", lambda handler: over.wait(20))
        over.wait(20)

    board.after_half = fall_silent
    try:
        with pytest.raises(BoardError, match="The link broke after the board had acknowledged 524,288"):
            client.upload(IMAGE)
    finally:
        over.set()


def test_interrupt_stops_the_sending(board, client, monkeypatch):
    reading, look = threading.Event(), client._web.look

    def interrupt(*_: object) -> None:
        client._web.look = look
        reading.set()
        raise KeyboardInterrupt

    monkeypatch.setattr("kit.ota.waiting.time", time)  # nothing but the clock waits here
    board.await_poll = lambda: None
    client._web.look = interrupt
    monkeypatch.setattr(Handler, "update", after(reading, Handler.update))
    with pytest.raises(Interrupted, match=r"^1\.0\.0 runs in ota_0\.$") as caught:
        client.upload(bytes(64 << 20))  # more than the sockets' buffers hold
    assert len(traceback.extract_tb(caught.value.__traceback__)) == 2  # this test, and where the kit raised it
    assert board.cut_short.wait(20)


def after(event: threading.Event, method):
    def wrapped(handler: Handler) -> None:
        event.wait(20)
        method(handler)

    return wrapped


def refusal(board: FakeBoard) -> str:
    """What a verb says that would restart this board over the cable."""
    with pytest.raises(KitError) as caught:
        Board("/dev/ttyNothing", url=board.url).reset()
    return str(caught.value)


def test_the_cable_keeps_off_a_board_that_is_updated(board, client):
    said = []
    board.after_half = lambda handler: said.append(refusal(board))
    board.restart = [lambda: said.append(refusal(board)), *into_new_version(board)]
    client.upload(IMAGE)
    for text in said:
        assert f"process {os.getpid()})" in text
    assert len(said) == 2
    assert refusal(board).startswith("There is no port")


def test_the_cable_may_come_again_after_an_upload_that_failed(board, client):
    board.refusal = (409, {"error": "UPDATE_ERROR_BUSY", "message": "An update runs.", "advice": "Wait."})
    with pytest.raises(UpdateError):
        client.upload(IMAGE)
    assert refusal(board).startswith("There is no port")


def test_new_version_that_rolls_back(board, client):
    board.restart = [
        board.down,
        lambda: board.up("1.1.0", "ota_1", "PENDING_VERIFY"),
        board.down,
        lambda: board.up("1.0.0", "ota_0", "VALID"),
    ]
    with pytest.raises(BoardError) as caught:
        client.upload(IMAGE)
    assert caught.value.cause == "Version 1.1.0 was given up, and the board went back to 1.0.0."
    assert "board.listening()" in caught.value.advice


def test_rollback_of_a_version_that_never_answered(board, client):
    board.restart = [lambda: None, lambda: None, board.down, lambda: board.up("1.0.0", "ota_0", "VALID")]
    with pytest.raises(BoardError, match="went back"):
        client.upload(IMAGE)
    assert board.restart == []


def test_hiccup_before_the_restart_is_no_rollback(board, client):
    waiting = [lambda: None] * 5  # longer than a second
    board.restart = [board.down, *waiting, board.listen, *waiting, *into_new_version(board)]
    assert repr(client.upload(IMAGE)).endswith("confirmed")


def test_old_version_that_started_just_now_is_no_rollback(board, client):
    board.started = board.clock()
    board.restart = [*([lambda: None] * 10), *into_new_version(board)]
    assert repr(client.upload(IMAGE)).endswith("confirmed")


def test_same_version_is_recognised_by_its_slot(board, client):
    board.version = "1.1.0"
    board.restart = into_new_version(board)
    assert repr(client.upload(IMAGE)).endswith("confirmed")
    assert board.restart == []


def test_new_version_that_is_never_confirmed(board, client, monkeypatch):
    monkeypatch.setattr("kit.ota.waiting.CONFIRM_TIMEOUT", 0.5)
    board.restart = [lambda: board.up("1.1.0", "ota_1", "PENDING_VERIFY")]
    with pytest.raises(BoardError) as caught:
        client.upload(IMAGE)
    assert "did not confirm version 1.1.0" in caught.value.cause
    assert "PENDING_VERIFY" in caught.value.cause


def test_wrong_password_says_where_it_comes_from(board, monkeypatch):
    monkeypatch.setenv("KIT_PASSWORD", "not-the-one")
    client = OtaClient(board.url)
    with pytest.raises(BoardError) as caught:
        client.login()
    assert caught.value.cause == "Invalid password!"
    for words in ("KIT_PASSWORD", "lab.toml", "board.install()"):
        assert words in caught.value.advice
    assert "not-the-one" not in str(caught.value)


def test_password_of_a_real_board_is_never_the_demo_value(board):
    board.chip = "ESP32"
    with pytest.raises(SettingsError):
        OtaClient(board.url).login()


def test_constructor_knows_better_than_the_chip(board):
    board.chip = "ESP32"
    client = OtaClient(board.url, virtual=True)
    client.login()
    assert client.upload(IMAGE, wait=False).virtual


LOCKED = {"error": "LOCKED_OUT", "message": "5 wrong passwords.", "advice": "Wait for 10 minutes."}


@pytest.mark.parametrize(
    ("headers", "advice"),
    [
        ({"Retry_After": "572"}, "Try again in 9 min 32 s."),
        ({"Retry_After": "soon"}, "Wait for 10 minutes."),
        ({}, "Wait for 10 minutes."),
    ],
)
def test_locked_out(board, monkeypatch, headers, advice):
    monkeypatch.setattr(Handler, "do_POST", lambda handler: handler.answer(429, LOCKED, **headers))
    client = OtaClient(board.url)
    with pytest.raises(BoardError) as caught:
        client.login()
    assert str(caught.value) == f"5 wrong passwords. {advice}"
    with pytest.raises(BoardError, match="Nobody is logged in"):
        client.upload(IMAGE)


def test_default_password_that_was_never_changed(board, client):
    refusal = {
        "error": "UPDATE_ERROR_PASSWORD",
        "message": "The default password was never changed.",
        "advice": "Change it.",
    }
    board.refusal = (403, refusal)
    with pytest.raises(UpdateError) as caught:
        client.upload(IMAGE)
    assert (caught.value.error, caught.value.status) == ("UPDATE_ERROR_PASSWORD", 403)
    assert str(caught.value) == "UPDATE_ERROR_PASSWORD: The default password was never changed. Change it."
    board.refusal = None
    assert client.upload(IMAGE, wait=False).bytes == len(IMAGE)


def test_upload_without_a_login(board):
    with pytest.raises(BoardError, match=r"Log in: ota\.login\(\)"):
        OtaClient(board.url).upload(IMAGE)
    assert board.requests == []


@pytest.mark.parametrize("call", [lambda client: client.progress(), lambda client: client.upload(IMAGE)])
def test_token_that_is_over(board, client, call):
    client._web.token = "token-of-yesterday"
    with pytest.raises(BoardError, match=r"5 minutes are over, .* Log in: ota\.login\(\)"):
        call(client)


def test_token_is_forgotten_with_the_restart(board, client):
    client.upload(IMAGE, wait=False)
    with pytest.raises(BoardError, match="Log in"):
        client.upload(IMAGE)


def test_token_that_ends_while_the_upload_runs(board, client, monkeypatch):
    monkeypatch.setattr("kit.ota.upload.SILENCE", 0.1)  # a board that will not tell is not silent
    board.after_half = lambda handler: setattr(board, "token", "token-2")
    result = client.upload(IMAGE, wait=False)
    assert result.bytes == len(IMAGE)
    assert [done for _, _, done, _ in result.samples][-2:] == [len(IMAGE) // 2, len(IMAGE)]


def test_board_that_restarts_while_it_receives(board, client):
    def restart(handler: Handler) -> None:
        board.token = "token-2"
        board.progress.update(phase="idle", received=0, written=0, size=0)
        handler.connection.shutdown(socket.SHUT_RDWR)

    board.after_half = restart
    with pytest.raises(BoardError, match=r"The old version 1\.0\.0 still runs: upload again"):
        client.upload(IMAGE)
    with pytest.raises(BoardError, match=r"or the board has restarted\. Log in"):
        client.upload(IMAGE)
    board.after_half = lambda handler: None
    client.login()
    assert client.upload(IMAGE, wait=False).bytes == len(IMAGE)


def test_upload_prints_nothing(board, client, capsys):
    capsys.readouterr()
    client.upload(IMAGE, wait=False)
    assert capsys.readouterr() == ("", "")


def test_board_is_asked_nothing_once_it_restarts(board):
    client = OtaClient(board.url)
    client.login()
    assert client.upload(IMAGE, wait=False).virtual
    names = [name for name, _ in board.requests]
    assert "GET /info" not in names[names.index("POST /update") :]


def cause_of_silence(client: OtaClient) -> tuple[str, str]:
    with pytest.raises(BoardError) as caught:
        client.info()
    assert caught.value.__suppress_context__
    before = f"The board has the address {client.url}, and this computer cannot reach it: "
    assert caught.value.cause.startswith(before)
    return caught.value.cause.removeprefix(before), caught.value.advice


def test_board_that_refuses_connections(board):
    board.down()
    why, advice = cause_of_silence(OtaClient(board.url))
    assert why == "no web server runs there."
    assert "board.reset()" in advice


@pytest.mark.parametrize(
    ("error", "cause", "words"),
    [
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "nobody here knows this name",
            ["IP address"],
        ),
        (TimeoutError("timed out"), "nothing is heard from there", ["client isolation", "another network", "firewall"]),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "nothing is heard from there", ["client isolation"]),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "nothing is heard from there", ["another network"]),
    ],
)
def test_board_that_is_not_reached(monkeypatch, error, cause, words):
    def connect(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "create_connection", connect)
    why, advice = cause_of_silence(OtaClient("http://esp32-ota-1234.local"))
    assert why == f"{cause}."
    assert all(word in advice for word in [*words, "board.reset()"])


@pytest.fixture
def listener():
    """Function that makes a server which treats its one connection so, and gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def start(treat: Callable[[socket.socket], None]) -> str:
            def serve() -> None:
                connection, _ = server.accept()
                with connection:
                    treat(connection)

            threading.Thread(target=serve, daemon=True).start()
            return f"http://127.0.0.1:{server.getsockname()[1]}"

        yield start


@pytest.mark.parametrize(
    "treat",
    [
        lambda connection: connection.recv(1),  # and closes it, with unread data
        lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n") or connection.recv(4096),
        lambda connection: [0 for _ in iter(lambda: connection.recv(4096), b"")],  # says nothing
    ],
)
def test_server_without_a_proper_answer(listener, monkeypatch, treat):
    monkeypatch.setattr("kit.ota.web.SECONDS", 0.2)
    why, _ = cause_of_silence(OtaClient(listener(treat)))
    assert why == "there is no proper answer."


@pytest.mark.parametrize(
    "url",
    ["", "rfc2217://127.0.0.1:4000", "http://", "http://a b", "http://host:99999", "http://host:x", "http://[::1"]
    + ["http://x..y", "http://" + "a" * 64, "http://1.2.3.4\n", "ftp://1.2.3.4", None, 5, b"http://1.2.3.4", ["://"]],
)
def test_address_that_is_none(url):
    with pytest.raises(AddressError, match=r"is not the address of a web server\. Use board\.url\."):
        OtaClient(url)


def test_address_without_a_scheme(board):
    assert OtaClient(f"127.0.0.1:{board.port}/").info()["version"] == "1.0.0"


@pytest.mark.parametrize(
    ("status", "body"), [(404, "<h1>Not found</h1>"), (200, "<h1>Router</h1>"), (200, "[]"), (200, "{}")]
)
def test_server_that_is_no_board(board, monkeypatch, status, body):
    monkeypatch.setattr(Handler, "do_GET", lambda handler: handler.answer(status, body))
    with pytest.raises(BoardError, match=f"/info answered {status} .*not as our firmware does"):
        OtaClient(board.url).info()


def test_proxy_does_not_catch_the_board(board, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert OtaClient(board.url).info()["version"] == "1.0.0"


def test_text_of_info_is_stable_and_its_html_complete(board, cells):
    info = OtaClient(board.url).info()
    assert repr(info) == "kit-stand-in 1.0.0 on ESP32 (virtual): running ota_0, boot ota_0, next ota_1, VALID"
    assert ["free_heap", "91000"] in cells(info._repr_html_())
    assert "&lt;esp32&gt;" in info._repr_html_()


def test_repr_of_a_client_has_no_token(client, board):
    assert repr(client) == "the board's web page"
    assert client._repr_html_() == f'<a href="{board.url}" target="_blank">the board\'s web page</a>'


@pytest.mark.parametrize(
    ("variables", "url", "shown"),
    [
        ({}, "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ({"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}, "http://127.0.0.1:8000", "/user/ada/proxy/8000/"),
        ({"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}, "http://localhost", "/user/ada/proxy/80/"),
        ({"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}, "http://192.168.4.2", "http://192.168.4.2"),
        ({"KIT_PROXY": "/proxy", "JUPYTERHUB_SERVICE_PREFIX": "/x"}, "http://127.0.0.1:8000", "/proxy/8000/"),
        ({"KIT_PROXY": "https://hub.example/p/"}, "http://127.0.0.1:8000", "https://hub.example/p/8000/"),
    ],
)
def test_the_link_goes_through_the_proxy_of_a_hub(monkeypatch, variables, url, shown):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = OtaClient(url)
    assert client.url == url
    assert client._repr_html_().startswith(f'<a href="{shown}" target="_blank">')


@pytest.mark.parametrize("value", [b"x", float("nan"), {"led": {1}}, {("a",): 1}], ids=str)
def test_settings_that_are_no_json(client, value):
    with pytest.raises(BoardError, match="no JSON"):
        client.configure(hostname=value)


@pytest.mark.parametrize("md5", [5, "", "a\nb", " " * 32, "ä" * 32, []], ids=repr)
def test_what_is_no_md5(client, md5):
    client.login()
    with pytest.raises(ImageError, match="is no MD5"):
        client.upload(IMAGE, md5=md5)
