"""A board that fetches its updates: what it takes and what not, its pace, and power cuts, on both interpreters."""

import contextlib
import hashlib
import json
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kit.image import otadata
from kit.image.update_image import UpdateImage
from kit.releases.release import release
from kit.releases.server import ReleaseServer, serve_releases
from kit.security.certificate import new_certificate
from kit.security.keys import Key, new_key

HOUR = 3600
PASSWORD = "a password of our own"


@pytest.fixture
def interpreter(interpreter):
    """With the heap that a chip's application has: the stand-ins, which are no Python there, take 57 kB of these words.

    A look for an update leaves little free of 120 kB, and other tests show what becomes of a board that has none.
    """
    command = tuple(part.replace("heapsize=120wk", "heapsize=148wk") for part in interpreter.command)
    return replace(interpreter, command=command)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return new_key(tmp_path_factory.mktemp("key") / "key.pem")


@pytest.fixture
def folder(tmp_path: Path, make_image: Callable[..., UpdateImage], key: Key) -> Path:
    """Releases: 1.1.0 alone."""
    path = tmp_path / "releases"
    release(make_image("1.1.0").sign(key), path, "First.")
    return path


@pytest.fixture
def server(folder: Path) -> Iterator[ReleaseServer]:
    with serve_releases(folder) as server:
        yield server


@pytest.fixture
def run(interpreter, make_flash) -> Callable[..., str]:
    """Function that runs a function of the body with settings, and returns what it printed."""

    def call(function: str, settings: dict, *arguments: object, flash: Path | None = None) -> str:
        done = interpreter.run("pulls", function, flash or make_flash(), json.dumps(settings), *arguments)
        assert done.code == 0, done.output
        assert "PASSED\n" in done.output, done.output  # behind it CPython tells of a task that a power cut ended
        return done.output

    return call


