"""Pins: by which certificate a board is known, and that nothing is sent to another one."""

import contextlib
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.board.boot_log import read_boot_log
from kit.errors import BoardError, SecurityError
from kit.ota import pins
from kit.ota.client import OtaClient
from kit.security.certificate import Certificate, new_certificate

INFO = {"name": "esp32-ota", "version": "1.0.0", "running": "ota_0", "boot": "ota_0", "next": "ota_1", "uptime": 5}
INFO |= {"chip": "ESP32 (virtual)", "image_state": "VALID", "hostname": "my-board"}


@pytest.fixture(autouse=True)
def own_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of pins of one test."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / name)
    return tmp_path / "esp32-ota-kit" / "pins.json"


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return new_certificate("my-board", "127.0.0.1")


class Server:
    """A web server by TLS that tells of each byte of a request that it gets."""

    def __init__(self, certificate: Certificate, folder: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.save(folder / "server.pem"))
        self._context, self.heard, self.connections = context, b"", 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                with connection, contextlib.suppress(OSError):
                    self._answer(self._context.wrap_socket(connection, server_side=True))

    def _answer(self, client: ssl.SSLSocket) -> None:
        with client:
            while data := client.recv(4096):
                self.heard += data
                if self.heard.endswith(b"\r\n\r\n"):
                    body = json.dumps(INFO).encode()
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                    return

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def server(certificate: Certificate, tmp_path: Path) -> Iterator[Server]:
    started = Server(certificate, tmp_path)
    yield started
    started.stop()


def test_the_right_pin(server: Server, certificate: Certificate, tmp_path: Path):
    for pin in (certificate.pin, certificate.fingerprint, certificate, tmp_path / "server.pem"):
        assert OtaClient(server.url, pin=pin).info()["version"] == "1.0.0"


def test_a_wrong_pin(server: Server, certificate: Certificate):
    wrong = certificate.pin[:-1] + ("0" if certificate.pin[-1] != "0" else "1")
    with pytest.raises(BoardError, match="another one than the board") as caught:
        OtaClient(server.url, pin=wrong).info()
    assert "board.reset()" in caught.value.advice
    assert server.heard == b""


def test_no_pin(server: Server, own_pins: Path):
    """It is never taken from who answers."""
    with pytest.raises(BoardError, match="nothing proves that the board answers") as caught:
        OtaClient(server.url).info()
    assert "board.reset()" in caught.value.advice
    assert server.heard == b""
    assert not own_pins.exists()


def test_a_pin_that_was_kept(server: Server, certificate: Certificate):
    ota = OtaClient(server.url)
    pins.keep_pin(certificate.pin, server.url)
    assert ota.info()["version"] == "1.0.0"
    pins.keep_pin("0" * 64, server.url)
    with pytest.raises(BoardError, match="another one"):
        ota.info()
    assert OtaClient(server.url, pin=certificate.pin).info()["version"] == "1.0.0"


def test_pins_by_name(certificate: Certificate, own_pins: Path):
    """What is known of a port goes first."""
    pins.keep_pin(certificate.pin, *certificate.names)
    for host in ("my-board", "my-board.local", "127.0.0.1", "127.0.0.1:8443", "MY-BOARD:443"):
        assert pins.pin_for(f"https://{host}/path") == certificate.pin
    assert pins.pin_for("https://192.168.1.5") is None
    pins.keep_pin("1" * 64, "https://127.0.0.1:8443")
    pins.keep_pin("2" * 64, "127.0.0.1")
    assert pins.pin_for("https://127.0.0.1:8443") == "1" * 64
    assert pins.pin_for("https://127.0.0.1:8444") == "2" * 64
    assert own_pins.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"127.0.0.1": 5}', '{"127.0.0.1": "x"}', "[" * 100_000, "\xff"])
def test_a_file_that_is_none_of_ours(text: str, own_pins: Path):
    own_pins.parent.mkdir()
    own_pins.write_text(text, encoding="latin-1")
    assert pins.pin_for("https://127.0.0.1") is None
    pins.keep_pin("1" * 64, "127.0.0.1")
    assert pins.pin_for("https://127.0.0.1") == "1" * 64


@pytest.mark.parametrize("given", ["", "x" * 64, "1" * 63, "1" * 65, 5, b"1" * 64, [], "/nowhere/x.pem", "\0", "."])
def test_what_is_no_pin(given: object):
    with pytest.raises(SecurityError, match="no pin"):
        OtaClient("https://127.0.0.1", pin=given)


def test_a_pin_for_an_address_without_tls(server: Server, certificate: Certificate):
    """Whoever gives one would not want to be heard in the clear."""
    address = server.url.removeprefix("https://")
    for url in (f"http://{address}", address, f"HTTP://{address}"):
        with pytest.raises(SecurityError, match="begins with https"):
            OtaClient(url, pin=certificate.pin).info()
    assert not server.connections


def test_files_that_have_none(tmp_path: Path):
    path = tmp_path / "x.pem"
    for text in ("", "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n", "é"):
        path.write_text(text)
        with pytest.raises(SecurityError):
            pins.pin_of(path)


class Port:
    """A serial port on which a board says what it says."""

    def __init__(self, text: str) -> None:
        self._data = text.encode()
        self.in_waiting = len(self._data)

    def read(self, size: int) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        return data


def test_the_serial_port_tells_it(certificate: Certificate):
    start = "rst:0x1\r\nCertificate: SHA-256 {}\r\nURL: https://192.168.1.5\r\n"
    read_boot_log("/dev/ttyUSB7", Port(start.format(certificate.fingerprint)))
    assert pins.pin_for("https://192.168.1.5") == certificate.pin
    assert hashlib.sha256(certificate.der).hexdigest() == certificate.pin


def test_a_board_without_https_changes_none(certificate: Certificate, own_pins: Path):
    text = f"rst:0x1\r\nCertificate: SHA-256 {certificate.fingerprint}\r\nURL: http://192.168.1.5\r\n"
    read_boot_log("/dev/ttyUSB7", Port(text))
    assert not own_pins.exists()
