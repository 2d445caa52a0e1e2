"""POST /update over HTTP: asyncio, our server and the updater, on both interpreters."""

import base64
import hashlib
import json
import socket
import struct
import time
from pathlib import Path

import pytest

from kit.image import otadata

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
UNTOUCHED = [(1, VALID), (0xFFFFFFFF, 0xFFFFFFFF)]
OTADATA, OTA_1 = 0xD000, 0x190000
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
END = f"\r\n--{BOUNDARY}--\r\n".encode()


def content_digest(data: bytes) -> dict[str, str]:
    return {"Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"}


def form(*parts: tuple[str, bytes], boundary: str = BOUNDARY) -> dict:
    """The body of a form, and its Content-Type; a part is the rest of its Content-Disposition and what it holds."""
    body = b""
    for disposition, data in parts:
        body += f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n".encode()
        body += b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return {"data": body, "headers": {"Content-Type": f"multipart/form-data; boundary={boundary}"}}


@pytest.mark.parametrize("way", ["raw", "form"])
def test_update_of_real_size(way: str, interpreter, make_flash, serve, large) -> None:
    """1.4 MB through the web server into flash, the restart, and the new version's self-test."""
    new = large("1.1.0")
    assert new.size > 1_350_000
    flash = make_flash(slot_0=large("1.0.0").data)
    board = serve(interpreter, flash, password=PASSWORD)
    board.log_in(PASSWORD)
    if way == "raw":
        response = board.update(new.data, headers=content_digest(new.data) | {"x-MD5": new.md5})
    else:
        response = board.update(None, headers={"x-MD5": new.md5}, files={"any name": ("new.bin", new.data)})
    assert response.status_code == 200, board.output()
    answer = response.json()
    assert (answer["slot"], answer["version"], answer["bytes"]) == ("ota_1", "1.1.0", new.size)
    assert set(answer["seconds"]) == {"receive", "write", "verify", "commit"}

    assert board.wait() == 42, board.output()  # machine.reset
    assert board.records() == [(1, VALID), (2, NEW)]
    data = flash.read_bytes()
    assert data[OTA_1 : OTA_1 + new.size] == new.data

    with flash.open("r+b") as file:  # what the bootloader does
        file.seek(OTADATA + 0x1000)
        file.write(otadata.pack(2, PENDING_VERIFY))
    board = serve(interpreter, flash, password=PASSWORD, running=OTA_1)
    info = board.get("/info").json()
    assert (info["version"], info["running"], info["image_state"]) == ("1.1.0", "ota_1", "VALID")
    assert board.records() == [(1, VALID), (2, VALID)]


def test_what_the_serial_monitor_shows(interpreter, make_flash, serve, make_image) -> None:
    """The start, an update and the start after it, line by line; never a password."""
    new = make_image("1.1.0")
    flash = make_flash()
    board = serve(interpreter, flash, password=PASSWORD)
    board.log_in(PASSWORD)
    board.update(new.data)
    assert board.wait() == 42
    date = make_image("1.0.0").built.strftime("%Y-%m-%d %H:%M:%S")
    start = [
        "",
        "      ESP32 OTA Update System",
        "",
        "Firmware Version: 1.0.0",
        f"Build Date: {date}",
        "",
        "Connecting to WiFi: virtual-wifi",
        "WiFi connected!",
        "IP Address: 127.0.0.1",
        "Signal Strength: -55 dBm",
        "Web server started",
        "",
        "Access Information",
        "URL: http://127.0.0.1",
    ]
    lines = board.output().splitlines()
    assert lines[: len(start)] == start
    progress = [line for line in lines[len(start) :] if line.startswith("Progress: ")]
    assert progress[-1] == "Progress: 100%"
    assert lines[len(start)] == f"Update: version 1.1.0, {new.size} bytes"
    assert f"\nUpdate Success: {new.size} bytes\nRebooting...\nRESET 2\n" in board.output()

    board = serve(interpreter, make_flash((1, PENDING_VERIFY)), password=PASSWORD)
    start.insert(10, "Update confirmed")
    assert board.output().splitlines() == start
    for secret in (PASSWORD, WIFI_PASSWORD, board.token):
        assert not secret or secret not in "".join(lines)


