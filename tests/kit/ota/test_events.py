"""kit.receive_events: what boards tell, who is believed, and how it is passed on."""

import hashlib
import hmac
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
import requests

import kit
from kit.errors import BoardError, KitError, SettingsError
from kit.ota.events import LONGEST_BODY, NONE, Receiver, sentence
from kit.settings import DEMO_WEBHOOK_KEY

KEY = "webhook-key-of-a-learner"
NAME = "esp32-ota-0110"
STATE = {"hostname": NAME, "version": "1.1.0", "running": "ota_1", "image_state": "VALID", "last_update": None}
LAST = {"version": "1.2.0", "slot": "ota_0", "outcome": "rolled back", "step": "found", "cause": "NameError in main.py"}


@pytest.fixture(autouse=True)
def passed_on(monkeypatch) -> list[tuple[str, str]]:
    """What would go to apprise."""
    told = []
    monkeypatch.setattr("kit.ota.events.send", lambda title, text: told.append((title, text)) or True)
    return told


@pytest.fixture
def receiver(monkeypatch) -> Iterator[Receiver]:
    monkeypatch.setenv("KIT_WEBHOOK_KEY", KEY)
    with kit.receive_events() as made:
        yield made


def body_of(time: int | None = 1_800_000_000, **state: object) -> bytes:
    return json.dumps({"event": "state", "hostname": NAME, "state": STATE | state, "time": time}).encode()


def signature(body: bytes, key: str = KEY) -> str:
    return "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def post(receiver: Receiver, body: bytes, given: str | None = None) -> int:
    with requests.Session() as session:
        session.trust_env = False
        headers = {"X-Signature-256": signature(body) if given is None else given}
        return session.post(receiver.url, data=body, headers=headers, timeout=60).status_code


def test_events(receiver: Receiver, passed_on):
    assert repr(receiver.events) == NONE
    assert post(receiver, body_of()) == 200
    event = receiver.wait_for("runs version 1.1.0")
    assert (event.hostname, event.text, event.time) == (NAME, "runs version 1.1.0", 1_800_000_000)
    assert event.state == STATE
    post(receiver, body_of(last_update=LAST))
    receiver.wait_for("rolled back")
    lines = [f"{NAME}: runs version 1.1.0"]
    lines += [f"{NAME}: version 1.2.0 was rolled back: NameError in main.py, while importing"]
    assert repr(receiver.events) == "\n".join(lines)
    assert passed_on == [(NAME, line) for line in lines]
    assert receiver.problem is None


def test_html_is_a_table(receiver: Receiver, cells):
    assert cells(receiver.events._repr_html_()) == [[NONE]]
    post(receiver, body_of(version="1.1.0&"))
    receiver.wait_for("runs")
    assert cells(receiver.events._repr_html_()) == [[NAME, "runs version 1.1.0&"]]


@pytest.mark.parametrize(
    "given",
    [
        "",
        "sha256=",
        "sha256=" + 64 * "0",
        signature(body_of(), KEY + "x"),
        signature(body_of() + b" "),
        signature(body_of())[7:],
        signature(body_of()).upper(),
        "sha1=" + hmac.new(KEY.encode(), body_of(), hashlib.sha1).hexdigest(),
        signature(body_of())[:-1],
    ],
)
def test_a_forged_event(receiver: Receiver, passed_on, given: str):
    assert post(receiver, body_of(), given) == 401
    assert not receiver.events
    assert not passed_on


def test_a_replayed_event(receiver: Receiver):
    """The very same bytes count once; the board is content."""
    for body in (body_of(), body_of(version="1.2.0"), body_of(), body_of(version="1.2.0")):
        assert post(receiver, body) == 200
    post(receiver, body_of(version="1.3.0"))
    receiver.wait_for("1.3.0")
    assert [event.state["version"] for event in receiver.events] == ["1.1.0", "1.2.0", "1.3.0"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"nonsense",
        b"\xff",
        json.dumps({"event": "other", "hostname": NAME, "state": STATE}).encode(),
        json.dumps({"event": "state", "hostname": "two\nlines", "state": STATE}).encode(),
        json.dumps({"event": "state", "hostname": NAME, "state": "good"}).encode(),
        json.dumps({"event": "state", "hostname": NAME, "state": {"version": 1}}).encode(),
        b'{"event": "state", "hostname": "x", "state": {"version": "1", "deep": ' + 500 * b"[" + 500 * b"]" + b"}}",
    ],
)
def test_a_signed_body_that_is_no_event(receiver: Receiver, body: bytes):
    assert post(receiver, body) == 400
    assert not receiver.events


