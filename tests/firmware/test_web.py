"""What the board answers over HTTP, page by page, on both interpreters."""

import base64
import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

APP = Path(__file__).parents[2] / "firmware/app"
PASSWORD = "a password of our own"
HTML = {"Accept": "text/html,application/xhtml+xml"}  # what a browser sends


def test_info(board, make_image) -> None:
    info = board.get("/info").json()
    assert info["version"] == "1.0.0"
    assert info["name"] == "kit-stand-in"
    assert info["chip"] == "ESP32 (virtual)"
    assert (info["running"], info["boot"], info["next"], info["image_state"]) == ("ota_0", "ota_0", "ota_1", "VALID")
    assert info["ip"] == "127.0.0.1"
    assert info["hostname"] == "esp32-ota-0110"
    assert info["reset_cause"] == "PWRON_RESET"
    assert info["rssi"] < 0
    assert info["free_heap"] > 0
    assert info["uptime"] >= 0
    assert info["free_sketch_space"] == 0x180000
    assert info["sketch_size"] == make_image("1.0.0").size
    assert info["build"].startswith("20")


def test_first_page(board) -> None:
    response = board.get("/")
    assert response.headers["Content-Type"] == "text/html; charset=UTF-8"
    colour = (APP / "page.py").read_text().split('COLOUR = "')[1].split('"')[0]
    for text in (f"background: {colour}", "1.0.0", "ota_0", "127.0.0.1", "dBm", 'action="login"'):
        assert text in response.text
    assert [line for line in response.text.splitlines() if line.startswith("h1")]  # lesson 02 looks for it
    assert response.headers["Cache-Control"] == "no-store"


def test_policy_of_the_pages(board) -> None:
    """Scripts and styles are the board's own files, but for one style, known by its hash."""
    response = board.get("/")
    (style,) = re.findall("<style>(.*?)</style>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["style-src"] == f"'self' 'sha256-{digest}'"
    for page in (response, board.post("/login", data={"password": "guess"}, headers=HTML)):
        assert page.headers["Content-Security-Policy"] == response.headers["Content-Security-Policy"]
        assert not re.findall(r"https?://|\son\w+=|\sstyle=", page.text)


@pytest.mark.parametrize(("name", "kind"), [("style.css", "text/css"), ("ota.js", "text/javascript")])
def test_style_and_script(board, name: str, kind: str) -> None:
    """A browser asks for them anew each time: after an update they may be others."""
    response = board.get(f"/{name}?1.0.0")
    assert response.content == (APP / "www" / name).read_bytes()
    assert response.headers["Content-Type"] == f"{kind}; charset=UTF-8"
    assert response.headers["Content-Encoding"] == "gzip"  # which requests has unpacked
    assert response.headers["Cache-Control"] == "no-cache"
    head = board._request("HEAD", f"/{name}")
    assert (head.status_code, head.content) == (200, b"")
    assert board.post(f"/{name}").status_code == 405


def test_size_of_the_pages() -> None:
    assert sum(path.stat().st_size for path in (APP / "www").iterdir()) <= 22_000


def test_browsers_while_an_update_runs(board, large) -> None:
    """Two browsers, six connections: each gets whole pages, and the update is taken."""
    board.log_in(PASSWORD)
    image = large("1.1.0").data
    script = (APP / "www/ota.js").read_bytes()
    half = len(image) // 2
    with board.start_upload(len(image), image[:half]) as upload, ThreadPoolExecutor(5) as threads:
        board.wait_until(lambda progress: progress["phase"] == "write")
        url, cookies = f"http://127.0.0.1:{board.port}", {"token": board.token}

        def load(number: int) -> bool:
            path = ("/update", "/ota.js", "/style.css", "/progress", "/info")[number % 5]
            answer = requests.get(url + path, cookies=cookies, timeout=60)
            return answer.ok and (answer.content == script if path == "/ota.js" else bool(answer.content))

        assert all(threads.map(load, range(50)))
        upload.sendall(image[half:])
        assert b" 200 " in upload.makefile("rb").readline()


AS_JSON = f' {{"password": "{PASSWORD}"}}'


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/json"])
def test_kinds_of_bodies(kind: str | None, board) -> None:
    """JSON and forms are told apart by what they are: curl calls all a form. Strangers are kept out by Origin."""
    headers = {"Content-Type": kind} if kind else {}
    for data in (AS_JSON, "password=a+password%20of our own"):
        assert board.post("/login", data=data.encode(), headers=headers).json()["token"].startswith("admin.")
        foreign = headers | {"Origin": "http://example.org"}
        assert board.post("/login", data=data.encode(), headers=foreign).status_code == 403


def test_login(board) -> None:
    for body in ({"json": {"password": PASSWORD}}, {"data": {"password": PASSWORD}}):
        response = board.post("/login", **body)
        assert response.json()["expires_in"] == 300
        assert re.fullmatch(r"admin\.\d+\.[0-9a-f]{16}\.[\w-]{43}", response.json()["token"], re.ASCII)
        cookie = response.headers["Set-Cookie"]
        assert cookie.startswith(f"token={response.json()['token']};")
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Path" not in cookie  # that of /login, whatever a proxy puts in front
        assert "Max-Age" not in cookie.partition(" token-")[0]  # an upload may take longer than the login lasts
        assert board.get("/progress", cookies={"token": response.json()["token"]}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"password": "guess"}},
        {"data": b'{"password": "\\ud800"}', "headers": {"Content-Type": "application/json"}},
        {"json": {"password": 1}},
        {"json": {}},
        {"data": {"x": "y"}},
        {},
    ],
)
def test_login_that_fails(board, body: dict) -> None:
    wrong = board.post("/login", **body)
    assert (wrong.status_code, wrong.text) == (401, "Invalid password!")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"{", 400, "BAD_BODY"),
        (b"[" * 1000, 400, "BAD_BODY"),
        (b'{"":' * 201 + b"1" + b"}" * 201, 400, "BAD_BODY"),
        (b"[1]", 400, "BAD_BODY"),
        (b'{"password": "guess"', 400, "BAD_BODY"),
        (b"password=%zz", 400, "BAD_BODY"),
        (b"password=%2", 400, "BAD_BODY"),
        (b"password=%FF", 400, "BAD_BODY"),
        (b"password=%ED%A0%80", 400, "BAD_BODY"),  # a surrogate, which MicroPython would take
        (b"a&" * 17, 400, "BAD_BODY"),
        (b"password=" + b"x" * 1016, 413, "BODY_TOO_LARGE"),
        (bytes(100_000), 413, "BODY_TOO_LARGE"),
    ],
)
def test_bodies_that_are_no_guess(body: bytes, status: int, error: str, board, assert_refused) -> None:
    """They are no form, and say so; nobody is locked out for them."""
    for _ in range(6):
        assert_refused(board.post("/login", data=body), status, error)
    board.log_in(PASSWORD)


