"""HTTPS from the installation of a certificate to an update, on the virtual board."""

import contextlib
import http.client
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from kit import OtaClient
from kit.board.board import Board
from kit.errors import BoardError, SecurityError, UpdateError
from kit.faults.link import Link
from kit.image.update_image import UpdateImage, build
from kit.security.certificate import Certificate, new_certificate
from kit.settings import DEMO


@pytest.fixture(scope="session")
def newer() -> UpdateImage:
    return build("1.1.0")


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return new_certificate("board-of-these-tests", "127.0.0.1")


def board_of(virtual) -> Board:
    """The board as kit.connect gives it: its boot log says where it is."""
    return Board(virtual.serial, control=virtual.control)


@pytest.fixture(scope="module")
def secure_file(
    installed_file: Path, tmp_path_factory: pytest.TempPathFactory, running: Callable, certificate: Certificate
) -> Path:
    """A flash with a certificate and HTTPS switched on and confirmed; not to be changed."""
    path = shutil.copy(installed_file, tmp_path_factory.mktemp("secure") / "flash.bin")
    with running(path) as virtual:
        board = board_of(virtual)
        board.install(certificate=certificate)
        ota = OtaClient(board.url)
        ota.login()
        ota.configure(https=True)
        log = board.reset()
        assert f"Certificate: SHA-256 {certificate.fingerprint}" in log
        assert board.url.startswith("https://127.0.0.1:")
        OtaClient(board.url).login()  # confirms it
    return path


@pytest.fixture
def secure(secure_file: Path, tmp_path: Path, start: Callable):
    """A running board with HTTPS on."""
    return start(shutil.copy(secure_file, tmp_path / "secure.bin"))


@pytest.fixture
def url(secure) -> str:
    """Where its HTTPS is reached."""
    board = board_of(secure)
    board.reset()
    return board.url


def test_it_stays_on(secure, url: str, certificate: Certificate):
    where = urlsplit(url)
    found = ssl.get_server_certificate((where.hostname, where.port))
    assert ssl.PEM_cert_to_DER_cert(found) == certificate.der
    assert requests.get(f"{secure.http}/info", timeout=60).json()["https"] is True


def test_whole_update_by_the_kit(url: str, newer: UpdateImage):
    """The kit asks nothing else while it sends."""
    ota = OtaClient(url, virtual=True)
    ota.login()
    result = ota.upload(newer, whole=True)
    assert repr(result) == f"1.1.0 in ota_1: {newer.size:,} bytes accepted, confirmed"
    assert [done for _, _, done, _ in result.samples] == sorted(done for _, _, done, _ in result.samples)
    assert result.samples[-1][2] == newer.size
    info = ota.info()
    assert (info["version"], info["image_state"], info["https"]) == ("1.1.0", "VALID", True)


def test_refusals_over_https(url: str, newer: UpdateImage):
    """The kit hears them although it sends, and the next session finds its memory."""
    ota = OtaClient(url, virtual=True)
    ota.login()
    for damaged, error in (
        (b"hello " * 200_000, "UPDATE_ERROR_MAGIC_BYTE"),
        (newer.data + bytes(0x180000), "UPDATE_ERROR_SIZE"),
        (newer.data[:700_000] + bytes(100) + newer.data[700_100:], "UPDATE_ERROR_ACTIVATE"),
    ):
        with pytest.raises(UpdateError) as caught:
            ota.upload(damaged, whole=True)
        assert caught.value.error == error
    assert ota.upload(newer).version == "1.1.0"


def test_changed_sectors_by_the_kit(url: str, newer: UpdateImage):
    ota = OtaClient(url, virtual=True)
    ota.login()
    ota.upload(newer)
    ota.login()
    result = ota.upload(build("1.2.0"))
    ota.login()
    assert ota.upload(build("1.3.0")).sectors is not None
    assert result.version == "1.2.0"


