import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import FrozenInstanceError
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection, IncompleteRead
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import kit
from kit.errors import ReleaseError, SecurityError
from kit.image.update_image import UpdateImage
from kit.releases.release import Release, release
from kit.releases.server import ReleaseServer, serve_releases
from kit.security.certificate import new_certificate

IMAGE = "/esp32-ota-1.1.0.bin"
NUMBER = f"bytes=0-{'9' * 5000}"


@pytest.fixture
def server(staging: Release) -> Iterator[ReleaseServer]:
    with serve_releases("staging") as server:
        yield server


def ask(server: ReleaseServer, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    """One request on a connection of its own; If_Range is If-Range."""
    connection = HTTPConnection(*urlsplit(server.url).netloc.split(":"), timeout=60)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    try:
        return answer, answer.read()
    finally:
        connection.close()


def say(server: ReleaseServer, text: str) -> bytes:
    """What comes back to a text, as it is, on a connection that is closed then."""
    with socket.create_connection(urlsplit(server.url).netloc.split(":"), timeout=60) as connection:
        connection.sendall(text.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_it_serves_the_files_of_the_folder(server: ReleaseServer, staging: Release):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/manifest\.json", server.url)
    types = {".json": "application/json", ".bin": "application/octet-stream", ".crc32": "application/octet-stream"}
    for path in Path("staging").glob("*.*"):
        if not path.name.startswith("."):
            answer, body = ask(server, f"/{path.name}")
            assert (answer.status, body) == (200, path.read_bytes())
            assert answer.headers["Content-Type"] == types[path.suffix]
            assert answer.headers["Content-Length"] == str(len(body))
            assert answer.headers["Accept-Ranges"] == "bytes"
    assert len(server.requests) == 4


def test_head(server: ReleaseServer, staging: Release):
    for range_ in ("", "bytes=5-"):  # which is for GET alone (RFC 9110, 14.2)
        answer, body = ask(server, IMAGE, "HEAD", Range=range_)
        assert (answer.status, body, answer.headers["Content-Length"]) == (200, b"", str(staging.size))


def test_the_tag_is_of_the_content(server: ReleaseServer):
    tags = [ask(server, f"/{name}.json")[0].headers["ETag"] for name in ("manifest", "manifest-1.1.0", "manifest")]
    assert len(set(tags)) == 1
    assert re.fullmatch('"[0-9a-f]{32}"', tags[0])
    Path("staging/manifest.json").write_text("{}")
    assert ask(server, "/manifest.json")[0].headers["ETag"] != tags[0]


def test_what_is_known_is_not_sent_again(server: ReleaseServer):
    tag = ask(server, IMAGE)[0].headers["ETag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        for method in ("GET", "HEAD"):
            answer, body = ask(server, IMAGE, method, If_None_Match=known, Range="bytes=0-9")
            assert (answer.status, body, answer.headers["ETag"]) == (304, b"", tag)
    for unknown in ('"other"', tag.strip('"'), "", '"'):
        assert ask(server, IMAGE, If_None_Match=unknown)[0].status == 200


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, -1),
        ("bytes=700000-", 700_000, -1),
        ("bytes=4096-8191", 4096, 8191),
        ("bytes=5-99999999999", 5, -1),
        ("bytes=-1", -1, -1),
        ("bytes=-99999999999", 0, -1),
        ("BYTES= 7-8", 7, 8),
    ],
)
def test_a_range(server: ReleaseServer, staging: Release, asked: str, first: int, last: int):
    first, last = first % staging.size, last % staging.size
    answer, body = ask(server, IMAGE, Range=asked)
    assert (answer.status, answer.headers["Content-Range"]) == (206, f"bytes {first}-{last}/{staging.size}")
    assert body == staging.path.read_bytes()[first : last + 1]
    assert (server.requests[-1].first, server.requests[-1].sent) == (first, len(body))


@pytest.mark.parametrize(
    "asked", ["bytes=9-5", "bytes=", "bytes=a-b", "bytes=-", "lines=0-5", "bytes=0-1,5-6", "0-5", NUMBER]
)
def test_what_is_no_range_gets_the_whole(server: ReleaseServer, staging: Release, asked: str):
    answer, body = ask(server, IMAGE, Range=asked)
    assert (answer.status, len(body)) == (200, staging.size)


