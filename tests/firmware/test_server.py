"""The whole application over HTTP: asyncio, microdot and the updater, on both interpreters."""

import base64
import hashlib
import socket
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import requests

from kit import otadata
from kit.standin import image_set
from kit.update_image import UpdateImage, build

PASSWORD, WIFI_PASSWORD = "a password of our own", "virtual-password"
WRONG_DIGESTS = (
    ("x-MD5", "0" * 32),
    ("x-MD5", "zz"),
    ("x-MD5", ""),
    ("Content-Digest", "sha-256=:AAAA:"),
    ("Content-Digest", "sha-256=::"),
    ("Content-Digest", "sha-256="),
)
VALID, PENDING_VERIFY, NEW = otadata.VALID, otadata.PENDING_VERIFY, otadata.NEW
OTADATA, OTA_0, OTA_1 = 0xD000, 0x10000, 0x190000
BOTH = [(1, VALID), (2, PENDING_VERIFY)]


@pytest.fixture(scope="session")
def large() -> Callable[[str], UpdateImage]:
    """Function that builds an update image of real size: 1.25 MB of app image, and the kit's own application."""
    base = image_set()
    return cache(lambda version: build(version, base=base))


@pytest.fixture
def board(interpreter, make_flash, serve):
    """A running board with version 1.0.0 and an OTA password."""
    return serve(interpreter, make_flash(), PASSWORD)


def content_digest(data: bytes) -> dict[str, str]:
    return {"Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"}


def records(flash: Path) -> list[tuple[int, int]]:
    with flash.open("rb") as file:
        file.seek(OTADATA)
        return [(record.seq, record.state) for record in otadata.parse(file.read(otadata.SIZE))]


def assert_refused(response: requests.Response, status: int, error: str) -> None:
    assert response.status_code == status, response.text
    answer = response.json()
    assert answer["error"] == error
    assert answer["message"].endswith(".")
    assert answer["advice"].endswith(".")


def test_info(board, make_image) -> None:
    info = board.get("/info").json()
    assert info["version"] == "1.0.0"
    assert info["name"] == "kit-stand-in"
    assert info["chip"] == "ESP32 (virtual)"
    assert (info["running"], info["boot"], info["next"], info["image_state"]) == ("ota_0", "ota_0", "ota_1", "VALID")
    assert info["ip"] == "127.0.0.1"
    assert info["hostname"] == "esp32-ota"
    assert info["reset_cause"] == "PWRON_RESET"
    assert info["rssi"] < 0
    assert info["free_heap"] > 0
    assert info["uptime"] >= 0
    assert info["free_sketch_space"] == 0x180000
    assert info["sketch_size"] == make_image("1.0.0").size
    assert info["build"].startswith("20")


def test_page(board) -> None:
    response = board.get("/")
    assert response.headers["Content-Type"] == "text/html; charset=UTF-8"
    colour = (Path(__file__).parents[2] / "firmware/app/page.py").read_text().split('COLOUR = "')[1].split('"')[0]
    for text in (f"background: {colour}", "1.0.0", "127.0.0.1", "dBm", 'action="/login"'):
        assert text in response.text


def test_login(board) -> None:
    wrong = board.post("/login", json={"password": "guess"})
    assert (wrong.status_code, wrong.text) == (401, "Invalid password!")
    broken = {"data": b"{", "headers": {"Content-Type": "application/json"}}
    surrogate = broken | {"data": b'{"password": "\\ud800"}'}
    deep = broken | {"data": b"[" * 1000}
    long = {"json": {"password": "x" * 2000}}
    for body in (broken, surrogate, deep, long, {"json": [1]}, {"json": {"password": 1}}, {"data": {"x": "y"}}, {}):
        assert board.post("/login", **body).status_code == 401
    for body in ({"json": {"password": PASSWORD}}, {"data": {"password": PASSWORD}}):
        response = board.post("/login", **body)
        assert response.json()["expires_in"] == 300
        assert len(response.json()["token"]) == 32
        cookie = response.headers["Set-Cookie"]
        assert cookie.startswith(f"token={response.json()['token']};")
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Max-Age=300" in cookie
        assert board.get("/progress", cookies={"token": response.json()["token"]}).status_code == 200


