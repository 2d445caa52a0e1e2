"""What the board tells a broker: a real one, a dead one, and some that lie. On both interpreters."""

import contextlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from kit.security.certificate import Certificate, new_certificate

NAME = "esp32-ota-0110"
PASSWORD = "a password of our own"
CONNACK = b"\x20\x02\x00\x00"


def place(port: int, **more: object) -> dict:
    return {"host": "127.0.0.1", "port": port} | more


STATE_TOPIC, ONLINE_TOPIC = f"esp32-ota/{NAME}/state", f"esp32-ota/{NAME}/online"


def test_state_is_retained(teller, make_broker, wait_until) -> None:
    broker, board = make_broker(), teller()
    board.put(mqtt=place(broker.port))
    wait_until(lambda: broker.retained(STATE_TOPIC))
    assert json.loads(broker.retained(STATE_TOPIC)) == board.told
    assert broker.retained(ONLINE_TOPIC) == b"true"
    assert "PROBLEM" not in board.output().replace("PROBLEM None", "")


def test_what_changes_is_told_and_what_always_changes_is_not(teller, make_broker, wait_until) -> None:
    broker, board = make_broker(), teller()
    with broker.subscriber() as heard:
        board.put(mqtt=place(broker.port, host="localhost", prefix="lab/room 1"))
        topic = f"lab/room 1/{NAME}/state"
        wait_until(lambda: topic in dict(heard))
        for version in ("1.1.0", "1.2.0"):
            board.be(version=version)
            wait_until(lambda version=version: json.loads(dict(heard)[topic])["version"] == version)
        assert [json.loads(data)["version"] for name, data in heard if name == topic] == ["1.0.0", "1.1.0", "1.2.0"]


def test_last_will(teller, make_broker, wait_until) -> None:
    broker, board = make_broker(), teller()
    with broker.subscriber() as heard:
        board.put(mqtt=place(broker.port))
        wait_until(lambda: (ONLINE_TOPIC, b"true") in heard and broker.retained(STATE_TOPIC))
        board.stop()
        wait_until(lambda: (ONLINE_TOPIC, b"false") in heard)
    assert broker.retained(ONLINE_TOPIC) == b"false"
    assert json.loads(broker.retained(STATE_TOPIC)) == board.told


def test_settings_apply_at_once(teller, make_broker, wait_until) -> None:
    first, second, board = make_broker(), make_broker(), teller()
    board.put(mqtt=place(first.port))
    wait_until(lambda: first.retained(STATE_TOPIC))
    board.put(mqtt=place(second.port))
    wait_until(lambda: second.retained(STATE_TOPIC))
    wait_until(lambda: first.retained(ONLINE_TOPIC) == b"false")
    board.put(mqtt=None)
    wait_until(lambda: second.retained(ONLINE_TOPIC) == b"false")


def test_a_broker_that_dies_and_comes_back(teller, make_broker, wait_until) -> None:
    broker, board = make_broker(), teller(longest=0.5)
    board.put(mqtt=place(broker.port))
    wait_until(lambda: broker.retained(STATE_TOPIC))
    broker.stop()
    board.wait_for("PROBLEM mqtt: 127.0.0.1 takes no connection.")
    board.be(version="1.1.0")
    broker.start()
    wait_until(lambda: broker.retained(STATE_TOPIC))
    assert json.loads(broker.retained(STATE_TOPIC))["version"] == "1.1.0"
    assert broker.retained(ONLINE_TOPIC) == b"true"
    board.wait_for("PROBLEM None")
    assert "HELD UP" not in board.output()


