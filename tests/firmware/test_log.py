"""The audit log over HTTP: what each event says, who may read it, and what never comes to stand in it.

bodies/audits.py has the files behind it. /info and the pages tell what became of the last update.
"""

import http.client
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.image import otadata
from kit.image.app_image import with_descriptor
from kit.image.update_image import UpdateImage

PASSWORD, WIFI_PASSWORD = "a password of our own", "virtual-password"
NEW, PENDING_VERIFY, VALID = otadata.NEW, otadata.PENDING_VERIFY, otadata.VALID
OTADATA, OTA_1 = 0xD000, 0x190000
ALWAYS = {"boot", "uptime", "event"}
EVENTS = {"LOGIN_SUCCESS", "LOGIN_FAILED", "LOCKED_OUT", "PASSWORD", "CONFIG", "RESTART", "CONFIRMED", "ROLLED_BACK"}
EVENTS |= {"UPDATE_START", "UPDATE_COMPLETE", "UPDATE_REFUSED"}
FORGED = '"}\n{"event": "CONFIRMED"'
FORGED_VERSION = '1.1.0"}\n{"event":"CONFIRMED"}'  # an app descriptor has 31 bytes for it
HTML = {"Accept": "text/html"}


def text_of(board) -> str:
    answer = board.get("/log", headers=board.bearer)
    assert answer.status_code == 200, answer.text
    return answer.content.decode()


def entries(text: str) -> list[dict]:
    """The lines of a log, each a whole one: the object in it."""
    assert text.endswith("\n")
    found = [json.loads(line) for line in text.removesuffix("\n").split("\n")]
    assert all(entry.keys() >= ALWAYS and entry["event"] in EVENTS for entry in found), found
    return found


@pytest.fixture
def origin() -> dict[str, str]:
    """What a line says of its client."""
    return {"address": "127.0.0.1"}


def events(board, *names: str) -> list[dict]:
    """The lines of some events, without what every line has and without the clock."""
    found = entries(text_of(board))
    assert all(type(entry["boot"]) is int and 0 <= entry["uptime"] < 600 for entry in found)
    kept = [entry for entry in found if entry["event"] in names]
    return [{key: value for key, value in entry.items() if key not in {"boot", "uptime", "time"}} for entry in kept]


@pytest.fixture
def staying(interpreter, make_flash, serve):
    """A board that goes on where others restart; logged in."""
    board = serve(interpreter, make_flash(), password=PASSWORD, restarts=0)
    board.log_in(PASSWORD)
    return board


def again(board, interpreter, serve, **options):
    """The board after its restart; logged in."""
    assert board.wait() == 42, board.output()
    board = serve(interpreter, board.flash, **options)
    board.log_in(PASSWORD)
    return board


# What each event says


def test_logins(staying, origin: dict[str, str]) -> None:
    """Whatever the door. The first of a kind stands there at once, those that follow are counted."""
    for _ in range(2):
        assert staying.post("/login", data={"password": "guess"}).status_code == 401
    assert staying.get("/progress", auth=("admin", "guess")).status_code == 401
    staying.log_in(PASSWORD)
    assert staying.get("/progress", auth=("admin", PASSWORD)).status_code == 200
    good, bad = ({"event": event} | origin for event in ("LOGIN_SUCCESS", "LOGIN_FAILED"))
    found = events(staying, "LOGIN_SUCCESS", "LOGIN_FAILED")
    assert found[:2] == [good, bad]
    assert sorted(found[2:], key=lambda entry: entry["event"]) == [bad | {"count": 2}, good | {"count": 2}]


def test_who_breaks_off_has_not_failed(staying) -> None:
    assert staying.post("/login").status_code == 401
    assert events(staying, "LOGIN_FAILED", "LOCKED_OUT") == []


def test_a_lock_out(staying, origin: dict[str, str]) -> None:
    for _ in range(5):
        assert staying.post("/login", data={"password": "guess"}).status_code == 401
    for _ in range(3):
        assert staying.post("/login", data={"password": PASSWORD}).status_code == 429
    locked = {"event": "LOCKED_OUT"} | origin
    assert events(staying, "LOCKED_OUT") == [locked, locked | {"count": 2}]
    assert [entry.get("count") for entry in events(staying, "LOGIN_FAILED")] == [None, 4]