def test_login_by_a_browser(board) -> None:
    form = {"data": {"password": PASSWORD}, "headers": {"Accept": "text/html"}}
    response = board.post("/login", allow_redirects=False, **form)
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    token = response.headers["Set-Cookie"].split(";")[0].partition("=")[2]
    assert "You are logged in" in board.get("/", cookies={"token": token}).text


def test_strangers(board, image_file: Path) -> None:
    for headers in ({}, {"Authorization": "Bearer " + "0" * 32}, {"Authorization": "Basic eDp5"}):
        assert_refused(board.get("/progress", headers=headers), 401, "UNAUTHORIZED")
        assert_refused(board.post("/update", data=image_file.read_bytes(), headers=headers), 401, "UNAUTHORIZED")


def test_default_password(interpreter, make_flash, serve, image_file: Path) -> None:
    board = serve(interpreter, make_flash(), "")
    board.log_in("admin123")
    assert_refused(board.update(image_file.read_bytes()), 403, "UPDATE_ERROR_PASSWORD")


def test_change_of_password(interpreter, make_flash, serve, image_file: Path) -> None:
    board = serve(interpreter, make_flash(), "")
    change = {"password": "admin123", "new": PASSWORD}
    assert_refused(board.post("/password", data=change), 401, "UNAUTHORIZED")
    board.log_in("admin123")
    cookie = {"cookies": {"token": board.token}}
    wrong = board.post("/password", data=change | {"password": "guess"}, **cookie)
    assert (wrong.status_code, wrong.text) == (401, "Invalid password!")
    for new in ("short", "admin123", "x" * 65, ""):
        assert_refused(board.post("/password", data=change | {"new": new}, **cookie), 400, "BAD_PASSWORD")
    assert_refused(board.update(image_file.read_bytes()), 403, "UPDATE_ERROR_PASSWORD")
    assert board.post("/password", data=change, **cookie).status_code == 200
    assert_refused(board.update(image_file.read_bytes()), 401, "UNAUTHORIZED")  # every token is forgotten
    assert board.post("/login", data={"password": "admin123"}).status_code == 401
    board.log_in(PASSWORD)
    assert board.update(image_file.read_bytes()).status_code == 200
    assert PASSWORD not in board.output()


def test_update_of_real_size(interpreter, make_flash, serve, large) -> None:
    """1.4 MB through the web server into flash, the restart, and the new version's self-test."""
    new = large("1.1.0")
    assert new.size > 1_350_000
    flash = make_flash(slot_0=large("1.0.0").data)
    board = serve(interpreter, flash, PASSWORD)
    board.log_in(PASSWORD)
    response = board.update(new.data, headers=content_digest(new.data) | {"x-MD5": new.md5})
    assert response.status_code == 200, board.output()
    answer = response.json()
    assert (answer["slot"], answer["version"], answer["bytes"]) == ("ota_1", "1.1.0", new.size)
    assert set(answer["seconds"]) == {"receive", "write", "verify", "commit"}

    assert board.wait() == 42, board.output()  # machine.reset
    assert records(flash) == [(1, VALID), (2, NEW)]
    data = flash.read_bytes()
    assert data[OTA_1 : OTA_1 + new.size] == new.data
    for line in ("Progress: 10%", "Progress: 100%", f"Update Success: {new.size} bytes", "Rebooting...", "RESET 2"):
        assert line in board.output().splitlines()

    with flash.open("r+b") as file:  # what the bootloader does
        file.seek(OTADATA + 0x1000)
        file.write(otadata.pack(2, PENDING_VERIFY))
    board = serve(interpreter, flash, PASSWORD, OTA_1)
    board.wait_for("Update confirmed")
    info = board.get("/info").json()
    assert (info["version"], info["running"], info["image_state"]) == ("1.1.0", "ota_1", "VALID")
    assert records(flash) == [(1, VALID), (2, VALID)]
    lines = board.output().splitlines()
    assert "Firmware Version: 1.1.0" in lines
    assert "URL: http://127.0.0.1" in lines
    assert PASSWORD not in board.output()
    assert WIFI_PASSWORD not in board.output()