@pytest.fixture
def guarded(make_broker, tmp_path: Path) -> object:
    """A broker that knows one user."""
    file = tmp_path / "users"
    file.write_text(f"board:{Argon2Hasher().hash('right password')}\n")
    return make_broker({"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(file)}})


def test_user_and_password(teller, guarded: object, wait_until) -> None:
    board = teller(longest=0.5)
    board.put(mqtt=place(guarded.port, user="board", password="wrong password"))
    board.wait_for("PROBLEM mqtt: The broker ")
    assert guarded.retained(STATE_TOPIC) is None
    board.put(mqtt={"password": "right password"})
    wait_until(lambda: guarded.retained(STATE_TOPIC))
    assert "password" not in board.output().replace("refuses the password", "")


# Over TLS


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return new_certificate(NAME, "127.0.0.1")


@pytest.fixture
def tls_broker(make_broker, certificate: Certificate, tmp_path: Path) -> object:
    path = str(certificate.save(tmp_path / "pair.pem"))
    return make_broker(ssl=True, certfile=path, keyfile=path)


@pytest.mark.parametrize("has_pin", [True, False], ids=["pin", "no pin"])
def test_tls(has_pin: bool, teller, tls_broker: object, certificate: Certificate, wait_until) -> None:
    """It comes, tells and leaves, at each change, and says nothing of being online."""
    board = teller()
    board.put(mqtt=place(tls_broker.port, tls=True, certificate=certificate.pin if has_pin else None))
    wait_until(lambda: tls_broker.retained(STATE_TOPIC))
    wait_until(lambda: not tls_broker.sessions())
    board.be(version="1.1.0")
    wait_until(lambda: json.loads(tls_broker.retained(STATE_TOPIC))["version"] == "1.1.0")
    assert tls_broker.retained(ONLINE_TOPIC) is None
    assert "HELD UP" not in board.output()


def test_tls_with_a_wrong_pin(teller, tls_broker: object) -> None:
    board = teller()
    board.put(mqtt=place(tls_broker.port, tls=True, certificate="ab" * 32))
    board.wait_for("PROBLEM mqtt: 127.0.0.1 has another certificate than")
    assert tls_broker.retained(STATE_TOPIC) is None


def test_tls_waits_for_its_turn(teller, tls_broker: object, wait_until) -> None:
    """Somebody else on the board has the one TLS session that there can be."""
    board = teller()
    board.give("turn", True)
    board.wait_for("TURN HELD")
    board.put(mqtt=place(tls_broker.port, tls=True))
    board.be(version="1.1.0")
    time.sleep(1)
    assert tls_broker.retained(STATE_TOPIC) is None
    board.give("turn", False)
    wait_until(lambda: tls_broker.retained(STATE_TOPIC))


def test_tls_at_a_plain_broker(teller, make_broker) -> None:
    board = teller(seconds=2)
    board.put(mqtt=place(make_broker().port, tls=True))
    board.wait_for("PROBLEM mqtt: ")
    assert "HELD UP" not in board.output()


# Brokers that lie


class Liar:
    """What answers a CONNECT as a test says: each answer in turn, None for closing; then it is silent."""

    def __init__(self, *answers: bytes | None, pause: float = 0) -> None:
        self._answers, self._pause = answers, pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.got: list[bytes] = []
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for answer in self._answers:
                self.got.append(connection.recv(4096))
                if answer is None:
                    return connection.close()
                for byte in range(len(answer)) if self._pause else [slice(None)]:
                    connection.sendall(answer[byte : byte + 1] if self._pause else answer[byte])
                    time.sleep(self._pause)
            while data := connection.recv(4096):
                self.got.append(data)

    def close(self) -> None:
        for opened in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()


@pytest.fixture
def make_liar() -> Iterator[Callable[..., Liar]]:
    made = []

    def make(*answers: bytes | None, pause: float = 0) -> Liar:
        made.append(Liar(*answers, pause=pause))
        return made[-1]

    yield make
    for liar in made:
        liar.close()


NO_BROKER = "What answers there is no MQTT broker."
CLOSED = "The broker has closed the connection."
SILENT = "127.0.0.1 takes longer than 1.0 seconds."


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ((), SILENT),
        ((b"",), SILENT),
        ((CONNACK,), SILENT),
        ((None,), CLOSED),
        ((CONNACK[:3], None), SILENT),
        ((CONNACK, None), CLOSED),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), NO_BROKER),
        ((os.urandom(1000).replace(b"\x20", b"x"),), NO_BROKER),
        ((b"\x20\xff\xff\xff\x7f" + bytes(5000),), NO_BROKER),
        ((b"\x30\x02\x00\x00",), NO_BROKER),
        ((CONNACK, b"\x40\x02\x77\x77"), "The broker confirms what it was not sent."),
        ((CONNACK, b"\x40\x80\x80\x80\x80\x01"), NO_BROKER),
        ((CONNACK, b"\xd0\x00"), NO_BROKER),
        ((b"\x20\x02\x00\x01",), "The broker does not speak MQTT 3.1.1."),
        ((b"\x20\x02\x00\x02",), "The broker refuses the name of this board."),
        ((b"\x20\x02\x00\x03",), "The broker is not available now."),
        ((b"\x20\x02\x00\x04",), "The broker refuses the password."),
        ((b"\x20\x02\x00\x05",), "The broker does not let this board in."),
        ((b"\x20\x02\x00\x06",), "The broker refuses this board."),
        ((b"\x20\x02\x00\xff",), "The broker refuses this board."),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_a_broker_that_lies(answers: tuple, problem: str, teller, make_liar) -> None:
    """The board says what is wrong, tries again ever more slowly, and its loop turns all the time."""
    board, liar = teller(seconds=1), make_liar(*answers)
    board.put(mqtt=place(liar.port, user="board", password="of the broker"))
    board.wait_for(f"PROBLEM mqtt: {problem} AFTER")
    assert "HELD UP" not in board.output()
    if problem == SILENT:  # a turn takes a hundredth of a second
        assert board.turns()[-1] > 20
    assert "of the broker" not in board.output()


def test_a_broker_that_drips(teller, make_liar) -> None:
    """Each step has one time for all its bytes."""
    board, liar = teller(seconds=1), make_liar(CONNACK, pause=0.6)
    board.put(mqtt=place(liar.port))
    board.wait_for(f"PROBLEM mqtt: {SILENT} AFTER")


