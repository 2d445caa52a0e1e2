import json
from types import SimpleNamespace

import pytest

from kit.errors import BoardError
from kit.ota.client import OtaClient
from kit.ota.exchange import Answer
from kit.ota.history import updates_in
from kit.ota.log import Entry, Log, read_log

LINES = """\
{"boot": 12, "uptime": 34, "event": "LOGIN_SUCCESS", "address": "192.168.1.7"}
{"boot": 12, "uptime": 36, "time": "2026-11-30T10:15:00Z", "event": "UPDATE_START", "address": "192.168.1.7", \
"bytes": 1523712, "slot": "ota_1", "version": "1.1.0"}
{"boot": 12, "uptime": 52, "event": "UPDATE_COMPLETE", "address": "192.168.1.7", "bytes": 1523712, "seconds": 15.2, \
"slot": "ota_1", "version": "1.1.0"}
{"boot": 14, "uptime": 0, "event": "ROLLED_BACK", "version": "1.1.0", "slot": "ota_1", "step": "found", \
"cause": "NameError in main.py, line 12", "exception": "NameError: name 'ledd' isn't defined"}
{"boot": 14, "uptime": 9, "event": "LOGIN_FAILED", "address": "192.168.1.9", "count": 4}


"""


def read(body: bytes | str, status: int = 200) -> tuple[Entry, ...]:
    body = body.encode() if isinstance(body, str) else body
    return read_log(SimpleNamespace(request=lambda method, path: Answer(path, status, "", {}, body)))


def line(**members: object) -> bytes:
    return json.dumps({"boot": 1, "uptime": 2, "event": "RESTART"} | members).encode()


def test_entries():
    entries = read(LINES)
    assert [entry.event for entry in entries][:2] == ["LOGIN_SUCCESS", "UPDATE_START"]
    assert entries[0] == Entry(12, 34, "LOGIN_SUCCESS", None, "192.168.1.7", {})
    facts = {"bytes": 1523712, "slot": "ota_1", "version": "1.1.0"}
    assert entries[1] == Entry(12, 36, "UPDATE_START", "2026-11-30T10:15:00Z", "192.168.1.7", facts)
    assert len(entries) == 5


@pytest.mark.parametrize(
    ("virtual", "words"), [(True, "the log of the virtual board"), (False, "the log of the board")]
)
def test_text_is_the_same_in_every_run(virtual: bool, words: str):
    log = Log(read(LINES), virtual)
    assert repr(log) == repr(Log((), virtual)) == words
    assert len(str(log).splitlines()) == len(log)
    assert repr([*log][:2]) == "[LOGIN_SUCCESS, UPDATE_START 1.1.0]"
    assert len(log) == 5


def test_html_is_a_table(cells):
    rows = cells(Log(read(LINES), True)._repr_html_())
    assert rows[0] == ["start", "second", "clock", "event", "from", "details"]
    assert rows[1] == ["12", "34", "", "LOGIN_SUCCESS", "192.168.1.7", ""]
    assert rows[2][2] == "2026-11-30T10:15:00Z"
    assert rows[3][5] == "1,523,712 bytes, 15.2 s, slot ota_1, version 1.1.0"
    cause = "NameError in main.py, line 12, NameError: name 'ledd' isn't defined"
    assert rows[4][5] == f"version 1.1.0, slot ota_1, last step found, {cause}"
    assert rows[5][5] == "4 more"


def test_html_of_an_empty_log():
    assert "board.install()" in Log((), True)._repr_html_()


def test_html_is_escaped():
    hostile = "<b>&amp;</b>"
    members = dict.fromkeys(("event", "time", "address", "version", "cause", "exception", "<i>"), hostile)
    html = Log(read(line(**members)), True)._repr_html_()
    assert "<b>" not in html
    assert "<i>" not in html
    assert html.count("&lt;b&gt;&amp;amp;&lt;/b&gt;") == 7