def test_refused_image_is_read_to_its_end(board, large) -> None:
    """1.4 MB that are refused at their first bytes: the client still gets the answer."""
    board.log_in(PASSWORD)
    assert_refused(board.update(b"\x7f" + large("1.1.0").data[1:]), 415, "UPDATE_ERROR_MAGIC_BYTE")
    assert_refused(board.update(bytes(3_000_000)), 413, "UPDATE_ERROR_SIZE")
    assert board.progress()["error"] == "UPDATE_ERROR_SIZE"


def test_refusals(board, make_image, image_file: Path) -> None:
    data = image_file.read_bytes()
    board.log_in(PASSWORD)
    assert_refused(board.update(b""), 413, "UPDATE_ERROR_SIZE")
    assert_refused(board.update(b"hello"), 415, "UPDATE_ERROR_MAGIC_BYTE")
    assert_refused(board.update(make_image("1.0.0").data), 409, "UPDATE_ERROR_VERSION")
    for name, value in WRONG_DIGESTS:
        assert_refused(board.update(data, headers={name: value}), 422, "UPDATE_ERROR_MD5")
    assert_refused(board.update(iter([data])), 411, "UPDATE_ERROR_SIZE")  # chunked
    assert records(board.flash) == [(1, VALID), (0xFFFFFFFF, 0xFFFFFFFF)]
    cookie = {"cookies": {"token": board.token}}
    board.log_in(PASSWORD)
    assert board.post("/password", data={"password": PASSWORD, "new": PASSWORD + "!"}, **cookie).status_code == 200
    assert board.get("/progress", **cookie).status_code == 401  # its uploads have ended
    basic = {"auth": ("admin", PASSWORD + "!"), "headers": {"Content-Digest": "sha-512=:of a kind not ours:"}}
    assert board.post("/update?force=1", data=make_image("1.0.0").data, **basic).json()["version"] == "1.0.0"


def start_upload(board, size: int, data: bytes, *headers: str) -> socket.socket:
    """Send the head of a POST /update, and a part of its body."""
    connection = socket.create_connection(("127.0.0.1", board.port), timeout=20)
    lines = ("POST /update HTTP/1.1", f"Content-Length: {size}", f"Authorization: Bearer {board.token}", *headers)
    connection.sendall("\r\n".join((*lines, "", "")).encode() + data)
    return connection


def test_dropped_upload(board, large, image_file: Path) -> None:
    """The old version goes on serving, and the next upload works."""
    data = large("1.1.0").data
    board.log_in(PASSWORD)
    connection = start_upload(board, len(data), data[:500_000])
    board.wait_until(lambda progress: progress["written"] > 300_000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
    connection.close()
    board.wait_until(lambda progress: progress["error"] == "UPDATE_ERROR_ABORT" and progress["phase"] == "idle")
    assert board.get("/info").json()["version"] == "1.0.0"
    assert records(board.flash) == [(1, VALID), (0xFFFFFFFF, 0xFFFFFFFF)]
    assert board.update(image_file.read_bytes()).json()["slot"] == "ota_1"


def test_small_bodies_follow_the_same_rules(interpreter, make_flash, serve) -> None:
    board = serve(interpreter, make_flash(), PASSWORD, OTA_0, WIFI_PASSWORD, 60, 0.5)
    board.log_in(PASSWORD)
    for path in ("/login", "/update"):
        with socket.create_connection(("127.0.0.1", board.port), timeout=20) as stalled:
            lines = (f"POST {path} HTTP/1.1", "Content-Length: 500", f"Authorization: Bearer {board.token}")
            stalled.sendall("\r\n".join((*lines, "", "")).encode() + b"short")
            assert (b"401" if path == "/login" else b"UPDATE_ERROR_ABORT") in stalled.makefile("rb").read()
    with start_upload(board, 300, b"\xe9" * 100) as cut:
        cut.shutdown(socket.SHUT_WR)
        assert b"UPDATE_ERROR_ABORT" in cut.makefile("rb").read()
    body = b"password=guess"
    head = f"POST /login HTTP/1.1\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", board.port), timeout=20) as polite:
        polite.sendall(head.encode())
        assert polite.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        polite.sendall(body)
        assert b"401" in polite.makefile("rb").readline()