def test_progress_by_tenths(interpreter, make_flash, serve, large) -> None:
    board = serve(interpreter, make_flash(), password=PASSWORD)
    board.log_in(PASSWORD)
    assert board.update(large("1.1.0").data).status_code == 200
    progress = [line for line in board.output().splitlines() if line.startswith("Progress: ")]
    assert progress == [f"Progress: {tenth}0%" for tenth in range(1, 11)]


def test_refused_image_is_read_to_its_end(board, large, assert_refused) -> None:
    """1.4 MB that are refused at their first bytes: the client still gets the answer."""
    board.log_in(PASSWORD)
    assert_refused(board.update(b"\x7f" + large("1.1.0").data[1:]), 415, "UPDATE_ERROR_MAGIC_BYTE")
    assert_refused(board.update(bytes(3_000_000)), 413, "UPDATE_ERROR_SIZE")
    assert board.progress()["error"] == "UPDATE_ERROR_SIZE"
    size = 16_000_000  # more than the buffers on the way hold
    with board.start_upload(size, bytes(size)) as connection:  # nothing breaks while it sends
        assert b" 413 " in connection.recv(100)


def test_refusals(board, make_image, image_file: Path, assert_refused) -> None:
    data = image_file.read_bytes()
    board.log_in(PASSWORD)
    assert_refused(board.update(b""), 413, "UPDATE_ERROR_SIZE")
    assert_refused(board.update(b"hello"), 415, "UPDATE_ERROR_MAGIC_BYTE")
    assert_refused(board.update(b"\xe9" + bytes(5000)), 415, "UPDATE_ERROR_MAGIC_BYTE")
    assert_refused(board.update(data[:12] + b"\x09" + data[13:]), 415, "UPDATE_ERROR_MAGIC_BYTE")
    assert_refused(board.update(make_image("1.0.0").data), 409, "UPDATE_ERROR_VERSION")
    assert_refused(board.update(data[:-4096]), 422, "UPDATE_ERROR_ACTIVATE")
    for name, value in WRONG_DIGESTS:
        assert_refused(board.update(data, headers={name: value}), 422, "UPDATE_ERROR_MD5")
    assert_refused(board.update(iter([data])), 411, "LENGTH_REQUIRED")  # chunked
    assert board.records() == UNTOUCHED
    cookie = {"cookies": {"token": board.token}}
    board.log_in(PASSWORD)
    assert board.post("/password", data={"password": PASSWORD, "new": PASSWORD + "!"}, **cookie).status_code == 200
    assert board.get("/progress", **cookie).status_code == 401  # its uploads have ended
    basic = {"auth": ("admin", PASSWORD + "!"), "headers": {"Content-Digest": "sha-512=:of a kind not ours:"}}
    assert board.post("/update?force=1", data=make_image("1.0.0").data, **basic).json()["version"] == "1.0.0"


def test_forms(interpreter, make_flash, serve, image_file: Path, assert_refused) -> None:
    """A file in any field, with other fields in front; refusals are those of a raw body."""
    board = serve(interpreter, make_flash(), password=PASSWORD, restarts=0)
    board.log_in(PASSWORD)
    data = image_file.read_bytes()
    size = len(data)
    file = ('name="firmware"; filename="a file.bin"', data)
    for parts, boundary in (
        ([file], BOUNDARY),
        ([('name="force"', b"0"), ('name="why"', b"\r\n--x\r\n"), ('name=""; filename="Gr\u00fc\u00dfe"', data)], "x"),
    ):
        sent = form(*parts, boundary=boundary)
        assert board.update(**sent).json()["bytes"] == size, board.output()
    quoted = form(file)
    quoted["headers"] = {"content-type": f'multipart/form-data; charset=x; boundary="{BOUNDARY}"; more=y'}
    assert board.update(**quoted).json()["bytes"] == size

    md5 = hashlib.md5(data).hexdigest()
    sent = form(file)
    of_the_body = content_digest(b"the digest of a form is not the file's")
    assert board.update(sent["data"], sent["headers"] | {"x-MD5": md5} | of_the_body).json()["bytes"] == size