def test_whole_update_by_curl(secure, url: str, newer: UpdateImage, tmp_path: Path, need_tool: Callable, wait_until):
    curl = need_tool("curl")
    newer.save(tmp_path / "update.bin")
    command = [curl, "--silent", "--show-error", "--noproxy", "*", "--insecure"]
    command += ["--user", f"admin:{DEMO.password}", "--data-binary", "@update.bin", f"{url}/update"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout)["version"] == "1.1.0"

    def confirmed() -> bool:
        with contextlib.suppress(OSError, ValueError):
            info = requests.get(f"{secure.http}/info", timeout=10).json()
            return (info["version"], info["image_state"]) == ("1.1.0", "VALID")
        return False

    wait_until(confirmed)


def test_port_80_leads_there(secure, url: str):
    answer = requests.get(f"{secure.http}/update", allow_redirects=False, timeout=60)
    assert (answer.status_code, answer.headers["Location"]) == (308, f"{url}/update")
    with Link(secure.http) as link, link.record() as heard, pytest.raises(BoardError, match="by HTTPS only"):
        OtaClient(link.url, virtual=True).login()
    assert heard  # GET /info alone: the password does not leave
    assert not any(DEMO.password.encode() in sent for sent, _ in heard)


def test_a_wrong_pin_gets_nothing(url: str):
    """Nothing is sent, whatever is asked."""
    other = new_certificate("another-board", "127.0.0.1")
    ota = OtaClient(url, virtual=True, pin=other.pin)
    for verb in (ota.info, ota.login):
        with pytest.raises(BoardError, match="another one than the board answers there"):
            verb()


def test_slow_clients(secure, url: str):
    """Each of them costs nobody else anything but a while: half a ClientHello, and nothing after the ServerHello."""
    where = urlsplit(url)

    def connect() -> socket.socket:
        return socket.create_connection((where.hostname, where.port), timeout=60)

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    hello = outgoing.read()
    ota = OtaClient(url, virtual=True)
    with connect(), connect(), connect() as half, connect() as silent:
        half.sendall(hello[:100])
        silent.sendall(hello)
        assert requests.get(f"{secure.http}/info", timeout=60).status_code == 200
        end = 3
        while True:
            with contextlib.suppress(BoardError):
                assert ota.info()["version"] == "1.0.0"
                break
            end -= 1
            assert end


def test_page_style_and_script_over_one_connection(url: str):
    where = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    browser = http.client.HTTPSConnection(where.hostname, where.port, timeout=60, context=context)
    with contextlib.closing(browser):
        for path in ("/", "/style.css", "/ota.js"):
            browser.request("GET", path)
            line = browser.sock
            assert browser.getresponse().read()
            assert browser.sock is line


def test_its_port_is_the_same_at_the_next_start(secure_file: Path, tmp_path: Path, running: Callable):
    flash = shutil.copy(secure_file, tmp_path / "flash.bin")
    urls = []
    for _ in range(2):
        with running(flash) as virtual:
            board = board_of(virtual)
            board.reset()
            urls.append(board.url)
            where = urlsplit(board.url)
    assert urls[0] == urls[1]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((where.hostname, where.port), timeout=20)


def test_a_certificate_for_another_board_is_not_installed(installed):
    board = board_of(installed)
    with pytest.raises(SecurityError, match="is for another-board"):
        board.install(certificate=new_certificate("another-board"))
    with pytest.raises(SecurityError, match="cannot be read"):
        board.install(certificate="nowhere.pem")
    with pytest.raises(SecurityError, match="no certificate"):
        board.install(certificate=5)
    assert b"cert1" not in installed.flash.read_bytes()[0x9000:0xD000]


def test_a_new_certificate_takes_the_place_of_the_old_one(secure, certificate: Certificate, tmp_path: Path):
    """And the button, or an installation, switches HTTPS off."""
    board = board_of(secure)
    other = new_certificate(secure.name)
    assert certificate.der in secure.flash.read_bytes()
    board.install(certificate=other.save(tmp_path / "other.pem"))
    assert board.url == secure.http
    with board.repl() as repl:
        assert repl.eval("__import__('esp32').NVS('kit').get_i32('cert')") == 2