def test_stalled_upload(interpreter, make_flash, serve, large) -> None:
    """A client that stays, and sends nothing more, does not hold the updater."""
    board = serve(interpreter, make_flash(), PASSWORD, OTA_0, WIFI_PASSWORD, 60, 0.3)
    board.log_in(PASSWORD)
    data = large("1.1.0").data
    with start_upload(board, len(data), data[:100_000]) as connection:
        assert b" 400 " in connection.recv(100)
        assert board.progress()["error"] == "UPDATE_ERROR_ABORT"


def test_busy(board, large, image_file: Path) -> None:
    data = large("1.1.0").data
    board.log_in(PASSWORD)
    with start_upload(board, len(data), data[:100_000]):
        board.wait_until(lambda progress: progress["phase"] == "write")
        assert_refused(board.update(image_file.read_bytes()), 409, "UPDATE_ERROR_BUSY")
        assert board.progress()["phase"] == "write"
        assert board.progress()["error"] is None
    board.wait_until(lambda progress: progress["phase"] == "idle")


def test_expect_100_continue(board, image_file: Path) -> None:
    """curl asks before it sends a large body."""
    data = image_file.read_bytes()
    board.log_in(PASSWORD)
    with start_upload(board, len(data), b"", "Expect: 100-continue") as connection:
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(data)
        assert b" 200 " in connection.recv(100)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([(1, PENDING_VERIFY)], (1, VALID)),
        ([(1, NEW)], (1, VALID)),
        # not the boot slot: confirming would make the *other* slot valid, which the bootloader refused
        ([(1, PENDING_VERIFY), (2, PENDING_VERIFY)], (1, PENDING_VERIFY)),
        ([(1, VALID), (2, PENDING_VERIFY)], (1, VALID)),
    ],
)
def test_confirms_only_what_runs(before: list, after: tuple, interpreter, make_flash, serve) -> None:
    board = serve(interpreter, make_flash(*before), PASSWORD)
    state = board.get("/info").json()["image_state"]
    if len(before) == 1:
        board.wait_for("Update confirmed")
        state = board.get("/info").json()["image_state"]
    assert state == ("PENDING_VERIFY" if after[1] == PENDING_VERIFY else "VALID")
    assert records(board.flash)[0] == after
    assert before[1:] in ([], [records(board.flash)[1]])
    assert ("Update confirmed" in board.output()) == (len(before) == 1)


def test_unconfirmed_without_wifi_resets(interpreter, make_flash) -> None:
    flash = make_flash((2, PENDING_VERIFY))
    done = interpreter.run("serve", "serve", flash, 80, PASSWORD, OTA_1, "another password", 0.5)
    assert done.code == 42, done.output
    assert "Self-test failed: no answer within 0.5 s" in done.output
    assert records(flash)[0] == (2, PENDING_VERIFY)


def test_begins_its_self_test(interpreter, make_flash, serve) -> None:
    """The starts that failed are forgotten, also where there is no Wi-Fi."""
    flash = make_flash()
    interpreter.run("boots", "set_count", flash, 2)
    serve(interpreter, flash, "", OTA_0, "another password", until="Connecting to WiFi")
    assert interpreter.run("boots", "expect_count", flash, 0).code == 0


@pytest.mark.parametrize(("record", "code", "count"), [((1, VALID), 0, 0), ((1, PENDING_VERIFY), 42, 2)])
def test_without_settings(record: tuple, code: int, count: int, interpreter, make_flash) -> None:
    """Once confirmed, the REPL opens and the start does not count; before that it has failed."""
    flash = make_flash(record)
    interpreter.run("boots", "set_count", flash, 2)
    done = interpreter.run("serve", "run_without_settings", flash, OTA_0)
    assert done.code == code, done.output
    assert "No Wi-Fi network is set" in done.output
    assert interpreter.run("boots", "expect_count", flash, count).code == 0
