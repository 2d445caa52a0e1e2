"""What the board posts to a webhook, how it is signed, and receivers that fail. On both interpreters."""

import hashlib
import hmac
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

NAME = "esp32-ota-0110"
KEY = "a key of 24 characters.."
TIME = 1_804_653_600  # 2027-03-10 04:40 UTC: the clock of bodies/tells.py, where it is set


class Receiver:
    """A web server that answers each POST by `status`, and keeps what came with which answer."""

    def __init__(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.status
                receiver.got.append((status, dict(self.headers.items()), body, time.monotonic()))
                receiver.go.wait(60)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def do_GET(self) -> None:
                receiver.followed = True
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self.status = 200
        self.got: list[tuple[int, dict, bytes, float]] = []
        self.followed = False
        self.go = threading.Event()  # before it nobody is answered
        self.go.set()
        self._handler = Handler
        self._server = None
        self._holder = socket.socket()  # its port stays ours while it is dead
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.port = self._holder.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?room=1"

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # a board that has gone
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.go.set()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        self._holder.close()

    def versions(self, status: int) -> list[str]:
        """What was told in the requests that were answered so."""
        return [json.loads(body)["state"]["version"] for answered, _, body, _ in self.got if answered == status]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    made.start()
    yield made
    made.close()


@pytest.fixture
def dead_receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def told(teller: Callable, receiver: Receiver) -> Callable:
    """Function that starts a board which tells the receiver."""

    def start(**options: object):
        board = teller(**options)
        board.put(webhook={"url": receiver.url, "key": KEY})
        return board

    return start


def test_an_event(told, receiver: Receiver, wait_until) -> None:
    board = told(clock=1)
    wait_until(lambda: receiver.got)
    _, headers, body, _ = receiver.got[0]
    event = json.loads(body)
    assert 0 <= event.pop("time") - TIME < 120
    assert event == {"event": "state", "hostname": NAME, "state": board.told}
    assert headers["X-Signature-256"] == "sha256=" + hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
    assert headers["Content-Type"] == "application/json"
    assert KEY not in board.output()


def test_an_event_of_a_board_without_a_clock(told, receiver: Receiver, wait_until) -> None:
    told()
    wait_until(lambda: receiver.got)
    assert json.loads(receiver.got[0][2])["time"] is None


def test_each_change_is_told_once(told, receiver: Receiver, wait_until) -> None:
    board = told()
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        board.be(version=version)
        wait_until(lambda version=version: version in receiver.versions(200))
    board.be(version="1.3.0")
    wait_until(lambda: "1.3.0" in receiver.versions(200))
    assert receiver.versions(200) == ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]


def test_after_failures_only_the_newest_is_told(told, receiver: Receiver, wait_until) -> None:
    receiver.status = 500
    board = told(pace="0.3,0.4,0.5")
    board.wait_for("PROBLEM webhook: ")
    for version in ("1.1.0", "1.2.0", "1.3.0"):
        board.be(version=version)
    wait_until(lambda: "1.3.0" in receiver.versions(500))
    receiver.status = 200
    wait_until(lambda: receiver.versions(200))
    board.wait_for("PROBLEM None")
    board.be(version="1.4.0")
    wait_until(lambda: "1.4.0" in receiver.versions(200))
    assert receiver.versions(200) == ["1.3.0", "1.4.0"]


def test_the_pace_of_failures(told, receiver: Receiver, wait_until) -> None:
    receiver.status = 503
    told(pace="0.3,0.6,0.9")
    wait_until(lambda: len(receiver.got) == 5)
    times = [arrived for *_, arrived in receiver.got]
    for pace, first, second in zip((0.3, 0.6, 0.9, 0.9), times, times[1:], strict=False):
        assert second - first >= pace


def test_a_refusal_for_good_has_the_longest_pace(told, receiver: Receiver, wait_until) -> None:
    receiver.status = 404
    board = told(pace="0.1,0.1,2")
    board.wait_for("PROBLEM webhook: ")
    wait_until(lambda: len(receiver.got) == 2)
    assert receiver.got[1][-1] - receiver.got[0][-1] >= 2


def test_a_redirect_is_not_followed(told, receiver: Receiver) -> None:
    receiver.status = 302
    told().wait_for("PROBLEM webhook: ")
    assert not receiver.followed
    assert len(receiver.got) == 1


def test_a_slow_receiver(told, receiver: Receiver, wait_until) -> None:
    receiver.go.clear()
    board = told(seconds=1, pace="0.5")
    board.wait_for("PROBLEM webhook: ")
    assert "HELD UP" not in board.output()
    assert board.turns()[-1] > 20
    receiver.go.set()
    board.wait_for("PROBLEM None")


def test_a_dead_receiver(teller, dead_receiver: Receiver, wait_until) -> None:
    board = teller(pace="0.5")
    board.put(webhook={"url": dead_receiver.url, "key": KEY})
    board.wait_for("PROBLEM webhook: ")
    dead_receiver.start()
    wait_until(lambda: dead_receiver.versions(200) == ["1.0.0"])
    assert "HELD UP" not in board.output()


def test_waits_for_its_turn(teller, receiver: Receiver, wait_until) -> None:
    board = teller()
    board.give("turn", True)
    board.wait_for("TURN HELD")
    board.put(webhook={"url": receiver.url, "key": KEY})
    time.sleep(1)
    assert not receiver.got
    board.give("turn", False)
    wait_until(lambda: receiver.got)


def test_settings_apply_at_once(told, receiver: Receiver, wait_until) -> None:
    receiver.status = 500
    board = told(pace="600")
    board.wait_for("PROBLEM webhook: ")
    receiver.status = 200
    board.put(webhook={"key": KEY[::-1]})
    wait_until(lambda: receiver.versions(200))
    _, headers, body, _ = receiver.got[-1]
    assert headers["X-Signature-256"] == "sha256=" + hmac.new(KEY[::-1].encode(), body, hashlib.sha256).hexdigest()
    board.wait_for("PROBLEM None")


def test_one_way_does_not_wait_for_the_other(told, receiver: Receiver, wait_until) -> None:
    """The broker is dead, and the receiver silent: each has its own problem."""
    receiver.go.clear()
    board = told(seconds=1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        board.put(mqtt={"host": "127.0.0.1", "port": silent.getsockname()[1]})
        both = re.compile("PROBLEM (?=.*mqtt: 127.0.0.1 takes longer than).*webhook: ")
        wait_until(lambda: both.search(board.output()))
    assert "HELD UP" not in board.output()