def test_odd_forms(interpreter, make_flash, serve, image_file: Path) -> None:
    """What RFC 2046 and RFC 7578 allow, and what clients make of it."""
    board = serve(interpreter, make_flash(), password=PASSWORD, restarts=0)
    board.log_in(PASSWORD)
    data = image_file.read_bytes()
    file = ('name="firmware"; filename="a.bin"', data)
    usual = form(file)
    body, headers = usual["data"], usual["headers"]
    long = form(file, boundary="x" * 100)
    for odd_body, content_type in (
        (body[:-2], headers["Content-Type"]),  # no CRLF at the end
        (b"\r\n" + body, headers["Content-Type"]),
        (body.replace(b"Content-Disposition", b"content-disposition"), headers["Content-Type"]),
        (body.replace(b"filename=", b"FileName="), headers["Content-Type"]),
        (body.replace(b'"a.bin"', b"a.bin"), headers["Content-Type"]),
        (body, headers["Content-Type"].replace("form-data", "Form-Data").replace("boundary", "BOUNDARY")),
        (body, f'multipart/form-data;boundary="{BOUNDARY}";charset=utf-8'),
        (body, "multipart/form-data; boundary=another"),  # the body shows which one it is
        (body, "multipart/form-data"),
        (long["data"], long["headers"]["Content-Type"]),
        (form(file, boundary="a b")["data"], 'multipart/form-data; boundary="a b"'),
    ):
        answer = board.update(odd_body, {"Content-Type": content_type}).json()
        assert answer.get("bytes") == len(data), (answer, content_type, odd_body[:300])


def test_odd_forms_that_are_refused(board, image_file: Path, assert_refused) -> None:
    """One error, a sentence that fits, and never a size below 0."""
    board.log_in(PASSWORD)
    data = image_file.read_bytes()
    file = ('name="firmware"; filename="a.bin"', data)
    sent = form(file)
    body, start = sent["data"], sent["data"].index(b"\xe9")
    for odd_body, status, error, text in (
        (body[:start], 413, "UPDATE_ERROR_SIZE", "The image has 0 bytes"),
        (body[: start + 10], 413, "UPDATE_ERROR_SIZE", "The image has 0 bytes"),
        (body[: start - 10], 413, "UPDATE_ERROR_SIZE", "The form has no file."),
        (body[:40], 413, "UPDATE_ERROR_SIZE", "The form has no file."),
        (body[:-5000], 422, "UPDATE_ERROR_ACTIVATE", "cut short"),
        (form(file, file)["data"], 413, "UPDATE_ERROR_SPACE", f"The image ends after {len(data)} of"),
        (form(('name="f"; filename="a"', b""))["data"], 413, "UPDATE_ERROR_SIZE", "The image has 0 bytes"),
        (form(('name="f"; filename="a"', b""), file)["data"], 415, "UPDATE_ERROR_MAGIC_BYTE", "no app image"),
        (form(('name="x"', b"x" * 1100), file)["data"], 413, "UPDATE_ERROR_SIZE", "The form has no file."),
        (data, 413, "UPDATE_ERROR_SIZE", "The form has no file."),
    ):
        answer = board.update(odd_body, sent["headers"])
        assert_refused(answer, status, error)
        assert text in answer.json()["message"], answer.text
        assert board.progress()["phase"] == "idle"
    assert board.records() == UNTOUCHED


def test_forms_that_are_refused(board, image_file: Path, make_image, assert_refused) -> None:
    board.log_in(PASSWORD)
    data = image_file.read_bytes()
    file = ('name="firmware"; filename="a.bin"', data)

    def refused(status: int, error: str, **sent) -> None:
        assert_refused(board.update(**sent), status, error)
        assert board.progress()["phase"] == "idle"

    refused(413, "UPDATE_ERROR_SIZE", **form())
    refused(413, "UPDATE_ERROR_SIZE", **form(('name="firmware"', data[:500])))
    refused(413, "UPDATE_ERROR_SIZE", **form(('name="firmware"; filename=""', b"")))
    refused(413, "UPDATE_ERROR_SIZE", **form(('name="firmware"; filename="a"', bytes(0x180001))))
    refused(413, "UPDATE_ERROR_SIZE", **form(('name="long"', b"x" * 5000), file))
    refused(413, "UPDATE_ERROR_SPACE", **form(file, ('name="force"', b"1")))
    refused(415, "UPDATE_ERROR_MAGIC_BYTE", **form(('name="firmware"; filename="a"', b"\x7f" * 5000)))
    refused(409, "UPDATE_ERROR_VERSION", **form(('name="x"; filename="a"', make_image("1.0.0").data)))
    sent = form(file)
    wrong_md5 = sent["headers"] | {"x-MD5": "0" * 32}
    refused(422, "UPDATE_ERROR_MD5", data=sent["data"], headers=wrong_md5)
    refused(411, "LENGTH_REQUIRED", data=iter([sent["data"]]), headers=sent["headers"])
    refused(400, "UPDATE_ERROR_ABORT", data=b"", headers=sent["headers"])
    assert board.records() == UNTOUCHED
    with board.start_upload(
        len(sent["data"]), sent["data"][:50], *(": ".join(h) for h in sent["headers"].items())
    ) as c:
        c.shutdown(socket.SHUT_WR)
        assert b"UPDATE_ERROR_ABORT" in c.makefile("rb").read()