def test_another_password(staying, origin: dict[str, str]) -> None:
    for new, status in (("short", 400), (PASSWORD + "!", 200)):
        change = {"password": PASSWORD, "new": new}
        assert staying.post("/password", data=change, headers=staying.bearer).status_code == status
    staying.log_in(PASSWORD + "!")
    assert events(staying, "PASSWORD") == [{"event": "PASSWORD"} | origin]


def test_settings(staying, origin: dict[str, str]) -> None:
    """Their names; of what was refused nothing."""
    for wanted, status in (
        ({"wifi_password": "another secret", "hostname": "a-name-of-ours"}, 200),
        ({"pins": {"led": 4}}, 200),
        ({"hostname": "not a name"}, 400),
        ({"no-such-setting": 1}, 400),
    ):
        assert staying.put("/config", json=wanted, headers=staying.bearer).status_code == status
    found = events(staying, "CONFIG")
    assert found == [
        {"event": "CONFIG", "settings": "hostname, wifi_password"} | origin,
        {"event": "CONFIG", "settings": "pins"} | origin,
    ]
    assert not any(value in text_of(staying) for value in ("another secret", "a-name-of-ours", "no-such-setting"))


def test_a_restart(board, interpreter, serve, origin: dict[str, str]) -> None:
    """It is there after it, with all that was before it."""
    for _ in range(3):
        board.log_in(PASSWORD)
    assert board.post("/restart", headers=board.bearer).status_code == 200
    board = again(board, interpreter, serve)
    login = {"event": "LOGIN_SUCCESS"} | origin
    restart = {"event": "RESTART"} | origin
    assert events(board, "RESTART", "LOGIN_SUCCESS") == [login, restart, login | {"count": 2}, login]


def test_an_update_and_its_probation(board, interpreter, serve, make_image, origin: dict[str, str]) -> None:
    image = make_image("1.1.0")
    board.log_in(PASSWORD)
    seconds = board.update(image.data).json()["seconds"]
    assert board.wait() == 42
    confirm_at_the_next_start(board.flash)
    board = again(board, interpreter, serve, running=OTA_1)
    start, complete, confirmed = events(board, "UPDATE_START", "UPDATE_COMPLETE", "CONFIRMED")
    what = {"version": "1.1.0", "slot": "ota_1"}
    assert start == {"event": "UPDATE_START", "bytes": image.size} | what | origin
    assert complete.pop("seconds") == pytest.approx(sum(seconds.values()), abs=0.002)
    assert complete == {"event": "UPDATE_COMPLETE", "bytes": image.size} | what | origin
    assert confirmed == {"event": "CONFIRMED"} | what


def confirm_at_the_next_start(flash: Path) -> None:
    """Start the new version on probation, as the bootloader does."""
    with flash.open("r+b") as file:
        file.seek(OTADATA + 0x1000)
        file.write(otadata.pack(2, PENDING_VERIFY))


def test_refused_updates(staying, make_image, origin: dict[str, str]) -> None:
    """Version and slot stand there only where the board had begun to write."""
    good = make_image("1.1.0")
    for data, error in (
        (b"", "SIZE"),
        (b"hello", "MAGIC_BYTE"),
        (make_image("1.0.0").data, "VERSION"),
        (good.data[:-4096], "ACTIVATE"),
        (good.data[:-4096], "ACTIVATE"),
    ):
        assert staying.update(data).json()["error"] == f"UPDATE_ERROR_{error}"
    assert staying.update(good.data, {"x-MD5": "0" * 32}).json()["error"] == "UPDATE_ERROR_MD5"
    assert staying.update(good.data, {"x-MD5": "?"}).json()["error"] == "UPDATE_ERROR_MD5"
    patch = {"If-Match": '"of another start"', "Content-Type": f"application/vnd.esp32-sectors; size={good.size}"}
    patch |= {"Repr-Digest": f"sha-256=:{'A' * 43}=:"}
    assert staying.patch("/update", data=b"", headers=patch | staying.bearer).json()["error"] == "UPDATE_ERROR_BASE"
    assert staying.post("/update", data=good.data).status_code == 401  # whoever that was has announced nothing

    found = [(entry.pop("error").removeprefix("UPDATE_ERROR_"), entry) for entry in events(staying, "UPDATE_REFUSED")]
    refused = {"event": "UPDATE_REFUSED"} | origin
    early = [error for error, rest in found if rest == refused]  # within a second these come first
    late = [(error, rest.pop("bytes")) for error, rest in found if "version" in rest]
    assert early == ["SIZE", "MAGIC_BYTE", "VERSION", "MD5", "BASE"]
    assert late == [("ACTIVATE", good.size - 4096)] * 2 + [("MD5", good.size)]
    assert len(early) + len(late) == len(found)
    assert all(rest == refused | {"version": "1.1.0", "slot": "ota_1"} for _, rest in found if rest != refused)