def test_a_broker_that_speaks_unasked(teller, make_liar) -> None:
    """It has taken everything; what it sends then is no broker's."""
    confirmed = b"\x40\x02\x00"
    board, liar = teller(seconds=5), make_liar(CONNACK, confirmed + b"\x01", confirmed + b"\x02" + b"x" * 9)
    board.put(mqtt=place(liar.port))
    board.wait_for(f"PROBLEM mqtt: {CLOSED} AFTER")


def test_pings(teller, make_liar, wait_until) -> None:
    """It shows twice in the keep-alive that it is there, and a ping without an answer ends the connection."""
    confirmed, answer = b"\x40\x02\x00", b"\xd0\x00"
    board = teller(alive=2, seconds=1)
    liar = make_liar(CONNACK, confirmed + b"\x01", confirmed + b"\x02", answer, answer)
    board.put(mqtt=place(liar.port))
    wait_until(lambda: len(liar.got) > 5)
    assert liar.got[3:6] == [b"\xc0\x00"] * 3
    board.wait_for(f"PROBLEM mqtt: {SILENT} AFTER")


def test_a_silent_tls_server(teller, make_liar) -> None:
    board, liar = teller(seconds=1), make_liar(b"")
    board.put(mqtt=place(liar.port, tls=True))
    board.wait_for(f"PROBLEM mqtt: {SILENT} AFTER")
    assert "HELD UP" not in board.output()


def test_a_network_that_swallows(teller) -> None:
    """A port with a full queue answers nothing, not even that it is there."""
    board = teller(seconds=1)
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        board.put(mqtt=place(full.getsockname()[1]))
        board.wait_for(f"PROBLEM mqtt: {SILENT} AFTER")
    assert "HELD UP" not in board.output()


def test_a_name_that_nobody_knows(teller) -> None:
    board = teller()
    board.put(mqtt=place(1883, host="broker.invalid"))
    board.wait_for("PROBLEM mqtt: ")
    assert "invalid" in board.output()


def test_what_the_packets_hold(teller, make_liar, wait_until) -> None:
    """MQTT 3.1.1, sections 3.1 and 3.3, byte by byte."""
    confirmed = b"\x40\x02\x00"
    board = teller()
    liar = make_liar(CONNACK, confirmed + b"\x01", confirmed + b"\x02")
    board.put(mqtt=place(liar.port, user="us\u00e9r", password="secret"))
    wait_until(lambda: len(liar.got) == 3)
    connect, online, state = liar.got

    def text(data: str) -> bytes:
        return struct.pack(">H", len(data.encode())) + data.encode()

    body = text("MQTT") + b"\x04\xee\x00\x3c" + text(NAME) + text(ONLINE_TOPIC) + text("false")
    body += text("us\u00e9r") + text("secret")
    assert connect == bytes([0x10, len(body)]) + body
    body = text(ONLINE_TOPIC) + b"\x00\x01true"
    assert online == bytes([0x33, len(body)]) + body
    assert state[0] == 0x33
    length = (state[1] & 0x7F) + state[2] * 128
    assert len(state) == 3 + length
    assert state[3:].startswith(text(STATE_TOPIC) + b"\x00\x02{")


def test_a_state_that_cannot_be_had(teller, make_broker, wait_until) -> None:
    """A mistake elsewhere ends nothing."""
    broker, board = make_broker(), teller()
    board.put(mqtt=place(broker.port))
    wait_until(lambda: broker.retained(STATE_TOPIC))
    board.be(broken=True)
    board.wait_for("PROBLEM tell: broken AFTER")
    board.be(version="1.1.0")
    wait_until(lambda: json.loads(broker.retained(STATE_TOPIC))["version"] == "1.1.0")


def test_memory(compiled, make_flash, make_broker) -> None:
    """What is loaded for telling goes when nobody is told any more."""
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # and does not listen
        done = compiled.run("weighs", "weigh", make_flash(), dead.getsockname()[1], make_broker().port)
    assert done.code == 0, done.output


def test_heap(compiled, make_flash, serve, make_broker, wait_until, record_property) -> None:
    """What a source of updates, and then a broker, add to the heap of the application at rest, in words of 64 bits.

    Each time after a start: what a request has loaded is gone then.
    """
    flash, broker, heaps = make_flash(), make_broker(), []
    for settings in (
        {"/pull": {"url": "http://127.0.0.1:1/manifest.json", "window": "02:00-04:00", "ntp": None}},
        {"/tell": {"mqtt": {"host": "127.0.0.1", "port": broker.port}}},
        {},
    ):
        board = serve(compiled, flash, password=PASSWORD)
        if not settings:
            wait_until(lambda: NAME in broker.sessions())
        heaps.append(min(board.get("/inside").json()["heap"] for _ in range(3)))
        board.log_in(PASSWORD)
        for path, body in settings.items():
            assert board.put(path, json=body, headers=board.bearer).status_code == 200
        board.stop()
    record_property("heap", heaps)  # for benchmarks/
    assert heaps[1] < heaps[0] + 6_000
    assert heaps[2] < heaps[1] + 30_000
