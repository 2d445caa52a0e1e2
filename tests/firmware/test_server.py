"""The whole application over HTTP: asyncio, microdot and the updater, on both interpreters."""

import base64
import hashlib
import socket
import struct
from pathlib import Path

import requests

from kit import otadata

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
OTADATA, OTA_1 = 0xD000, 0x190000


def content_digest(data: bytes) -> dict[str, str]:
    return {"Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"}


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
    board = serve(interpreter, make_flash())
    board.log_in("admin123")
    assert_refused(board.update(image_file.read_bytes()), 403, "UPDATE_ERROR_PASSWORD")


def test_change_of_password(interpreter, make_flash, serve, image_file: Path) -> None:
    board = serve(interpreter, make_flash())
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
    board = serve(interpreter, flash, password=PASSWORD)
    board.log_in(PASSWORD)
    response = board.update(new.data, headers=content_digest(new.data) | {"x-MD5": new.md5})
    assert response.status_code == 200, board.output()
    answer = response.json()
    assert (answer["slot"], answer["version"], answer["bytes"]) == ("ota_1", "1.1.0", new.size)
    assert set(answer["seconds"]) == {"receive", "write", "verify", "commit"}

    assert board.wait() == 42, board.output()  # machine.reset
    assert board.records() == [(1, VALID), (2, NEW)]
    data = flash.read_bytes()
    assert data[OTA_1 : OTA_1 + new.size] == new.data
    for line in ("Progress: 10%", "Progress: 100%", f"Update Success: {new.size} bytes", "Rebooting...", "RESET 2"):
        assert line in board.output().splitlines()

    with flash.open("r+b") as file:  # what the bootloader does
        file.seek(OTADATA + 0x1000)
        file.write(otadata.pack(2, PENDING_VERIFY))
    board = serve(interpreter, flash, password=PASSWORD, running=OTA_1)
    board.wait_for("Update confirmed")
    info = board.get("/info").json()
    assert (info["version"], info["running"], info["image_state"]) == ("1.1.0", "ota_1", "VALID")
    assert board.records() == [(1, VALID), (2, VALID)]
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
    assert board.records() == [(1, VALID), (0xFFFFFFFF, 0xFFFFFFFF)]
    cookie = {"cookies": {"token": board.token}}
    board.log_in(PASSWORD)
    assert board.post("/password", data={"password": PASSWORD, "new": PASSWORD + "!"}, **cookie).status_code == 200
    assert board.get("/progress", **cookie).status_code == 401  # its uploads have ended
    basic = {"auth": ("admin", PASSWORD + "!"), "headers": {"Content-Digest": "sha-512=:of a kind not ours:"}}
    assert board.post("/update?force=1", data=make_image("1.0.0").data, **basic).json()["version"] == "1.0.0"


def test_dropped_upload(board, large, image_file: Path) -> None:
    """The old version goes on serving, and the next upload works."""
    data = large("1.1.0").data
    board.log_in(PASSWORD)
    connection = board.start_upload(len(data), data[:500_000])
    board.wait_until(lambda progress: progress["written"] > 300_000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
    connection.close()
    board.wait_until(lambda progress: progress["error"] == "UPDATE_ERROR_ABORT" and progress["phase"] == "idle")
    assert board.get("/info").json()["version"] == "1.0.0"
    assert board.records() == [(1, VALID), (0xFFFFFFFF, 0xFFFFFFFF)]
    assert board.update(image_file.read_bytes()).json()["slot"] == "ota_1"


def test_stalled_upload(interpreter, make_flash, serve, large) -> None:
    """A client that stays, and sends nothing more, does not hold the updater."""
    board = serve(interpreter, make_flash(), password=PASSWORD, stall=0.3)
    board.log_in(PASSWORD)
    data = large("1.1.0").data
    with board.start_upload(len(data), data[:100_000]) as connection:
        assert b" 400 " in connection.recv(100)
        assert board.progress()["error"] == "UPDATE_ERROR_ABORT"


def test_busy(board, large, image_file: Path) -> None:
    data = large("1.1.0").data
    board.log_in(PASSWORD)
    with board.start_upload(len(data), data[:100_000]):
        board.wait_until(lambda progress: progress["phase"] == "write")
        assert_refused(board.update(image_file.read_bytes()), 409, "UPDATE_ERROR_BUSY")
        assert board.progress()["phase"] == "write"
        assert board.progress()["error"] is None
    board.wait_until(lambda progress: progress["phase"] == "idle")


def test_expect_100_continue(board, image_file: Path) -> None:
    """curl asks before it sends a large body."""
    data = image_file.read_bytes()
    board.log_in(PASSWORD)
    with board.start_upload(len(data), b"", "Expect: 100-continue") as connection:
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(data)
        assert b" 200 " in connection.recv(100)