def test_many_small_refusals_are_counted(staying) -> None:
    for _ in range(20):
        assert staying.update(b"hello").status_code == 415
    assert [entry.get("count") for entry in events(staying, "UPDATE_REFUSED")] == [None, 19]


def test_going_back(interpreter, make_flash, make_image, serve, origin: dict[str, str]) -> None:
    """RESTART says where to."""
    flash = make_flash((1, VALID), (2, VALID), slot_1=make_image("1.1.0").data)
    board = serve(interpreter, flash, password=PASSWORD, running=OTA_1, restarts=0)
    board.log_in(PASSWORD)
    assert board.post("/rollback", headers=board.bearer).status_code == 200
    assert events(board, "RESTART") == [{"event": "RESTART", "version": "1.0.0", "slot": "ota_0"} | origin]


# Who may read it, and how it comes


@pytest.fixture
def long_log(interpreter, make_flash, serve) -> tuple:
    """A board with a log of several kB, logged in, and the lines that were there before."""
    flash = make_flash()
    folder = flash.with_name(flash.name + ".log")
    folder.mkdir()
    lines = {}
    for number in range(160):
        ring = "vu"[number % 2]
        event = {"boot": number // 50, "uptime": number % 50, "event": "UPDATE_START" if ring == "u" else "RESTART"}
        lines[ring, number] = json.dumps(event | ({"version": f"1.0.{number}"} if ring == "u" else {})) + "\n"
    for ring in "uv":
        own = [line for (its, _), line in lines.items() if its == ring]
        for file in range(4):
            (folder / f"{ring}{file:08}").write_text("".join(own[file * 20 : file * 20 + 20]))
    board = serve(interpreter, flash, password=PASSWORD)
    board.log_in(PASSWORD)
    return board, "".join(lines.values())


def test_who_may_read_it(board, assert_refused) -> None:
    """Who has a token: the password alone, which uploads may bring, is not enough, right or wrong."""
    for headers in ({}, {"Authorization": "Bearer " + "0" * 32}, {"Authorization": "Bearer "}, HTML):
        for method in ("GET", "HEAD"):
            answer = board._request(method, "/log", headers=headers)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert "LOGIN" not in answer.text
    for password in (PASSWORD, "guess"):
        assert_refused(board.get("/log", auth=("admin", password)), 401, "UNAUTHORIZED")
    board.log_in(PASSWORD)
    assert board.get("/log", cookies={"token": board.token}).status_code == 200
    assert_refused(board.post("/log", headers=board.bearer), 405, "BAD_METHOD")
    assert "LOGIN_FAILED" not in text_of(board)  # nobody has looked at that password


def test_how_it_comes(long_log: tuple) -> None:
    """Its length is announced, and right; the connection goes on after it."""
    board, before = long_log
    whole = text_of(board)
    assert len(whole) > 8192
    lines = whole.splitlines(keepends=True)
    assert "".join(line for line in lines if "LOGIN_SUCCESS" not in line) == before
    assert len(lines) == before.count("\n") + 1
    connection = http.client.HTTPConnection("127.0.0.1", board.port, timeout=60)
    connection.connect()
    first = connection.sock
    for method, path in (("GET", "/log"), ("HEAD", "/log"), ("GET", "/log"), ("GET", "/info"), ("HEAD", "/log")):
        connection.request(method, path, headers=board.bearer)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200
        if path == "/log":
            assert answer.headers["Content-Type"] == "application/x-ndjson"
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["Content-Length"] == str(len(whole))
            assert body.decode() == (whole if method == "GET" else "")
        else:
            assert json.loads(body)["version"] == "1.0.0"
        assert connection.sock is first
    connection.close()


def test_an_empty_one(interpreter, make_flash, serve) -> None:
    """As on a board whose log cannot be written: a file stands in its place."""
    flash = make_flash()
    flash.with_name(flash.name + ".log").write_bytes(b"")
    board = serve(interpreter, flash, password=PASSWORD)
    board.log_in(PASSWORD)
    answer = board.get("/log", headers=board.bearer)
    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    board.wait_for("audit.write failed: ")


# What never comes to stand in it


def named(image: UpdateImage, version: str) -> bytes:
    """The image with a version that kit.build() would not take."""
    app = with_descriptor(
        image.data[: image.app_length], version=version, project=image.project, date="2026-01-01", time="12:00:00"
    )
    return app + image.data[image.app_length :]


def test_nobody_forges_a_line(staying, make_image) -> None:
    """Whatever a client sends, each line is one object with a known event; a CONFIRMED one would be forged."""
    password = PASSWORD
    for text in (FORGED, "\n", '"', "\\", "\r\n", "\u2028", "\x00", "{}", "\\u000a", "\U0001f600"):
        staying.post("/login", json={"password": text})
        staying.log_in(password)  # and nobody is locked out
        staying.put("/config", json={text: 1}, headers=staying.bearer)
        staying.put("/config", json={"hostname": text, text: text}, headers=staying.bearer)
        change = {"password": password, "new": text * 8}
        if staying.post("/password", json=change, headers=staying.bearer).status_code == 200:
            password = text * 8
            staying.log_in(password)
        staying.update(b"hello", {"x-MD5": json.dumps(text)})
        staying.patch("/update", data=b"", headers={"If-Match": json.dumps(text)} | staying.bearer)
        plain = json.dumps(text)
        for lines in (
            (f"GET /info?{plain.replace(' ', '')} HTTP/1.1", f"User-Agent: {plain}"),
            (f"GET /{plain.replace(' ', '')} HTTP/1.1", f"Referer: {plain}"),
            ("GET /%0a%22%7d HTTP/1.1", f"X-Device: {plain}", f"Cookie: token={plain}"),
            (f"BREW{plain.replace(' ', '')} /info HTTP/1.1", f"Origin: {plain}"),
        ):
            with staying.connect(*lines) as connection:
                assert connection.recv(100).startswith(b"HTTP/1.1 ")
        with socket.create_connection(("127.0.0.1", staying.port), timeout=20) as connection:
            connection.sendall(f"GET /log HTTP/1.1\r\nHost: {plain}\r\nConnection: close\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 403 ")
    image = make_image("1.1.0")
    for version in (FORGED_VERSION, "\n" * 31, '"' * 31, "\\" * 31, "\u20ac\u2028", "1.2.3\\", "<b>{heading}</b>&"):
        assert staying.update(named(image, version), params={"force": 1}).status_code == 200, version
        assert staying.update(named(image, version)[:-4096], params={"force": 1}).status_code == 422, version
    assert password != PASSWORD
    found = entries(text_of(staying))
    assert "CONFIRMED" not in {entry["event"] for entry in found}
    assert FORGED_VERSION.replace("\n", "?") in {entry.get("version") for entry in found}


def test_no_secret_is_in_it(interpreter, make_flash, serve, make_image) -> None:
    board = serve(interpreter, make_flash(), password=PASSWORD, restarts=0)
    login = board.post("/login", data={"password": PASSWORD}).json()
    board.log_in(PASSWORD)
    secrets = [PASSWORD, WIFI_PASSWORD, login["token"], login["device"], board.token]
    secrets += [
        "a wrong password",
        "another one by Basic",
        "the next Wi-Fi password",
        "the next password",
        "virtual-wifi",
    ]
    board.post("/login", data={"password": "a wrong password"}, headers={"X-Device": login["device"]})
    board.get("/progress", auth=("admin", "another one by Basic"))
    wanted = {"wifi_password": "the next Wi-Fi password"}
    assert board.put("/config", json=wanted, headers=board.bearer).status_code == 200
    assert board.update(make_image("1.1.0").data).status_code == 200
    assert board.post("/update?force=1", data=make_image("1.1.0").data, auth=("admin", PASSWORD)).status_code == 200
    change = {"password": PASSWORD, "new": "the next password"}
    assert board.post("/password", data=change, headers=board.bearer).status_code == 200
    board.log_in("the next password")
    text = text_of(board)
    assert {"LOGIN_FAILED", "LOGIN_SUCCESS", "CONFIG", "PASSWORD", "UPDATE_COMPLETE"} <= {
        entry["event"] for entry in entries(text)
    }
    assert [secret for secret in [*secrets, board.token] if secret in text] == []


# What became of the last update


def last(board) -> dict | None:
    return board.get("/info").json()["last_update"]


def row(board, path: str = "/") -> str:
    """What the table of a page says of it."""
    page = board.get(path, cookies={"token": board.token}, headers=HTML).text
    return page.partition('<td data-info="last_update">')[2].partition("\n")[0]


def said(outcome: str, step: str, cause: str | None, version: str = "1.1.0", slot: str = "ota_1") -> dict:
    return {"version": version, "slot": slot, "outcome": outcome, "step": step, "cause": cause}


def test_last_update(board, interpreter, serve, make_image) -> None:
    """None, refused, on probation, confirmed; a refusal before the first write changes nothing."""
    image = make_image("1.1.0")
    board.log_in(PASSWORD)
    assert last(board) is None
    assert [row(board, path) for path in ("/", "/update")] == ["none"] * 2
    assert board.update(b"hello").status_code == 415
    assert last(board) is None
    assert board.update(image.data[:-4096]).status_code == 422
    assert last(board) == said("refused", "writing", "UPDATE_ERROR_ACTIVATE")
    assert [row(board, path) for path in ("/", "/update")] == ["1.1.0: refused, UPDATE_ERROR_ACTIVATE"] * 2
    assert board.update(b"hello").status_code == 415
    assert last(board)["outcome"] == "refused"
    assert board.update(image.data).status_code == 200
    assert last(board) == said("on probation", "committed", None)
    assert board.wait() == 42
    confirm_at_the_next_start(board.flash)
    board = again(board, interpreter, serve, running=OTA_1)
    assert last(board) == said("confirmed", "confirmed", None)
    assert [row(board, path) for path in ("/", "/update")] == ["1.1.0: confirmed"] * 2


@pytest.mark.parametrize("sent", [5000, -1])
def test_last_update_of_an_upload_that_breaks_off(sent: int, board, make_image) -> None:
    image = make_image("1.1.0")
    board.log_in(PASSWORD)
    with board.start_upload(image.size, image.data[:sent]) as upload:
        board.wait_until(lambda progress: progress["phase"] == "write")
        assert last(board) is None  # of the one that runs /progress tells
        upload.shutdown(socket.SHUT_WR)
        assert b"UPDATE_ERROR_ABORT" in upload.makefile("rb").read()
    assert last(board) == said("refused", "writing", "UPDATE_ERROR_ABORT")


def test_last_update_of_going_back(interpreter, make_flash, make_image, serve) -> None:
    """Asked for, it is an update to the version in the other slot: on probation, and then confirmed."""
    flash = make_flash((1, VALID), (2, VALID), slot_1=make_image("1.1.0").data)
    board = serve(interpreter, flash, password=PASSWORD, running=OTA_1)
    board.log_in(PASSWORD)
    assert last(board) is None
    assert board.post("/rollback", headers=board.bearer).status_code == 200
    assert last(board) == said("on probation", "committed", None, "1.0.0", "ota_0")
    assert board.wait() == 42
    assert board.records()[0] == (3, NEW)
    with flash.open("r+b") as file:
        file.seek(OTADATA)
        file.write(otadata.pack(3, PENDING_VERIFY))
    board = serve(interpreter, flash)
    assert last(board) == said("confirmed", "confirmed", None, "1.0.0", "ota_0")
    assert row(board) == "1.0.0: confirmed"


def test_a_version_is_text_on_the_pages(staying, make_image: Callable) -> None:
    image = named(make_image("1.1.0"), "<b>{heading}</b>&amp;")
    assert staying.update(image, params={"force": 1}).status_code == 200
    assert last(staying)["version"] == "<b>{heading}</b>&amp;"
    shown = "&lt;b>{heading}&lt;/b>&amp;amp;: on probation"
    assert [row(staying, path) for path in ("/", "/update")] == [shown] * 2