def edit(folder: Path, **changes: object) -> None:
    """Change what the manifest says of the image, or leave it out (None)."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, value in changes.items():
        place = manifest if name in ("version", "builds") else manifest["builds"][0]["ota"]
        place.pop(name, None) if value is None else place.update({name: value})
    path.write_text(json.dumps(manifest))


def bin_of(folder: Path) -> Path:
    return next(folder.glob("*.bin"))


def test_takes_a_release(run, server: ReleaseServer, folder: Path, key: Key) -> None:
    run("test_takes", {"url": server.url, "signer": key.digest.hex()}, bin_of(folder))
    paths = [request.path.rpartition("/")[2] for request in server.requests]
    assert paths == ["manifest.json", "esp32-ota-1.1.0.crc32", "esp32-ota-1.1.0.bin"]


def test_fetches_only_what_the_slot_lacks(run, server: ReleaseServer, folder: Path, key: Key) -> None:
    run("test_fetches_what_the_slot_lacks", {"url": server.url, "signer": key.digest.hex()}, bin_of(folder))


@pytest.mark.parametrize("has_sectors", [True, False])
def test_power_cuts(
    run, interpreter, server: ReleaseServer, folder: Path, key: Key, has_sectors: bool, make_flash
) -> None:
    """Wherever it is, the board boots a whole image, and goes on: late, most of the image is there."""
    if not has_sectors:
        edit(folder, sectors=None)
    settings = {"url": server.url, "signer": key.digest.hex()}
    operations, received = map(int, run("count_operations", settings).partition("OPERATIONS ")[2].split()[:2])
    assert operations > 20
    for number in range(0, operations, 1 if interpreter.name == "cpython" else 5):
        flash = make_flash()
        run("cut", settings, number, flash=flash)
        is_late = has_sectors and number > operations * 2 // 3
        run("go_on", settings, bin_of(folder), received // 2 if is_late else received, flash=flash)


def test_over_tls_with_a_pin(run, folder: Path, key: Key) -> None:
    certificate = new_certificate("releases", "127.0.0.1")
    pin = certificate.pin.replace(":", "").lower()
    with serve_releases(folder, certificate=certificate) as server:
        settings = {"url": server.url, "signer": key.digest.hex()}
        run("test_takes", settings | {"certificate": pin}, bin_of(folder))
        run("test_takes", settings, bin_of(folder))
        run("test_outcome", settings | {"certificate": "0" * 64}, "failed: another certificate")
        assert len(server.requests) == 6


def test_without_signers_it_asks_nobody(run, server: ReleaseServer) -> None:
    run("test_outcome", {"url": server.url}, "held: signed ones only")
    assert not server.requests


def test_takes_nothing_that_is_not_newer(run, server: ReleaseServer, key: Key, make_image, make_flash) -> None:
    for version, expected in (("1.1.0", "up to date"), ("1.2.0", "up to date"), ("1.1.0-rc.1", "installed")):
        flash = make_flash(slot_0=make_image(version).data)
        run("test_outcome", {"url": server.url, "signer": key.digest.hex()}, expected, flash=flash)


def test_pin_and_hold(run, server: ReleaseServer, folder: Path, key: Key, make_image) -> None:
    release(make_image("1.2.0").sign(key), folder, "Second.")
    settings = {"url": server.url, "signer": key.digest.hex(), "version": "1.1.0"}
    run("test_takes", settings, folder / "esp32-ota-1.1.0.bin")
    run("test_outcome", settings | {"version": "1.3.0"}, "failed: 404")


def test_what_was_taken_once_is_not_taken_again(run, server: ReleaseServer, key: Key) -> None:
    """The body starts with 1.0.0 each time, as after a rollback."""
    run("test_outcome", {"url": server.url, "signer": key.digest.hex()}, "installed", "held: 1.1.0 was here")


def test_a_bad_file_is_not_fetched_again(run, server: ReleaseServer, folder: Path, make_image, key: Key) -> None:
    other = new_key(folder / "other.pem")
    data = make_image("1.1.0").sign(other).data
    swap(folder, data)
    run("test_outcome", {"url": server.url, "signer": key.digest.hex()}, "refused", "held: was refused before")
    assert len([request for request in server.requests if request.path.endswith(".bin")]) == 1


def swap(folder: Path, data: bytes) -> None:
    """Put another image there, which the manifest names rightly."""
    bin_of(folder).write_bytes(data)
    edit(folder, sha256=hashlib.sha256(data).hexdigest(), size=len(data), sectors=None)


def unsigned(image: UpdateImage) -> bytes:
    return image.data


def other_descriptor(image: UpdateImage) -> bytes:
    data = bytearray(image.data)
    struct.pack_into("<I", data, 0x20, 0)
    return bytes(data)


@pytest.mark.parametrize(
    ("change", "then"), [(unsigned, "held: was refused before"), (other_descriptor, "refused: no app descriptor")]
)
def test_files_that_no_upload_could_bring_either(run, server, folder, make_image, key, change: Callable, then) -> None:
    swap(folder, change(make_image("1.1.0")))
    run("test_outcome", {"url": server.url, "signer": key.digest.hex()}, "refused", then)


def test_another_file_than_the_manifest_says(run, server, folder, make_image, key) -> None:
    """It may be right tomorrow: a mirror may not have it yet."""
    image = make_image("1.1.0").sign(key)
    bin_of(folder).write_bytes(replace(image, data=image.data[:-1] + b"\0").data)
    for sectors in ("esp32-ota-1.1.0.crc32", None):
        edit(folder, sectors=sectors)
        run("test_outcome", {"url": server.url, "signer": key.digest.hex()}, "refused", "refused")


def test_a_version_that_only_the_manifest_has(run, server: ReleaseServer, folder: Path, key: Key) -> None:
    """It shuts out no later one: what counts is the version that the image has."""
    edit(folder, version="999.0.0")
    run("test_takes", {"url": server.url, "signer": key.digest.hex()}, bin_of(folder))


class Drip(BaseHTTPRequestHandler):
    """A manifest that comes byte by byte."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "8000")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(8000):
                self.wfile.write(b" ")
                self.server.over.wait(0.05)