@pytest.mark.parametrize("share", [0, 0.0001, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99, 1])
def test_dropped_upload(board, large, image_file: Path, share: float) -> None:
    """The old version goes on serving, and the next upload works."""
    data = large("1.1.0").data
    sent = int((len(data) - 1) * share)
    board.log_in(PASSWORD)
    connection = board.start_upload(len(data), data[:sent])
    board.wait_until(lambda progress: progress["received"] >= sent // 4096 * 4096 and progress["phase"] != "idle")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
    connection.close()
    board.wait_until(lambda progress: progress["error"] == "UPDATE_ERROR_ABORT" and progress["phase"] == "idle")
    assert board.get("/info").json()["version"] == "1.0.0"
    assert board.records() == UNTOUCHED
    assert board.update(image_file.read_bytes()).json()["slot"] == "ota_1"


def test_stalled_upload(interpreter, make_flash, serve, large) -> None:
    """A client that stays, and sends nothing more, does not hold the updater."""
    board = serve(interpreter, make_flash(), password=PASSWORD, stall=0.3)
    board.log_in(PASSWORD)
    data = large("1.1.0").data
    with board.start_upload(len(data), data[:100_000]) as connection:
        assert b" 400 " in connection.recv(100)
        assert board.progress()["error"] == "UPDATE_ERROR_ABORT"


def test_more_than_announced(board, image_file: Path) -> None:
    data = image_file.read_bytes()
    board.log_in(PASSWORD)
    with board.start_upload(len(data), data + b"x" * 100_000) as connection:
        assert b" 413 " in connection.recv(100)
        assert board.progress()["error"] == "UPDATE_ERROR_SPACE"
    assert board.records() == UNTOUCHED


def test_busy(board, large, image_file: Path, assert_refused) -> None:
    data = large("1.1.0").data
    board.log_in(PASSWORD)
    with board.start_upload(len(data), data[:100_000]):
        board.wait_until(lambda progress: progress["phase"] == "write")
        assert_refused(board.update(image_file.read_bytes()), 409, "UPDATE_ERROR_BUSY")
        assert_refused(board.post("/restart", headers=board.bearer), 409, "UPDATE_ERROR_BUSY")
        assert board.progress()["phase"] == "write"
        assert board.progress()["error"] is None
    board.wait_until(lambda progress: progress["phase"] == "idle")


def test_progress_to_the_end_of_its_upload(board, large) -> None:
    """A token that ends meanwhile, here because the password is changed, still shows its own upload."""
    data = large("1.1.0").data
    board.log_in(PASSWORD)
    cookie = {"cookies": {"token": board.token}}
    with board.start_upload(len(data), data[:100_000]) as connection:
        board.wait_until(lambda progress: progress["phase"] == "write")
        new = {"password": PASSWORD, "new": PASSWORD + "!"}
        assert board.post("/password", data=new, **cookie).status_code == 200
        assert board.get("/progress", **cookie).json()["phase"] == "write"
        assert board.post("/restart", **cookie).status_code == 401
        assert board.get("/progress").status_code == 401
        connection.shutdown(socket.SHUT_WR)
        assert b"UPDATE_ERROR_ABORT" in connection.makefile("rb").read()
    assert board.get("/progress", **cookie).status_code == 401


def test_progress_of_an_upload_with_basic_is_nobody_elses(board, large) -> None:
    data = large("1.1.0").data
    credentials = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    lines = ("POST /update HTTP/1.1", f"Content-Length: {len(data)}", f"Authorization: Basic {credentials}")
    with board.connect(*lines, data=data[:100_000]) as connection:
        board.log_in(PASSWORD)
        board.wait_until(lambda progress: progress["phase"] == "write")
        assert board.get("/progress").status_code == 401
        assert board.get("/progress", auth=("admin", PASSWORD)).json()["phase"] == "write"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100)