def test_a_range_behind_the_end(server: ReleaseServer, staging: Release):
    for asked in (f"bytes={staging.size}-", f"bytes={staging.size + 7}-{staging.size + 9}", "bytes=-0"):
        answer, body = ask(server, IMAGE, Range=asked)
        assert (answer.status, answer.headers["Content-Range"], body) == (416, f"bytes */{staging.size}", b"")
    Path("staging/empty.txt").write_bytes(b"")
    assert ask(server, "/empty.txt", Range="bytes=0-")[0].status == 416
    assert ask(server, "/empty.txt")[0].status == 200


def test_if_range(server: ReleaseServer, staging: Release):
    tag = ask(server, IMAGE)[0].headers["ETag"]
    assert ask(server, IMAGE, Range="bytes=9-", If_Range=tag)[0].status == 206
    for other in ('"other"', f"W/{tag}", "Mon, 30 Nov 2026 00:00:00 GMT", ""):
        answer, body = ask(server, IMAGE, Range="bytes=9-", If_Range=other)
        assert (answer.status, len(body)) == (200, staging.size)
    behind = f"bytes={staging.size}-"
    assert ask(server, IMAGE, Range=behind, If_Range='"other"')[0].status == 200


def test_nothing_else_is_served(server: ReleaseServer, here: Path):
    (here / "secret.txt").write_text("secret")
    (here / "staging/.hidden").write_text("secret")
    (here / "staging/inner").mkdir()
    (here / "staging/inner/secret.txt").write_text("secret")
    (here / "staging/link.txt").symlink_to(here / "secret.txt")
    (here / "staging/door").symlink_to(here)
    (here / "staging/loop").symlink_to("loop")
    (here / "staging/visible").symlink_to(".hidden")
    paths = ["/", "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/..\\secret.txt", "/%5c", "/.hidden"]
    paths += ["/.lock", "/%2ehidden", "/./.hidden", "/inner", "/inner/secret.txt", "/inner%2Fsecret.txt", "/link.txt"]
    paths += ["/door", "/door/secret.txt", "/loop", f"/{here}/secret.txt", "//secret.txt", "/nothing", "/%00", "/%ff"]
    paths += [
        "/" + "a" * 5000,
        "http://127.0.0.1/secret.txt",
        "/manifest.json%00",
        "/manifest.json/",
        "/visible",
        "http://[",
    ]
    for path in paths:
        answer = say(server, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")), path
        assert b"secret" not in answer
    (here / "staging/inside.json").symlink_to("manifest.json")
    assert ask(server, "/inside.json")[0].status == 200
    assert ask(server, "/manifest.json?now")[0].status == 200


def test_it_only_reads(server: ReleaseServer):
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer, body = ask(server, IMAGE, method)
        assert (answer.status, answer.headers["Allow"], body) == (405, "GET, HEAD", b"This server only reads.\n")
    assert ask(server, IMAGE, "BREW")[0].status == 501


def test_a_connection_is_good_for_several_requests(server: ReleaseServer):
    connection = HTTPConnection(*urlsplit(server.url).netloc.split(":"), timeout=60)
    for path, status in (("/manifest.json", 200), ("/nothing", 404), (IMAGE, 200), ("/manifest.json", 200)):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == status
        answer.read()
        sock = connection.sock
        assert sock is not None
    connection.close()
    assert b"200 OK" in say(server, "GET /manifest.json HTTP/1.0\r\n\r\n")


@pytest.mark.parametrize(
    "text", ["", "\r\n", "GET\r\n\r\n", "\0\0\0", "GET / HTTP/9.9\r\n\r\n", "x" * 70_000, "\x16\x03\x01"]
)
def test_nonsense_harms_nothing(server: ReleaseServer, text: str, capsys: pytest.CaptureFixture[str]):
    say(server, text)
    assert ask(server, "/manifest.json")[0].status == 200
    assert capsys.readouterr().err == ""


def test_many_at_a_time(server: ReleaseServer, staging: Release):
    """Also beside clients that say nothing, and such as take nothing."""
    place = urlsplit(server.url).netloc.split(":")
    silent = [socket.create_connection(place) for _ in range(20)]
    for connection in silent[10:]:
        connection.sendall(f"GET {IMAGE} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    with ThreadPoolExecutor(16) as pool:
        bodies = list(pool.map(lambda _: ask(server, IMAGE)[1], range(32)))
    assert set(bodies) == {staging.path.read_bytes()}
    for connection in silent:
        connection.close()


def test_a_file_that_is_replaced_meanwhile_comes_whole(
    server: ReleaseServer, staging: Release, signed: Callable[..., UpdateImage]
):
    connection = HTTPConnection(*urlsplit(server.url).netloc.split(":"), timeout=60)
    connection.request("GET", IMAGE)
    answer, before = connection.getresponse(), staging.path.read_bytes()
    begin = answer.read(1000)
    release(signed("1.2.0"), "staging")
    staging.path.unlink()
    assert begin + answer.read() == before
    connection.close()
    assert b'"1.2.0"' in ask(server, "/manifest.json")[1]


def test_the_link_breaks_once(server: ReleaseServer, staging: Release):
    server.break_after(700_000)
    assert ask(server, "/manifest.json")[0].status == 200
    with pytest.raises(IncompleteRead) as caught:
        ask(server, IMAGE)
    assert len(caught.value.partial) == 700_000
    answer, body = ask(server, IMAGE, Range="bytes=700000-")
    assert (answer.status, caught.value.partial + body) == (206, staging.path.read_bytes())
    assert [repr(request) for request in server.requests] == [
        f"GET /manifest.json: 200, {Path('staging/manifest.json').stat().st_size} bytes",
        f"GET {IMAGE}: 200, broken off",
        f"GET {IMAGE}: 206, {staging.size - 700_000:,} bytes from byte 700,000 on",
    ]


def test_it_breaks_in_one_of_many_ranges(server: ReleaseServer):
    server.break_after(10_000)
    ask(server, IMAGE, Range="bytes=0-4095")
    ask(server, IMAGE, "HEAD")
    ask(server, IMAGE, Range="bytes=40960-45055")
    with pytest.raises(IncompleteRead) as caught:
        ask(server, IMAGE, Range="bytes=81920-")
    assert len(caught.value.partial) == 10_000 - 2 * 4096
    assert [request.is_broken for request in server.requests] == [False, False, False, True]


def test_it_breaks_behind_the_last_byte(server: ReleaseServer, staging: Release):
    server.break_after(staging.size)
    assert len(ask(server, IMAGE)[1]) == staging.size
    assert not server.requests[0].is_broken
    assert len(ask(server, IMAGE)[1]) == staging.size


@pytest.mark.parametrize("count", [0, -1, 1.5, "1", None, True])
def test_what_is_no_number_of_bytes(server: ReleaseServer, count: object):
    with pytest.raises(ReleaseError, match="is no whole number above 0"):
        server.break_after(count)


def test_a_client_that_hangs_up(server: ReleaseServer, wait_until: Callable[..., None]):
    with socket.create_connection(urlsplit(server.url).netloc.split(":")) as connection:
        connection.sendall(f"GET {IMAGE} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        connection.recv(1000)
    wait_until(lambda: server.requests[0].is_broken)
    assert repr(server.requests[0]) == f"GET {IMAGE}: 200, broken off"


def test_what_was_sent_is_what_a_slow_board_has(
    server: ReleaseServer, staging: Release, wait_until: Callable[..., None]
):
    """The image does not wait in this computer, so that the figure tells when it travelled."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 5760)
        host, port = urlsplit(server.url).netloc.split(":")
        connection.connect((host, int(port)))
        connection.sendall(f"GET {IMAGE} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        connection.recv(1000)
        wait_until(lambda: server.requests and server.requests[0].sent)
        assert server.requests[0].sent < 100_000 < staging.size


def test_requests_are_kept_in_order(server: ReleaseServer):
    before = time.monotonic()
    for path in ("/manifest.json", "/nothing"):
        ask(server, path)
    first, second = server.requests
    assert [repr(first).partition(",")[0], repr(second)] == ["GET /manifest.json: 200", "GET /nothing: 404, 23 bytes"]
    assert 0 <= first.time <= first.time + first.seconds <= second.time < 60 + time.monotonic() - before
    with pytest.raises(FrozenInstanceError):
        first.sent = 3
    server.requests.clear()  # what it gives is a copy
    assert len(server.requests) == 2


def test_what_it_shows(server: ReleaseServer, signed: Callable[..., UpdateImage]):
    assert repr(server) == "ReleaseServer: staging with 1.1.0"
    release(signed("1.0.0"), "staging")
    release(signed("1.2.0-rc.1"), "staging")
    assert repr(server) == "ReleaseServer: staging with 1.0.0, 1.1.0, 1.2.0-rc.1"
    assert f">{server.url}</a>" in server._repr_html_()
    assert server.plot().alt.startswith("Which bytes of the image")


def test_it_stays_with_its_folder(server: ReleaseServer, here: Path, monkeypatch: pytest.MonkeyPatch):
    (here / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert ask(server, "/manifest.json")[0].status == 200
    assert repr(server) == "ReleaseServer: staging with 1.1.0"


def test_a_folder_without_a_release(here: Path):
    (here / "new").mkdir()
    with serve_releases("new") as server:
        assert repr(server) == "ReleaseServer: new with no release yet"
        assert ask(server, "/manifest.json")[0].status == 404


def test_it_ends(staging: Release):
    server = serve_releases("staging")
    place = urlsplit(server.url)
    idle = HTTPConnection(place.hostname, place.port, timeout=60)
    idle.request("GET", "/manifest.json")
    idle.getresponse().read()
    server.close()
    assert idle.sock.recv(1) == b""
    idle.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((place.hostname, place.port), timeout=60)
    assert "releases" not in [thread.name for thread in threading.enumerate()]
    assert len(server.requests) == 1
    server.close()
    with serve_releases("staging", port=place.port) as again:
        assert again.url == server.url


def test_https(staging: Release, tmp_path: Path):
    certificate = new_certificate("releases", "127.0.0.1")
    for given in (certificate, certificate.save(tmp_path / "server.pem")):
        with serve_releases("staging", certificate=given) as server:
            place = urlsplit(server.url)
            assert place.scheme == "https"
            with socket.create_connection((place.hostname, place.port)):  # says nothing, and is in nobody's way
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(certificate.der))
                connection = HTTPSConnection(place.hostname, place.port, context=context, timeout=60)
                connection.request("GET", IMAGE)
                assert connection.getresponse().read() == staging.path.read_bytes()
                assert connection.sock.getpeercert(binary_form=True) == certificate.der
                connection.close()
            server.break_after(500_000)
            connection.request("GET", IMAGE)
            with pytest.raises((IncompleteRead, ssl.SSLError)):
                connection.getresponse().read()
            connection.close()
            with suppress(OSError):  # it may hang up before all is said
                assert say(server, "GET / HTTP/1.1\r\n\r\n")[:5] != b"HTTP/"
            assert [request.is_broken for request in server.requests] == [False, True]


def test_where_nobody_can_listen(staging: Release, here: Path):
    (here / "file").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for folder, options, words in (
            ("nowhere", {}, r"nowhere is no folder. kit.release\(image, folder\) makes one"),
            ("file", {}, "file is no folder"),
            (None, {}, "None is no folder"),
            ("a\0b", {}, "is no folder"),
            ("staging", {"host": "0.0.0.0"}, "By '0.0.0.0' no board reaches this computer"),
            ("staging", {"host": "my-computer"}, "By 'my-computer' no board"),
            ("staging", {"host": None}, "By None no board"),
            ("staging", {"host": "192.0.2.1"}, "Nobody can listen at 192.0.2.1, port any: "),
            ("staging", {"port": taken.getsockname()[1]}, "Address already in use. Give"),
            ("staging", {"port": 65536}, "65536 is no port"),
            ("staging", {"port": "80"}, "'80' is no port"),
        ):
            with pytest.raises(ReleaseError, match=words):
                serve_releases(folder, **options)
    with pytest.raises(SecurityError, match="A int is no certificate"):
        serve_releases("staging", certificate=3)


def test_it_is_there_by_its_name():
    assert kit.serve_releases is serve_releases