def test_a_server_that_never_ends_is_left(run, key: Key) -> None:
    """Others wait for their turn meanwhile."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Drip) as drip:
        drip.over = threading.Event()
        threading.Thread(target=drip.serve_forever, args=[0.05], daemon=True).start()
        url = f"http://127.0.0.1:{drip.server_port}/manifest.json"
        run("test_slow", {"url": url, "signer": key.digest.hex()}, 1)
        drip.over.set()
        drip.shutdown()


def test_gives_back_what_it_took(run, key: Key) -> None:
    run("test_gives_back", {"url": "https://127.0.0.1:1/m.json", "signer": key.digest.hex()})


def test_no_socket_is_a_failure_like_others(run, key: Key) -> None:
    run("test_no_socket", {"url": "http://updates.example/m.json", "signer": key.digest.hex()})


def test_an_upload_that_came_first_keeps_its_address(run, server: ReleaseServer, key: Key) -> None:
    run("test_an_upload_came_first", {"url": server.url, "signer": key.digest.hex()})


def test_assets_of_another_server(interpreter, make_flash) -> None:
    done = interpreter.run("pulls", "test_assets", make_flash())
    assert done.code == 0, done.output


@pytest.mark.parametrize("function", ["test_watches_on", "test_logs_once"])
def test_watch(run, function: str) -> None:
    run(function, {"url": "http://127.0.0.1:1/m.json"})


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "1.1"},
        {"version": None},
        {"version": 11},
        {"builds": []},
        {"builds": [{"chipFamily": "ESP32-S3", "ota": {}}]},
        {"builds": {}},
        {"builds": [1]},
        {"path": "../1.1.0.bin"},
        {"path": "http://elsewhere/1.bin"},
        {"path": ""},
        {"path": None},
        {"size": "big"},
        {"size": True},
        {"size": -1},
        {"size": 0},
        {"sha256": "00"},
        {"sha256": None},
        {"sha256": "z" * 64},
        {"sectors": 5},
        {"sectors": "a/b"},
    ],
    ids=str,
)
def test_bad_manifests(run, server: ReleaseServer, folder: Path, key: Key, changes: dict) -> None:
    edit(folder, **changes)
    run("test_outcome", {"url": server.url, "signer": key.digest.hex()}, "failed: The manifest does not say")


@pytest.mark.parametrize("text", ["", "[]", "null", "1", "{", '{"version": "1.1.0"}', "<html>"])
def test_no_manifest(run, server: ReleaseServer, folder: Path, key: Key, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    run("test_outcome", {"url": server.url, "signer": key.digest.hex()}, "failed: The manifest does not say")


def test_a_manifest_that_is_too_long(run, server: ReleaseServer, folder: Path, key: Key) -> None:
    (folder / "manifest.json").write_text(" " * 8193)
    run("test_outcome", {"url": server.url, "signer": key.digest.hex()}, "failed: 8193 bytes")


def test_a_size_that_no_slot_has(run, server: ReleaseServer, folder: Path, key: Key) -> None:
    edit(folder, size=0x180001, sectors=None)
    run("test_outcome", {"url": server.url, "signer": key.digest.hex()}, "refused: takes 1 to 1572864")


@pytest.mark.parametrize("data", [b"", b"1234", struct.pack("<2I", 1, 5), b"\0" * 100_000, None])
def test_without_good_sectors_it_takes_the_whole(run, server, folder: Path, key: Key, data: bytes | None) -> None:
    path = folder / "esp32-ota-1.1.0.crc32"
    path.unlink() if data is None else path.write_bytes(data)
    run("test_takes", {"url": server.url, "signer": key.digest.hex()}, bin_of(folder))


def test_goes_on_where_the_link_broke(run, server: ReleaseServer, folder: Path, key: Key) -> None:
    server.break_after(20_000)
    run("test_takes", {"url": server.url, "signer": key.digest.hex()}, bin_of(folder))
    images = [request for request in server.requests if request.path.endswith(".bin")]
    assert len(images) == 2
    assert images[1].status == 206


def test_no_server(run, key: Key) -> None:
    settings = {"url": "http://127.0.0.1:1/manifest.json", "signer": key.digest.hex()}
    run("test_outcome", settings, "failed: 127.0.0.1 takes no connection", "failed: 127.0.0.1")


def test_pace(run) -> None:
    """Four hours, four more after each failure, up to a day; by the clock where it is set, else by the time since."""
    now, never = 850_000_000, [None, None]
    cases = [
        ({}, now, never, 60),
        ({}, None, never, 60),
        ({"tried": now - 4 * HOUR}, now, never, 60),
        ({"tried": now - HOUR}, now, never, "3"),
        ({"tried": now - HOUR, "failures": 1}, now, never, "7"),
        ({"tried": now - HOUR, "failures": 5}, now, never, "23"),
        ({"tried": now - HOUR, "failures": 90}, now, never, "23"),
        ({"tried": now - HOUR, "begun": 2}, now, never, "3"),
        ({"tried": now - HOUR, "begun": 3}, now, never, "7"),
        ({"tried": now + HOUR}, now, never, 60),
        ({"tried": now - 90 * HOUR}, now, [now - HOUR, 0], "3"),
    ]
    jitter = zlib.crc32(b"\x24\x0a\xc4\x00\x01\x10") % HOUR
    expected = [(*case[:3], int(case[3]) * HOUR + jitter if isinstance(case[3], str) else case[3]) for case in cases]
    for case in expected:  # MicroPython takes no long argument
        run("test_paces", {"url": "http://127.0.0.1:1/m.json"}, json.dumps([case]))
    for settings in ({"url": None}, {"url": "http://127.0.0.1:1/m.json", "hold": True}):
        run("test_paces", settings, json.dumps([({}, now, never, None)]))
    without_time = {"url": "http://127.0.0.1:1/m.json", "window": "02:00-04:00"}
    run("test_paces", without_time, json.dumps([({}, None, never, None)]))


# A repository on GitHub


def test_from_github(run, github, folder: Path, key: Key) -> None:
    with github.GitHub(folder) as hub:
        run("test_takes", {"url": hub.url, "signer": key.digest.hex()}, bin_of(folder))
        assert {one.host for one in hub.asked} == {"api", "assets"}


def test_from_a_private_repository(run, github, folder: Path, key: Key) -> None:
    """The token stays with the API, whose answers lead to another host."""
    with github.GitHub(folder, token="the-secret-one") as hub:
        settings = {"url": hub.url, "signer": key.digest.hex()}
        run("test_outcome", settings, "failed: status 404")
        output = run("test_takes", settings | {"token": "the-secret-one"}, bin_of(folder))
        assert "secret" not in output
        assert any(one.host == "assets" for one in hub.asked)
        assert all("authorization" not in one.headers for one in hub.asked if one.host == "assets")


def test_a_break_on_the_way_from_github(run, github, folder: Path, key: Key) -> None:
    """The board asks the API once more, as the address of an asset is not good for long."""
    edit(folder, sectors=None)
    with github.GitHub(folder, break_after=bin_of(folder).stat().st_size // 2) as hub:
        run("test_takes", {"url": hub.url, "signer": key.digest.hex()}, bin_of(folder))
        hosts = [one.host for one in hub.asked]
    assert hosts == ["api", *["api", "assets"] * 3]  # the release, its manifest, and the image twice


@pytest.mark.parametrize("status", [403, 429])
def test_too_many_questions_for_github(run, github, folder: Path, key: Key, status: int) -> None:
    with github.GitHub(folder, left=0, limit_status=status) as hub:
        run("test_outcome", {"url": hub.url, "signer": key.digest.hex()}, f"failed: status {status}")


# The whole application, over HTTP


@pytest.fixture
def board(interpreter, make_flash, serve, key: Key):
    """A board with 1.0.0 that trusts the key, and goes on instead of a restart."""
    board = serve(interpreter, make_flash(), password=PASSWORD, signer=key.digest.hex(), restarts=0)
    board.log_in(PASSWORD)
    return board


def state(board) -> dict:
    return board.get("/pull", headers=board.bearer).json()["state"]


def configure(board, **settings: object) -> dict:
    answer = board.put("/pull", json={"ntp": None} | settings, headers=board.bearer)
    assert answer.status_code == 200, answer.text
    return answer.json()


def pull(board, wait_until: Callable) -> dict:
    """Have it look, and return what came of that."""
    answer = board.post("/pull", headers=board.bearer)
    assert answer.status_code == 202, answer.text
    wait_until(lambda: state(board)["phase"] == "idle")
    return state(board)


def test_over_http(board, server: ReleaseServer, folder: Path, wait_until: Callable) -> None:
    shown = board.get("/pull", headers=board.bearer).json()
    assert shown.pop("state") == {
        "phase": "idle",
        "outcome": None,
        "cause": None,
        "version": None,
        "tried": None,
        "failures": 0,
        "now": shown_now(board),
        "next": None,
    }
    assert shown == {
        "url": None,
        "certificate": None,
        "has_token": False,
        "window": None,
        "days": None,
        "zone": "UTC0",
        "ntp": "pool.ntp.org",
        "version": None,
        "hold": False,
    }
    assert configure(board, url=server.url, token="a-secret-one")["has_token"] is True
    assert "secret" not in board.get("/pull", headers=board.bearer).text + board.output()
    found = pull(board, wait_until)
    assert (found["outcome"], found["version"], found["failures"]) == ("installed", "1.1.0", 0)
    assert board.records()[1] == (2, otadata.NEW)
    assert '"event": "PULL"' in board.get("/log", headers=board.bearer).text
    assert pull(board, wait_until)["outcome"] == "held"
    assert "Traceback" not in board.output()


def shown_now(board) -> str:
    """The harness's clock is this computer's: whatever the board says, it is close."""
    now = state(board)["now"]
    told = datetime.fromisoformat(now)
    assert abs((datetime.now(UTC) - told).total_seconds()) < 60
    return now


def test_who_may_ask(board, assert_refused) -> None:
    for method in ("get", "put", "post"):
        assert_refused(getattr(board, method)("/pull"), 401, "UNAUTHORIZED")
    assert_refused(board.post("/pull", headers=board.bearer), 409, "NO_SOURCE")


def test_without_signers(interpreter, make_flash, serve, assert_refused) -> None:
    board = serve(interpreter, make_flash(), password=PASSWORD)
    board.log_in(PASSWORD)
    configure(board, url="http://127.0.0.1:1/manifest.json")
    assert_refused(board.post("/pull", headers=board.bearer), 409, "NO_SIGNERS")


BAD = [
    {},
    [],
    {"url": ""},
    {"url": "ftp://a/b"},
    {"url": "http://"},
    {"url": "http:///manifest.json"},
    {"url": "http://user:password@host/m.json"},
    {"url": "http://host/m json"},
    {"url": "http://host/m.json#part"},
    {"url": "http://host/" + "m" * 200},
    {"url": "http://host/\u00e9"},
    {"url": 5},
    {"certificate": "00"},
    {"certificate": "z" * 64},
    {"token": ""},
    {"token": "two words"},
    {"token": "x" * 101},
    {"window": "2-4"},
    {"window": ""},
    {"window": ["02:00-04:00"]},
    {"window": "02:00-04:00", "days": []},
    {"window": "02:00-04:00", "days": ["monday"]},
    {"window": "02:00-04:00", "days": "mon"},
    {"window": "02:00-04:00", "days": [["mon"]]},
    {"window": None},  # with days that stay
    {"zone": "Europe/Berlin"},
    {"zone": None},
    {"zone": 1},
    {"ntp": ""},
    {"ntp": "host:0"},
    {"ntp": "host:x"},
    {"ntp": "two words"},
    {"version": "1.2"},
    {"version": 1},
    {"hold": None},
    {"hold": "yes"},
    {"channel": "staging"},
]


def test_bad_settings_change_nothing(board, assert_refused) -> None:
    before = configure(board, url="http://127.0.0.1:1/m.json", window="02:00-04:00", days=["sun"], zone="CET-1")
    for settings in BAD:
        answer = board.put("/pull", json=settings, headers=board.bearer)
        assert answer.status_code == 400, (settings, answer.text)
        assert_refused(answer, 400, "BAD_BODY" if isinstance(settings, list) else "BAD_SETTING")
    after = configure(board)
    for shown in (before, after):
        shown["state"].pop("now")
    assert after == before
    assert "Traceback" not in board.output()


def test_good_settings(board) -> None:
    for settings in (
        {"url": "https://example.org/m.json?x=1"},
        {"url": "https://api.github.com/repos/owner/name"},
        {"certificate": "AB" * 32},
        {"window": "22:00-02:00", "days": ["sat", "sun"], "zone": "CET-1CEST,M3.5.0,M10.5.0/3"},
        {"days": None},
        {"window": None},
        {"ntp": "192.168.1.1:1123"},
        {"version": "1.2.0-rc.1", "hold": True},
        {"version": None, "hold": False},
        {"url": None},
    ):
        shown = configure(board, **settings)
        assert {name: shown[name] for name in settings} == settings


def test_a_token_goes_to_no_other_server(board) -> None:
    """Whoever is logged in could else have the board send it to a server of his own."""
    for change in (
        {"url": "http://example.org/repos/o/n"},
        {"certificate": "ab" * 32},
        {"url": None},
    ):
        assert configure(board, url="https://example.org/repos/o/n", certificate=None, token="secret")["has_token"]
        assert configure(board, url="https://example.org/repos/o/n", hold=True)["has_token"]
        assert not configure(board, **change)["has_token"]
        assert configure(board, **change, token="another")["has_token"]


def test_looks_that_fail_do_not_use_up_the_memory(board, server: ReleaseServer, folder: Path, wait_until) -> None:
    """Each downloads all of an image whose digest is another one; once it is right it is taken."""
    right = bin_of(folder).read_bytes()
    bin_of(folder).write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    edit(folder, sectors=None)
    configure(board, url=server.url)
    for number in range(1, 6):
        found = pull(board, wait_until)
        assert (found["outcome"], found["failures"]) == ("refused", number)
    bin_of(folder).write_bytes(right)
    outcomes = [pull(board, wait_until)["outcome"]]
    while outcomes[-1] == "refused" and len(outcomes) < 3:  # a heap in pieces has no place for a buffer now and then
        outcomes.append(pull(board, wait_until)["outcome"])
    assert outcomes[-1] == "installed"


def test_an_upload_meanwhile_is_refused(board, server, folder, wait_until, make_image, key, assert_refused):
    configure(board, url=server.url)
    head = board.start_upload(100_000, b"")
    with head:
        wait_until(lambda: board.progress()["phase"] != "idle")
        assert_refused(board.post("/pull", headers=board.bearer), 409, "UPDATE_ERROR_BUSY")
    wait_until(lambda: board.progress()["phase"] == "idle")
    assert pull(board, wait_until)["outcome"] == "installed"


DAMAGED = ["{", "5", "null", "[1]", '{"url": "http://127.0.0.1:1/m.json", "window": 5}', '{"url": 5, "zone": "?"}']


@pytest.mark.parametrize("stored", DAMAGED)
def test_a_board_serves_whatever_nvs_holds(interpreter, make_flash, serve, stored: str) -> None:
    """What is damaged is replaced by the next PUT."""
    board = serve(interpreter, make_flash(), password=PASSWORD, pull=stored, tell=stored)
    board.log_in(PASSWORD)
    if not stored.startswith('{"'):
        assert board.get("/pull", headers=board.bearer).json()["url"] is None
        assert board.get("/tell", headers=board.bearer).json() == {"mqtt": None, "webhook": None, "problem": None}
    shown = configure(board, url="http://127.0.0.1:1/m.json", window="02:00-04:00", zone="UTC0")
    assert (shown["window"], shown["state"]["next"] is None) == ("02:00-04:00", False)


def test_a_page_in_place_of_the_file_shuts_nothing_out(board, server, folder: Path, wait_until: Callable) -> None:
    """As from a network that wants a login first; the digest is that of the right file."""
    right = bin_of(folder).read_bytes()
    edit(folder, sectors=None)
    bin_of(folder).write_bytes(b"<html>".ljust(len(right)))
    configure(board, url=server.url)
    found = pull(board, wait_until)
    assert (found["outcome"], "no app image" in found["cause"]) == ("refused", True)
    bin_of(folder).write_bytes(right)
    assert pull(board, wait_until)["outcome"] == "installed"


def test_the_token_is_for_one_server(board) -> None:
    """Who is logged in cannot have it sent to himself."""
    url, pin = "https://api.github.com/repos/owner/name", "ab" * 32
    for change in ({"url": "https://example.org/repos/owner/name"}, {"url": url.replace("https", "http")}):
        assert configure(board, url=url, token="a-secret-one", certificate=None)["has_token"] is True
        assert configure(board, url=url + "2")["has_token"] is True
        assert configure(board, **change)["has_token"] is False
        assert configure(board, url=url)["has_token"] is False
    assert configure(board, url=url, token="a-secret-one", certificate=pin)["has_token"] is True
    assert configure(board, certificate=None)["has_token"] is False


class Gone(SimpleHTTPRequestHandler):
    """A server that has half of an image, and then none."""

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.suffix != ".bin":
            return super().do_GET()
        if self.server.is_asked:
            return self.send_error(404)
        self.server.is_asked = True
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        return None


def test_what_broke_off_is_told_as_the_last_update(board, folder: Path, wait_until: Callable) -> None:
    edit(folder, sectors=None)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Gone, directory=folder)) as gone:
        gone.is_asked = False
        threading.Thread(target=gone.serve_forever, args=[0.05], daemon=True).start()
        configure(board, url=f"http://127.0.0.1:{gone.server_port}/manifest.json")
        found = pull(board, wait_until)
        gone.shutdown()
    assert (found["outcome"], "404" in found["cause"]) == ("failed", True)
    last = board.get("/info").json()["last_update"]
    assert (last["version"], last["outcome"], last["cause"]) == ("1.1.0", "refused", "UPDATE_ERROR_ABORT")


# What it takes, for benchmarks/


@pytest.fixture
def compiled(compiled):
    """A look for an update finds more room on a chip, see `interpreter`."""
    return replace(compiled, command=tuple(part.replace("=120wk", "=148wk") for part in compiled.command))


@pytest.fixture
def timed(compiled, make_flash, serve, key: Key, large, wait_until) -> Callable[..., float]:
    """Function that returns the seconds of one update over a flash that costs nothing: a fetch, or else an upload."""

    def seconds_of(board, server: ReleaseServer) -> float:
        """From its first question to the end; polled often, and not over HTTP, which the board would have to answer."""
        before = len(server.requests)
        assert board.post("/pull", headers=board.bearer).status_code == 202
        wait_until(lambda: len(server.requests) > before, pause=0.002)
        started = time.perf_counter()
        wait_until(lambda: "Fetching: installed" in board.output(), pause=0.002)
        return time.perf_counter() - started

    def run(data: bytes = b"", slot_1: bytes = b"", server: ReleaseServer | None = None, **settings: object) -> float:
        flash = make_flash(slot_0=large("1.0.0").data, slot_1=slot_1)
        options = {"password": PASSWORD, "signer": key.digest.hex(), "restarts": 0}
        board = serve(compiled, flash, body="free_flash", **options)
        board.log_in(PASSWORD)
        if server:
            configure(board, url=server.url, **settings)
            took = seconds_of(board, server)
        else:
            started = time.perf_counter()
            assert board.update(data).status_code == 200
            took = time.perf_counter() - started
        board.stop()
        return took

    return run


def test_fetches_and_uploads(timed, large, key: Key, tmp_path: Path, record_property: Callable) -> None:
    """Seconds of three each: uploads, and fetches of the whole, by TLS, and of the few sectors that a slot lacks."""
    image = large("1.1.0").sign(key)
    for name in ("whole", "changed"):
        release(image, tmp_path / name, "First.")
    edit(tmp_path / "whole", sectors=None)
    slot = image.data[:-8192] + bytes(4096) + image.data[-4096:]
    certificate = new_certificate("releases", "127.0.0.1")
    took = {name: [] for name in ("upload", "whole", "changed", "tls")}
    with (
        serve_releases(tmp_path / "whole") as whole,
        serve_releases(tmp_path / "changed") as changed,
        serve_releases(tmp_path / "whole", certificate=certificate) as tls,
    ):
        for _ in range(3):
            took["upload"].append(timed(image.data))
            took["whole"].append(timed(server=whole))
            took["changed"].append(timed(slot_1=slot, server=changed))
            took["tls"].append(timed(server=tls, certificate=certificate.pin.replace(":", "").lower()))
    record_property("seconds", json.dumps(took))