def test_every_way_to_send_a_text(interpreter, make_flash, serve) -> None:
    """A password is the same one in a form and in JSON, with and without escapes."""
    password = 'Gr\u00fc\u00dfe \\ "\U0001f600" +&%\u20ac'
    board = serve(interpreter, make_flash(), password=password)
    for body in (
        {"data": {"password": password}},
        {"data": json.dumps({"password": password})},
        {"data": json.dumps({"password": password}, ensure_ascii=False).encode()},
    ):
        assert board.post("/login", **body).status_code == 200, body
    assert board.get("/progress", auth=("admin", password.encode())).status_code == 200


def test_the_owner_comes_in_while_strangers_guess(board, assert_refused) -> None:
    """By the mark that every login gives: as a cookie, in JSON, as a header of Basic's answer."""
    good = board.post("/login", data={"password": PASSWORD})
    mark = good.json()["device"]
    cookies = [cookie.partition(";") for cookie in good.raw.headers.getlist("Set-Cookie")]
    (device,) = (cookie for cookie, _, _ in cookies if cookie.startswith("device-"))
    assert device == f"device-000110={mark}"
    assert all("HttpOnly" in rest and "SameSite=Strict" in rest for _, _, rest in cookies)
    assert ["Max-Age=31536000" in rest for cookie, _, rest in cookies] == [False, False, True]
    basic = board.get("/progress", auth=("admin", PASSWORD)).headers["X-Device"]
    for _ in range(5):
        assert board.post("/login", data={"password": "guess"}).status_code == 401
    assert_refused(board.post("/login", data={"password": PASSWORD}), 429, "LOCKED_OUT")
    for known in ({"X-Device": mark}, {"X-Device": basic}, {"Cookie": f"other=1; {device}"}):
        assert board.post("/login", data={"password": PASSWORD}, headers=known).status_code == 200
        assert board.get("/progress", auth=("admin", PASSWORD), headers=known).status_code == 200
    stranger = {"X-Device": "0" * 40}
    assert_refused(board.post("/login", data={"password": PASSWORD}, headers=stranger), 429, "LOCKED_OUT")


def test_boards_on_one_host(board) -> None:
    """Behind a proxy, or virtual: the cookie of one does not end the login of another."""
    good = board.post("/login", data={"password": PASSWORD})
    own = next(cookie for cookie in good.raw.headers.getlist("Set-Cookie") if cookie.startswith("token-")).split(";")[0]
    assert board.get("/progress", headers={"Cookie": f"token=of another board; {own}"}).status_code == 200


