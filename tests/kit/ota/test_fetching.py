"""Where a board fetches updates from, and a look that it is asked for: against a web server that answers as one."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from kit.errors import AddressError, BoardError, Interrupted, RollbackError, SecurityError, SettingsError, UpdateError
from kit.ota.client import OtaClient
from kit.ota.fetching import Fetching, State, fetching_in, may_have_token, source_url
from kit.ota.info import VIRTUAL_CHIP
from kit.ota.zone import posix_zone
from kit.settings import DEMO

MANIFEST = "http://127.0.0.1:41234/manifest.json"
TOKEN = "github_pat_s3cr3t"
PIN = "0123456789abcdef" * 4
STATE = {"phase": "idle", "outcome": None, "cause": None, "version": None}
STATE |= {"tried": None, "failures": 0, "now": None, "next": None}
BUSY = {"error": "UPDATE_ERROR_BUSY", "message": "An update is running.", "advice": "Wait."}
NO_SOURCE = {"error": "NO_SOURCE", "message": "The board does not know where updates are.", "advice": "PUT a url."}


class FakeBoard:
    """A board as far as fetching goes. What happens to it happens while a client waits, step by step."""

    def __init__(self) -> None:
        self.settings = {"url": None, "certificate": None, "token": None, "window": None, "days": None}
        self.settings |= {"zone": "UTC0", "ntp": "pool.ntp.org", "version": None, "hold": False}
        self.state = dict(STATE)
        self.progress = {"phase": "idle", "received": 0, "written": 0, "size": 0}
        self.info = {"name": "esp32-ota", "version": "1.0.0", "chip": VIRTUAL_CHIP, "hostname": "fake"}
        self.info |= {"running": "ota_0", "boot": "ota_0", "next": "ota_1", "image_state": "VALID"}
        self.now, self.started = 1000.0, 0.0
        self.token = "token-1"
        self.refusal: tuple[int, dict | str] | None = None
        self.is_silent = False
        self.puts: list[dict] = []
        self.asked: list[str] = []  # paths
        self.steps: list[Callable[[], None]] = []
        handler = type("BoundHandler", (Handler,), {"board": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.steps:
            self.steps.pop(0)()

    def restart(self, version: str, running: str, state: str, last: dict | None = None) -> None:
        self.info |= {"version": version, "running": running, "image_state": state, "last_update": last}
        self.started, self.token = self.now, f"token-{self.now}"
        self.state |= {"phase": "idle"}
        self.progress |= {"phase": "idle"}

    def shown(self) -> dict:
        shown = self.settings | {"state": self.state, "has_token": self.settings["token"] is not None}
        del shown["token"]
        return shown


class Handler(BaseHTTPRequestHandler):
    board: FakeBoard

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, status: int, body: dict | str) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        board, body = self.board, self.rfile.read(int(self.headers.get("Content-Length", 0)))
        board.asked.append(self.path)
        known = self.headers["Authorization"] == f"Bearer {board.token}"
        if board.is_silent:
            self.answer(503, "")
        elif self.path == "/info":
            self.answer(200, board.info | {"uptime": int(board.now - board.started)})
        elif self.path == "/login":
            assert json.loads(body) == {"password": DEMO.password}
            self.answer(200, {"token": board.token, "expires_in": 300})
        elif not known:
            self.answer(401, {"error": "UNAUTHORIZED", "message": "This needs a login."})
        elif self.path == "/progress":
            self.answer(200, board.progress)
        elif board.refusal:
            self.answer(*board.refusal)
        elif self.command == "POST":
            board.state["phase"] = "looking"
            self.answer(202, {"message": "The board looks for an update."})
        else:
            if self.command == "PUT":
                board.puts.append(json.loads(body))
                board.settings |= board.puts[-1]
            self.answer(200, board.shown())

    def do_PUT(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeBoard]:
    monkeypatch.chdir(tmp_path)
    for name in ("KIT_PASSWORD", "KIT_GITHUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    board = FakeBoard()
    clock = SimpleNamespace(monotonic=lambda: board.now, sleep=board.sleep)
    monkeypatch.setattr("kit.ota.pull.time", clock)
    monkeypatch.setattr("kit.ota.waiting.time", clock)
    yield board
    board.server.shutdown()
    board.server.server_close()


@pytest.fixture
def client(board: FakeBoard) -> OtaClient:
    client = OtaClient(board.url)
    client.login()
    return client


# Settings


def test_what_is_given_is_sent_and_nothing_else(board, client):
    assert repr(client.fetch_from(MANIFEST)) == "fetches from 127.0.0.1, at any time: has not looked yet"
    client.fetch_from(
        MANIFEST, window="02:00-04:00", days=("sat", "sun"), zone="Europe/Berlin", ntp=None, version="1.1.0", hold=True
    )
    client.fetch_from(MANIFEST, window=None, days=None, version=None, certificate=PIN.upper())
    assert board.puts == [
        {"url": MANIFEST, "token": None},
        {
            "url": MANIFEST,
            "window": "02:00-04:00",
            "days": ["sat", "sun"],
            "zone": "CET-1CEST,M3.5.0,M10.5.0/3",
            "ntp": None,
            "version": "1.1.0",
            "hold": True,
            "token": None,
        },
        {"url": MANIFEST, "window": None, "days": None, "version": None, "certificate": PIN, "token": None},
    ]


def test_what_the_board_has_noted_is_shown(board, client, cells):
    options = {"window": "02:00-04:00", "days": ["sat", "sun"], "zone": "UTC0", "ntp": None, "version": "1.1.0"}
    board.state |= {"tried": "2027-03-14T02:13:00+01:00", "failures": 2, "outcome": "failed", "cause": "No <answer>."}
    fetching = client.fetch_from(MANIFEST, **options)
    assert fetching == client.fetching()
    wanted = "fetches from 127.0.0.1, 02:00-04:00 on sat, sun, version 1.1.0 only: failed. No <answer>."
    assert repr(fetching) == wanted
    assert (fetching.days, fetching.ntp, fetching.hold, fetching.has_token) == (("sat", "sun"), None, False, False)
    rows = dict(cells(fetching._repr_html_()))
    assert (rows["url"], rows["days"], rows["hold"], rows["failures"]) == (MANIFEST, "sat, sun", "no", "2")
    assert (rows["tried"], rows["cause"], rows["next"]) == ("2027-03-14T02:13:00+01:00", "No <answer>.", "")


def test_nothing_is_fetched_any_more(board, client):
    assert repr(client.fetch_from(None)) == "fetches from nowhere: has not looked yet"
    assert board.puts == [{"url": None, "token": None}]


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"phase": "looking"}, "looking"),
        ({"phase": "fetching", "outcome": "failed"}, "fetching"),
        ({"outcome": "up to date", "version": "1.0.0"}, "up to date"),
        ({"outcome": "installed", "version": "1.1.0"}, "1.1.0 installed"),
        ({"outcome": "installed"}, "an unknown version installed"),
        ({"outcome": "given up", "version": "1.2.0", "cause": "NameError"}, "1.2.0 given up. NameError"),
        ({"outcome": "refused", "version": "1.2.0", "cause": "Nobody signed it."}, "1.2.0 refused. Nobody signed it."),
        ({"outcome": "held", "version": "1.1.0", "cause": "It was here."}, "held back. It was here."),
    ],
)
def test_the_text_of_a_state(board, client, state, text):
    board.state |= state
    assert repr(client.fetching()) == f"fetches from nowhere: {text}"
    client.fetch_from(MANIFEST, hold=True)
    assert repr(client.fetching()) == f"fetches from 127.0.0.1, when asked: {text}"


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("github:octo-org/my.clock_2", "https://api.github.com/repos/octo-org/my.clock_2"),
        ("https://example.org/a/manifest.json?x=1", "https://example.org/a/manifest.json?x=1"),
        ("http://[::1]:8000/m", "http://[::1]:8000/m"),
        (MANIFEST, MANIFEST),
    ],
)
def test_sources(source, url):
    assert source_url(source) == url


@pytest.mark.parametrize(
    "source",
    ["", "example.org", "ftp://example.org/m", "file:///etc/passwd", "http://", "https:///m", "http://a b/m"]
    + ["http://x:99999/m", "http://x:0/m", "http://x:y/m", "http://[::1", "http://ä.org/m", "http://x/m\n"]
    + ["github:", "github:owner", "github:a/b/c", "github:../b", "github:a/b?c", 5, b"http://x/m", ["http://x/m"]],
)
def test_what_is_no_source(client, board, source):
    with pytest.raises(AddressError, match=r"This is not the address .*github:owner/name"):
        client.fetch_from(source)
    assert board.puts == []


def test_a_password_in_an_address_is_not_told(client):
    with pytest.raises(AddressError) as caught:
        client.fetch_from("https://me:s3cr3t@example.org/m")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("days", [{"sat"}, [b"sat"], float("nan")], ids=str)
def test_settings_that_are_no_json(board, client, days):
    with pytest.raises(BoardError, match="no JSON"):
        client.fetch_from(MANIFEST, days=days)
    assert board.puts == []


def test_a_certificate_that_is_none(board, client):
    with pytest.raises(SecurityError):
        client.fetch_from(MANIFEST, certificate="abc")
    assert board.puts == []


# The token


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://api.github.com/repos/o/n", True),
        ("https://github.example.org/api/v3/repos/o/n", True),
        ("http://127.0.0.1:8000/repos/o/n", True),  # on this computer
        ("http://192.168.4.2/repos/o/n", False),  # others read along
        ("http://api.github.com/repos/o/n", False),
        ("https://example.org/manifest.json", False),
        ("https://example.org/?x=/repos/", False),
        (None, False),
    ],
)
def test_who_may_have_the_token(board, client, monkeypatch, url, may):
    monkeypatch.setenv("KIT_GITHUB_TOKEN", TOKEN)
    assert may_have_token(url) == may
    shown = client.fetch_from(url)
    assert board.puts == [{"url": url, "token": TOKEN if may else None}]
    assert shown.has_token == may
    assert TOKEN not in repr(shown) + shown._repr_html_() + repr(client)


def test_a_public_repository_needs_no_token(board, client):
    client.fetch_from("github:o/n")
    assert board.puts == [{"url": "https://api.github.com/repos/o/n", "token": None}]


def test_the_token_of_a_real_board_comes_from_lab_toml(board, monkeypatch, tmp_path):
    monkeypatch.setenv("KIT_PASSWORD", DEMO.password)
    Path("lab.toml").write_text(f'[ota]\ngithub_token = "{TOKEN}"\n')
    client = OtaClient(board.url, virtual=False)
    client.login()
    client.fetch_from("github:o/n")
    assert board.puts[0]["token"] == TOKEN


@pytest.mark.parametrize("token", ["a b", "a\nX-Header: b", "ä" * 9, "x" * 101])
def test_what_can_be_no_token(board, client, monkeypatch, token):
    monkeypatch.setenv("KIT_GITHUB_TOKEN", token)
    with pytest.raises(SettingsError, match="KIT_GITHUB_TOKEN") as caught:
        client.fetch_from("github:o/n")
    assert token not in str(caught.value)
    assert board.puts == []


def test_a_refusal_keeps_the_token_to_itself(board, client, monkeypatch):
    monkeypatch.setenv("KIT_GITHUB_TOKEN", TOKEN)
    board.refusal = 400, {"error": "BAD_SETTING", "message": "The board cannot take this zone.", "advice": "Send one."}
    with pytest.raises(BoardError, match=r"^The board cannot take this zone\. Send one\.$") as caught:
        client.fetch_from("github:o/n")
    assert TOKEN not in str(vars(caught.value))


# Zones


@pytest.mark.parametrize(
    ("zone", "rule"),
    [
        ("Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3"),
        ("Asia/Kathmandu", "<+0545>-5:45"),
        ("UTC", "UTC0"),
        ("UTC0", "UTC0"),
        ("EET-2EEST,M3.5.0/3,M10.5.0/4", "EET-2EEST,M3.5.0/3,M10.5.0/4"),
        ("<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", "<-03>3<-02>,M3.5.0/-2,M10.5.0/-1"),
    ],
)
def test_zones(zone, rule):
    assert posix_zone(zone) == rule


def test_zones_of_a_computer_that_has_none_of_its_own(monkeypatch):
    monkeypatch.setattr("zoneinfo.TZPATH", ())
    assert posix_zone("Europe/Berlin") == "CET-1CEST,M3.5.0,M10.5.0/3"


@pytest.mark.parametrize(
    "zone",
    ["Europe/Berln", "Europe", "", "../../etc/passwd", "/etc/passwd", "a\0b", "UTC0\n", "local", 5, ["UTC"], True],
)
def test_what_is_no_zone(board, client, zone):
    with pytest.raises(BoardError, match=r'is no time zone\. Give a name such as "Europe/Berlin"'):
        client.fetch_from(MANIFEST, zone=zone)
    assert board.puts == []


# What the board answers


@pytest.mark.parametrize(
    "verb", [lambda client: client.fetch_from(MANIFEST), lambda client: client.fetching(), lambda client: client.pull()]
)
def test_firmware_that_fetches_nothing(board, client, verb):
    board.refusal = 404, {"error": "NOT_FOUND", "message": "There is nothing at this address.", "advice": "Begin at /."}
    with pytest.raises(BoardError, match=r"^The firmware of the board fetches no updates\. Update it"):
        verb(client)
    client._web.token = None
    with pytest.raises(BoardError, match=r"Log in: ota\.login"):
        verb(client)


@pytest.mark.parametrize(
    "change",
    [
        {"zone": None},
        {"url": 5},
        {"has_token": 1},
        {"has_token": None},
        {"hold": "no"},
        {"days": "sat"},
        {"days": [6]},
        {"state": None},
        {"state": {}},
        {"state": STATE | {"failures": -1}},
        {"state": STATE | {"cause": "a\nb"}},
        {"state": STATE | {"next": 7}},
    ],
    ids=str,
)
def test_what_no_firmware_of_ours_says(board, client, change):
    found = board.shown()
    assert fetching_in(found) == Fetching(
        None, None, False, None, None, "UTC0", "pool.ntp.org", None, False, State(**STATE)
    )
    assert fetching_in(found | {"new": 5}) == fetching_in(found)
    assert fetching_in(found | change) is None
    board.refusal = 200, found | change
    with pytest.raises(BoardError, match="/pull answered 200 OK, not as our firmware does"):
        client.fetching()


# A look


def test_a_look_that_finds_nothing(board, client, capsys):
    board.steps = [lambda: None, lambda: board.state.update(phase="idle", outcome="up to date")]
    capsys.readouterr()
    assert client.pull().state.outcome == "up to date"
    assert board.steps == []
    assert capsys.readouterr() == ("", "")


def test_a_look_that_nobody_waits_for(board, client):
    assert client.pull(wait=False).state.phase == "looking"


def shown_by(monkeypatch) -> list[tuple]:
    calls = []
    monkeypatch.setattr("kit.progress.Progress.update", lambda self, *args: calls.append(args))
    monkeypatch.setattr("kit.progress.Progress._show", lambda self, end: calls.append(end))
    return calls


FETCHING = {"phase": "write", "received": 900, "written": 500, "size": 1000}


def until_installed(board: FakeBoard) -> list[Callable]:
    return [
        lambda: board.state.update(phase="fetching", version="1.1.0"),
        lambda: board.progress.update(FETCHING),
        lambda: board.progress.update(phase="restart", written=1000),
        lambda: board.state.update(phase="idle", outcome="installed", tried="2027-03-14T02:13:00+01:00"),
    ]


def into_new_version(board: FakeBoard) -> list[Callable]:
    return [
        lambda: setattr(board, "is_silent", True),
        lambda: (setattr(board, "is_silent", False), board.restart("1.1.0", "ota_1", "PENDING_VERIFY")),
        lambda: None,
        lambda: board.info.update(image_state="VALID"),
    ]


def test_a_look_that_brings_a_version(board, client, monkeypatch):
    calls = shown_by(monkeypatch)
    board.steps = until_installed(board) + into_new_version(board)
    found = client.pull()
    assert repr(found) == "fetches from nowhere: 1.1.0 installed"
    assert board.steps == []
    assert client.fetching() == found  # logged in again
    assert (500, "write", 1000) in calls
    assert calls[-2:] == [(0, "confirmed"), "success"]


def test_a_restart_between_two_looks(board, client):
    """What came of it is asked after it."""
    board.state |= {"outcome": "installed", "version": "1.1.0"}
    board.steps = until_installed(board)[:1] + into_new_version(board)
    assert repr(client.pull()) == "fetches from nowhere: 1.1.0 installed"


def test_a_look_that_the_board_begins_by_itself(board, client):
    begun = [lambda: None, lambda: board.state.update(phase="looking")]
    board.steps = begun + until_installed(board) + into_new_version(board)
    assert repr(client.watch()) == "fetches from nowhere: 1.1.0 installed"
    assert board.steps == []


def test_a_look_that_is_over_before_anybody_sees_it(board, client):
    board.state |= {"outcome": "up to date", "tried": "2027-03-13T02:13:00+01:00"}
    board.steps = [lambda: board.state.update(tried="2027-03-14T02:13:00+01:00")]
    assert client.watch().state.tried == "2027-03-14T02:13:00+01:00"


def test_a_look_and_a_restart_before_anybody_sees_them(board, client):
    board.steps = [*[lambda: None] * 9, *into_new_version(board)[1:]]
    board.state |= {"outcome": "installed", "version": "1.1.0"}
    board.started = -1000.0
    assert repr(client.watch()) == "fetches from nowhere: 1.1.0 installed"


def test_a_board_that_does_not_look(board, client):
    with pytest.raises(BoardError, match=r"^The board has not looked within 5 s\. ota\.fetching\(\)"):
        client.watch(5)


@pytest.mark.parametrize("outcome", ["failed", "refused"])
def test_a_look_that_fails(board, client, monkeypatch, outcome):
    calls = shown_by(monkeypatch)
    board.steps = [lambda: board.state.update(phase="idle", outcome=outcome, cause="The server is gone.", failures=1)]
    state = client.pull().state
    assert (state.outcome, state.cause, state.failures) == (outcome, "The server is gone.", 1)
    assert calls[-1] == "danger"


GIVEN_UP = {"version": "1.1.0", "slot": "ota_1", "outcome": "rolled back", "step": "found", "cause": "NameError"}


@pytest.mark.parametrize("is_seen", [True, False])
def test_a_version_that_is_given_up(board, client, is_seen):
    """Also where it came and went before anybody looked."""
    trial = [lambda: board.restart("1.1.0", "ota_1", "PENDING_VERIFY"), lambda: None, lambda: None] * is_seen
    back = [lambda: board.restart("1.0.0", "ota_0", "VALID", GIVEN_UP)]
    board.steps = [*until_installed(board), *trial, *back]
    with pytest.raises(RollbackError, match=r"^Version 1\.1\.0 was given up: NameError, while importing\."):
        client.pull()


def test_a_board_that_writes_is_asked_for_its_progress_only(board, client):
    """The rest takes memory that it has not got then."""
    board.steps = until_installed(board)[:2] + [lambda: None] * 5
    board.steps += [lambda: board.asked.clear()] + [lambda: None] * 5 + [lambda: seen.extend(board.asked)]
    board.steps += until_installed(board)[2:] + into_new_version(board)
    seen: list[str] = []
    client.pull()
    assert {*seen} == {"/progress"}


@pytest.mark.parametrize("last", [None, GIVEN_UP | {"outcome": "interrupted"}])
def test_power_that_goes_meanwhile(board, client, last):
    board.steps = [*until_installed(board)[:2], lambda: board.restart("1.0.0", "ota_0", "VALID", last)]
    with pytest.raises(BoardError, match=r"^The board restarted while it fetched\. .*ota\.pull\(\)"):
        client.pull()


def test_a_board_that_falls_silent(board, client):
    board.steps = [*until_installed(board)[:2], lambda: setattr(board, "is_silent", True)]
    with pytest.raises(BoardError, match="has not answered for 60 s"):
        client.pull()


def test_a_board_that_says_nothing_for_a_while(board, client):
    """While it fetches by TLS it has room for few."""
    quiet = [
        lambda: setattr(board, "is_silent", True),
        *[lambda: None] * 40,
        lambda: setattr(board, "is_silent", False),
    ]
    board.steps = [*quiet, lambda: board.state.update(phase="idle", outcome="up to date")]
    assert client.pull().state.outcome == "up to date"


@pytest.mark.parametrize(
    ("refusal", "kind"), [((409, BUSY), UpdateError), ((409, NO_SOURCE), BoardError)], ids=["busy", "no source"]
)
def test_a_look_that_is_refused(board, client, refusal, kind):
    board.refusal = refusal
    with pytest.raises(kind, match=refusal[1]["message"]):
        client.pull()


def test_an_interrupt_says_that_the_board_goes_on(board, client):
    def interrupt() -> None:
        raise KeyboardInterrupt

    board.steps = [lambda: None, interrupt]
    with pytest.raises(Interrupted, match=r"^The board goes on by itself; ota\.fetching\(\) shows"):
        client.pull()
    assert client.fetching().state.phase == "looking"