@pytest.mark.parametrize(
    "members",
    [
        {"{}": "x"},
        {"{0.__class__}": 5},
        {"exception": 5},
        {"exception": "{"},
        {"rssi": 0.5},
        {"settings": "hostname, pins"},
        {"version": None, "seconds": None, "time": None, "address": None, "rssi": None},
        {"seconds": 15, "count": 0, "bytes": 0},
        {"boot": 0, "uptime": 2**40, "event": ""},
        {"self": "x", "facts": "x", "": "x", "name": "x"},
    ],
    ids=str,
)
def test_what_a_line_may_have(members: dict):
    log = Log(read(line(**members)), True)
    assert log._repr_html_()
    assert repr(log.entries) == f"({log.entries[0]!r},)"
    assert log.plot().axes
    assert updates_in(log) == ()


@pytest.mark.parametrize(
    "bad",
    [
        *[line(boot=value) for value in (None, "1", True, -1, 1.5, 2**41, [])],
        *[line(uptime=value) for value in (None, "1", False, -1, 1.0, 10**400, {})],
        *[line(event=value) for value in (None, 1, "a\nb", "\x1b[2J", "\ud800", "x" * 301, [])],
        *[line(**{name: []}) for name in ("version", "slot", "time", "address", "cause", "seconds", "count", "rssi")],
        *[line(**{name: 5}) for name in ("version", "slot", "time", "address", "cause", "step", "error")],
        *[line(**{name: "5"}) for name in ("seconds", "bytes", "count")],
        *[line(**{name: "x"}) for name in ("a\nb", "\x1b", "k" * 301)],
        line(seconds=-1),
        line(rssi=-60),
        line(x={}),
        line(x=True),
        b'{"boot": 1, "uptime": 2, "event": "RESTART"',
        b'{"boot": 1, "uptime": 2, "event": "RESTART"}]',
        b'{"boot": 1, "uptime": 2, "event": "RESTART", "x": NaN}',
        b'{"boot": 1, "uptime": ' + b"9" * 5000 + b', "event": "RESTART"}',
        b'{"boot": 1, "uptime": 1e999, "event": "RESTART"}',
        b'{"x": ' * 5000,
        b"\xff\xfe",
        "{}".encode("utf-16"),
        b"\0",
        b"null",
        b"[]",
        b"{}",
        b"<h1>Router</h1>",
    ],
    ids=lambda bad: repr(bad[-40:]),
)
def test_what_a_line_may_not_have(bad: bytes):
    for body in (bad, line() + b"\n" + bad, bad + b"\n" + line()):
        with pytest.raises(BoardError) as caught:
            read(body)
        assert caught.value.cause == "/log answered 200, not as our firmware does."


def test_firmware_that_keeps_no_log():
    error = json.dumps({"error": "NOT_FOUND", "message": "There is nothing at this address.", "advice": "Begin at /."})
    for body in (error, "", "<h1>Not found</h1>", "[" * 1000):
        with pytest.raises(BoardError) as caught:
            read(body, 404)
        assert caught.value.cause == "The firmware of the board keeps no log."
        assert "board.install()" in caught.value.advice


@pytest.mark.parametrize(
    ("status", "words"), [(401, r"Log in: ota\.login"), (403, "not as our"), (302, "not as our"), (500, "not as our")]
)
def test_other_refusals(status: int, words: str):
    with pytest.raises(BoardError, match=words):
        read("", status)


def test_refusal_in_the_words_of_the_board():
    with pytest.raises(BoardError, match=r"^Not now\. Wait\.$"):
        read('{"error": "BUSY", "message": "Not now.", "advice": "Wait."}', 503)


@pytest.mark.parametrize(
    ("virtual", "chip", "is_virtual"), [(None, "ESP32 (virtual)", True), (None, "ESP32", False), (True, "ESP32", True)]
)
def test_client(monkeypatch: pytest.MonkeyPatch, virtual: bool | None, chip: str, is_virtual: bool):
    client = OtaClient("http://127.0.0.1", virtual=virtual)
    info = json.dumps({"version": "1.0.0", "running": "ota_0", "uptime": 5, "chip": chip})
    answers = {"/log": LINES.encode(), "/info": info.encode()}
    monkeypatch.setattr(client._web, "request", lambda method, path, **_: Answer(path, 200, "OK", {}, answers[path]))
    assert client.log() == Log(read(LINES), is_virtual)
    assert str(client.history()) == "1.1.0  rolled back  NameError in main.py, line 12"