def test_lock_out(board, assert_refused) -> None:
    """Five wrong passwords by whatever door, and every door is shut, for the right password too; a token stays good."""
    board.log_in(PASSWORD)
    assert board.post("/login", data={"password": "guess"}).status_code == 401
    assert board.post("/login", data={"password": "guess"}, headers=HTML).status_code == 401
    assert board.get("/progress", auth=("admin", "guess")).status_code == 401
    assert board.post("/update", data=b"", auth=("admin", "guess")).status_code == 401
    change = {"password": "guess", "new": "another password"}
    assert board.post("/password", data=change, headers=board.bearer).status_code == 401

    change["password"] = PASSWORD
    for locked in (
        board.post("/login", data={"password": PASSWORD}),
        board.get("/progress", auth=("admin", PASSWORD)),
        board.post("/update", data=b"", auth=("admin", PASSWORD)),
        board.post("/password", data=change, headers=board.bearer),
    ):
        assert_refused(locked, 429, "LOCKED_OUT")
        assert 590 <= int(locked.headers["Retry-After"]) <= 600
    page = board.post("/login", data={"password": PASSWORD}, headers=HTML)
    assert (page.status_code, "Too many wrong passwords." in page.text) == (429, True)
    assert board.progress()["phase"] == "idle"


def test_clients_that_break_off_are_not_locked_out(board) -> None:
    for _ in range(8):
        assert board.post("/login").status_code == 401
    board.log_in(PASSWORD)
    assert board.token


def test_strangers(board, image_file: Path, assert_refused) -> None:
    image = image_file.read_bytes()
    for headers in ({}, {"Authorization": "Bearer " + "0" * 32}, {"Authorization": "Basic eDp5"}):
        assert_refused(board.get("/progress", headers=headers), 401, "UNAUTHORIZED")
        assert_refused(board.post("/update", data=image, headers=headers), 401, "UNAUTHORIZED")
        assert_refused(board.post("/restart", headers=headers), 401, "UNAUTHORIZED")
        assert_refused(board.get("/update", headers=headers), 401, "UNAUTHORIZED")
    page = board.post("/update", data=image, headers=HTML).text
    assert "This needs a login." in page
    assert 'action="login"' in page


def test_foreign_pages(board, image_file: Path, assert_refused) -> None:
    """A page from elsewhere, whose requests carry the cookie, gets nothing; the board's own pages do."""
    board.log_in(PASSWORD)
    data = image_file.read_bytes()
    for origin in ("http://example.org", "null", f"http://127.0.0.1:{board.port + 1}", "http://127.0.0.1"):
        assert_refused(board.update(data, headers={"Origin": origin}), 403, "FOREIGN_ORIGIN")
        assert_refused(board.post("/login", headers={"Origin": origin}), 403, "FOREIGN_ORIGIN")
        assert_refused(board.get("/info", headers={"Origin": origin}), 403, "FOREIGN_ORIGIN")
    own = {"Origin": f"http://127.0.0.1:{board.port}"}
    assert board.update(data, headers=own).status_code == 200


def test_default_password(interpreter, make_flash, serve, image_file: Path, assert_refused) -> None:
    board = serve(interpreter, make_flash())
    assert "Password: the default one." in board.output()
    board.log_in("admin123")
    assert_refused(board.update(image_file.read_bytes()), 403, "UPDATE_ERROR_PASSWORD")


def test_change_of_password(interpreter, make_flash, serve, image_file: Path, assert_refused) -> None:
    board = serve(interpreter, make_flash())
    change = {"password": "admin123", "new": PASSWORD}
    assert_refused(board.post("/password", data=change), 401, "UNAUTHORIZED")
    board.log_in("admin123")
    cookie = {"cookies": {"token": board.token}}
    wrong = board.post("/password", data=change | {"password": "guess"}, **cookie)
    assert (wrong.status_code, wrong.text) == (401, "Invalid password!")
    for new in ("short", "admin123", "x" * 65, ""):
        assert_refused(board.post("/password", data=change | {"new": new}, **cookie), 400, "BAD_PASSWORD")
    for bad in ("\ud800", "\udfff", "\0", "\n", "\x7f", "\x85", "\u2028", "\u202e"):
        for new in (bad + "12345678", "12345678" + bad, bad * 8):
            assert_refused(board.post("/password", json=change | {"new": new}, **cookie), 400, "BAD_PASSWORD")
    for new in (None, 5, True, ["x" * 8], {"x": 8}):
        assert_refused(board.post("/password", json=change | {"new": new}, **cookie), 400, "BAD_PASSWORD")
    assert_refused(board.update(image_file.read_bytes()), 403, "UPDATE_ERROR_PASSWORD")
    assert board.post("/password", data=change, **cookie).status_code == 200
    assert_refused(board.update(image_file.read_bytes()), 401, "UNAUTHORIZED")  # every token is forgotten
    assert board.post("/login", data={"password": "admin123"}).status_code == 401
    board.log_in(PASSWORD)
    assert board.update(image_file.read_bytes()).status_code == 200
    assert PASSWORD not in board.output()