def test_expect_100_continue(board, image_file: Path) -> None:
    """curl asks before it sends a large body."""
    data = image_file.read_bytes()
    board.log_in(PASSWORD)
    with board.start_upload(len(data), b"", "Expect: 100-continue") as connection:
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(data)
        assert b" 200 " in connection.recv(100)
    with board.start_upload(len(data), b"", "Expect: 100-continue", "Transfer-Encoding: chunked") as connection:
        assert b" 411 " in connection.recv(100)  # and no invitation to send


def test_ten_uploads(interpreter, make_flash, serve, image_file: Path) -> None:
    """They leave nothing behind in the heap."""
    board = serve(interpreter, make_flash(), password=PASSWORD, restarts=0)
    board.log_in(PASSWORD)
    data = image_file.read_bytes()
    heap = []
    for number in range(10):
        sent = {"data": data} if number % 2 else {"data": None, "files": {"image": data}}
        assert board.update(**sent).status_code == 200
        heap.append(board.get("/inside").json()["heap"])
    assert min(heap[5:]) < max(heap[:2]) + 1024, heap


def test_image_that_ends_within_a_sector(board, image_file: Path) -> None:
    """In pieces of any size: neither the image nor what a network brings keeps to blocks."""
    data = image_file.read_bytes()
    header = data.rindex(b"APP1")
    application = data[header + 4096 : -1536]  # littlefs blocks of 512, no whole sector
    data = data[:header] + struct.pack("<4sI32s", b"APP1", len(application), hashlib.sha256(application).digest())
    data = data.ljust(header + 4096, b"\xff") + application
    assert len(data) % 4096 == 2560
    board.log_in(PASSWORD)
    with board.start_upload(len(data), b"") as connection:
        for start in range(0, len(data), 1009):
            connection.sendall(data[start : start + 1009])
        assert b" 200 " in connection.recv(100)
    board.wait()
    assert board.flash.read_bytes()[OTA_1 : OTA_1 + len(data) + 1536] == data + b"\xff" * 1536


def test_truncated_headers(board, image_file: Path, assert_refused) -> None:
    """Cut within the image's header, its descriptor, and the first segment."""
    data = image_file.read_bytes()
    board.log_in(PASSWORD)
    for length, status, error in (
        (1, 415, "UPDATE_ERROR_MAGIC_BYTE"),
        (23, 415, "UPDATE_ERROR_MAGIC_BYTE"),
        (180, 415, "UPDATE_ERROR_MAGIC_BYTE"),
        (288, 422, "UPDATE_ERROR_ACTIVATE"),
        (4095, 422, "UPDATE_ERROR_ACTIVATE"),
    ):
        assert_refused(board.update(data[:length]), status, error)
    assert board.records() == UNTOUCHED
    assert board.update(data).json()["slot"] == "ota_1"


def test_over_a_flash_that_costs_nothing(compiled, make_flash, serve, large, record_property) -> None:
    """What it takes is for benchmarks/: seconds by phase and in all, and of a server that only receives."""
    data, took = large("1.1.0").data, []
    for options in ((f"password={PASSWORD}", "restarts=0"), ("sink",)):
        board = serve(compiled, make_flash(slot_0=large("1.0.0").data), *options, body="free_flash")
        if "sink" not in options:
            board.log_in(PASSWORD)
        for _ in range(5):
            started = time.perf_counter()
            answer = board.update(data)
            took.append([time.perf_counter() - started, answer.json().get("seconds")])
            assert answer.status_code == 200
    record_property("seconds", json.dumps({"sectors": len(data) // 4096, "updates": took[:5], "received": took[5:]}))