def test_a_long_body_is_not_read(receiver: Receiver):
    parts = urlsplit(receiver.url)
    for length, status in (
        (LONGEST_BODY + 1, b"413"),
        (10**30, b"413"),
        ("-1", b"411"),
        ("", b"411"),
        ("\u00b2", b"411"),
    ):
        with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
            connection.sendall(f"POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode("latin-1"))
            assert connection.recv(100).split()[1] == status
    assert post(receiver, body_of(padding="x" * 7000)) == 200
    assert post(receiver, body_of(padding="x" * LONGEST_BODY)) == 413


def test_other_methods(receiver: Receiver):
    with requests.Session() as session:
        session.trust_env = False
        for method in ("GET", "PUT", "DELETE"):
            assert session.request(method, receiver.url, timeout=60).status_code == 501


def test_who_is_silent_keeps_nobody_out(receiver: Receiver):
    parts = urlsplit(receiver.url)
    with ExitStack() as stack:
        for _ in range(20):
            silent = stack.enter_context(socket.create_connection((parts.hostname, parts.port), timeout=60))
            silent.sendall(b"POST / HTTP/1.1\r\n")
        assert post(receiver, body_of()) == 200


def test_what_cannot_be_passed_on_is_kept(receiver: Receiver, monkeypatch):
    def fail(*_: object):
        raise KitError("The message did not reach address 1 (JSON).", "Compare it.")

    with monkeypatch.context() as context:
        context.setattr("kit.ota.events.send", fail)
        assert post(receiver, body_of()) == 200
        receiver.wait_for("1.1.0")
        assert receiver.problem == "The message did not reach address 1 (JSON). Compare it."
    post(receiver, body_of(version="1.2.0"))
    receiver.wait_for("1.2.0")
    assert receiver.problem is None


def test_a_slow_service_does_not_keep_the_board(receiver: Receiver, monkeypatch):
    go = threading.Event()
    monkeypatch.setattr("kit.ota.events.send", lambda *_: go.wait(60))
    assert post(receiver, body_of()) == 200
    assert not receiver.events
    go.set()
    receiver.wait_for("1.1.0")


def test_waiting_for_what_does_not_come(receiver: Receiver):
    with pytest.raises(BoardError, match=r"No board has told 'rolled back' within 0\.1 s\."):
        receiver.wait_for("rolled back", seconds=0.1)


def test_an_address_that_is_taken(receiver: Receiver):
    with pytest.raises(KitError, match="Nothing can listen at 127"):
        kit.receive_events(port=urlsplit(receiver.url).port)
    with pytest.raises(KitError, match="Nothing can listen at 127"):
        kit.receive_events(port=70_000)


def test_it_listens_no_more_once_it_is_closed():
    with kit.receive_events() as receiver:
        url = urlsplit(receiver.url)
    with pytest.raises(ConnectionRefusedError), socket.create_connection((url.hostname, url.port)):
        pass


def test_the_key(monkeypatch, tmp_path):
    """A virtual board's is published; a real one needs its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KIT_WEBHOOK_KEY", raising=False)
    with kit.receive_events() as receiver:
        assert post(receiver, body_of(), signature(body_of(), DEMO_WEBHOOK_KEY)) == 200
        assert DEMO_WEBHOOK_KEY not in repr(receiver)
    monkeypatch.setenv("KIT_BOARD", "/dev/ttyUSB0")
    with pytest.raises(SettingsError, match="KIT_WEBHOOK_KEY"):
        kit.receive_events()


@pytest.mark.parametrize(
    ("before", "now", "text"),
    [
        (None, {}, "runs version 1.1.0"),
        (
            None,
            {"last_update": LAST},
            "runs version 1.1.0; last update: 1.2.0 in ota_0: rolled back, NameError in main.py, while importing",
        ),
        ({}, {"version": "1.2.0", "image_state": "PENDING_VERIFY"}, "runs version 1.2.0, PENDING_VERIFY"),
        ({}, {"last_update": LAST | {"outcome": "confirmed", "cause": None}}, "version 1.2.0 is confirmed"),
        ({}, {"last_update": LAST | {"outcome": "on probation", "cause": None}}, "version 1.2.0 is on probation"),
        ({}, {"last_update": LAST | {"outcome": "refused", "cause": "too old"}}, "version 1.2.0 was refused: too old"),
        ({}, {"last_update": LAST | {"outcome": "lost"}}, "version 1.2.0 lost: NameError in main.py"),
        ({"last_update": LAST}, {"last_update": LAST}, "runs version 1.1.0, VALID"),
        ({}, {"last_update": "nonsense"}, "runs version 1.1.0, VALID"),
        (
            {"pull": {"outcome": None, "version": None}},
            {"pull": {"outcome": "failed", "cause": "the server answers 500", "version": "1.2.0"}},
            "looked for an update: failed, the server answers 500",
        ),
        ({}, {"pull": {"outcome": "up to date", "cause": None}}, "looked for an update: up to date"),
        ({}, {"pull": {"outcome": 5}}, "runs version 1.1.0, VALID"),
        ({}, {"image_state": "VA\nLID"}, "runs version 1.1.0, VALID"),
    ],
)
def test_sentences(before: dict | None, now: dict, text: str):
    assert sentence(STATE | now, before if before is None else STATE | before) == text


@pytest.fixture
def command(monkeypatch) -> Iterator[Callable[..., subprocess.Popen]]:
    monkeypatch.setenv("KIT_WEBHOOK_KEY", KEY)
    started = []

    def start(*arguments: str) -> subprocess.Popen:
        line = [sys.executable, "-u", "-m", "kit", "notify", *arguments]
        started.append(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_command(command, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("KIT_NOTIFY", f"json://s3cret@127.0.0.1:{nobody.getsockname()[1]}")
        process = command()
        url = process.stdout.readline().split("'")[1]
        receiver = type("", (), {"url": url})
        assert post(receiver, body_of()) == 200
        assert process.stdout.readline() == f"{NAME}: runs version 1.1.0\n"
        assert "address 1 (JSON)" in process.stderr.readline()
    process.send_signal(2)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "s3cret" not in output + errors
    assert KEY not in output


def test_the_command_without_a_key(command, monkeypatch):
    monkeypatch.delenv("KIT_WEBHOOK_KEY")
    monkeypatch.setenv("KIT_BOARD", "/dev/ttyUSB0")
    process = command()
    assert "KIT_WEBHOOK_KEY" in process.communicate(timeout=60)[1]
    assert process.returncode == 1