def test_half_a_pair_of_surrogates_is_no_password(interpreter, make_flash, serve) -> None:
    """JSON can hold one, UTF-8 cannot."""
    board = serve(interpreter, make_flash())
    board.log_in("admin123")
    for half in ("\ud800", "admin123\udfff"):
        change = {"password": half, "new": PASSWORD}
        assert board.post("/password", json=change, headers=board.bearer).status_code == 401
        assert board.post("/login", json={"password": half}).status_code == 401
    assert "Traceback" not in board.output()
    board.log_in("admin123")


def test_restart(board, image_file: Path, assert_refused) -> None:
    """Nothing else begins in its last second."""
    board.log_in(PASSWORD)
    assert board.post("/restart", headers=board.bearer).status_code == 200
    assert_refused(board.post("/restart", headers=board.bearer), 409, "UPDATE_ERROR_BUSY")
    assert_refused(board.post("/rollback", headers=board.bearer), 409, "UPDATE_ERROR_BUSY")
    assert_refused(board.update(image_file.read_bytes()), 409, "UPDATE_ERROR_BUSY")
    assert board.wait() == 42, board.output()
    assert "Rebooting...\nRESET 2\n" in board.output()


def test_in_a_browser(board, image_file: Path) -> None:
    """Log in, choose a file, upload: plain forms, and an answer in words to each."""
    wrong = board.post("/login", data={"password": "guess"}, headers=HTML)
    assert (wrong.status_code, "Invalid password!" in wrong.text) == (401, True)
    assert board.get("/update", headers=HTML).status_code == 401
    response = board.post("/login", data={"password": PASSWORD}, headers=HTML)
    assert (response.status_code, response.headers["Location"]) == (303, "update")
    cookie = {"token": response.headers["Set-Cookie"].split(";")[0].partition("=")[2]}
    for path in ("/", "/update"):
        page = board.get(path, cookies=cookie, headers=HTML).text
        assert 'action="update" enctype="multipart/form-data"' in page
        assert 'type="file"' in page

    nothing = {"image": ("", b"", "application/octet-stream")}
    response = board.post("/update", files=nothing, cookies=cookie, headers=HTML)
    assert (response.status_code, response.headers["Content-Type"]) == (413, "text/html; charset=UTF-8")
    assert "The image has 0 bytes" in response.text
    image = {"image": ("1.1.0.bin", image_file.read_bytes(), "application/octet-stream")}
    response = board.post("/update", files=image, cookies=cookie, headers=HTML)
    assert response.status_code == 200, response.text
    assert f"Version 1.1.0 is in ota_1: {image_file.stat().st_size} bytes." in response.text
    assert response.headers["Refresh"] == "15; url=./"
    assert board.wait() == 42


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/boot.py",
        "//info",
        "/info/",
        "/app",
        "/www/ota.js",
        "/page.py",
        "/ota.js/../page.py",
    ],
)
def test_unknown_paths(board, path: str) -> None:
    with board.connect(f"GET {path} HTTP/1.1") as connection:
        assert b" 404 " in connection.makefile("rb").readline()


@pytest.mark.parametrize(
    "request_line", ["POST /login", "POST /password", "PUT /config", "POST /update", "POST /restart"]
)
def test_chunked_bodies(request_line: str, board, assert_refused) -> None:
    """Whatever they are sent to: the board takes none."""
    method, path = request_line.split()
    board.log_in(PASSWORD)
    for body in ([b'{"password": "guess"}'], []):
        answer = board._request(method, path, data=iter(body), headers=board.bearer)
        assert_refused(answer, 411, "LENGTH_REQUIRED")
    assert board.progress() == {"phase": "idle", "received": 0, "written": 0, "size": 0, "error": None}


def test_unknown_methods(board) -> None:
    assert board.get("/login").status_code == 405
    for method in ("PUT", "DELETE", "BREW"):
        with board.connect(f"{method} /update HTTP/1.1") as connection:
            assert b" 405 " in connection.makefile("rb").readline()
