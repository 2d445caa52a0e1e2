import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from kit.errors import ImageError
from kit.image import release, table
from kit.image.app_image import AppImage
from kit.image.base import BaseImage
from kit.image.release import base_image
from kit.image.table import MICROPYTHON_OTA, PartitionTable


class Board:
    def __init__(self, is_virtual: bool) -> None:
        self.is_virtual = is_virtual


def test_a_release_is_taken_apart(firmware_bin: bytes, nameless_app: bytes, tmp_path: Path):
    path = tmp_path / "release.bin"
    path.write_bytes(firmware_bin)
    made = base_image(Board(is_virtual=True), file=path)
    assert made.app == nameless_app
    assert made.table == table.MICROPYTHON_OTA
    assert made.bootloader == firmware_bin[: len(made.bootloader)]
    assert AppImage.parse(made.bootloader).length == len(made.bootloader)
    assert (made.name, made.is_stand_in) == ("release.bin", False)


def test_a_virtual_board_gets_the_stand_in():
    assert base_image(Board(is_virtual=True)).is_stand_in


class Server(ThreadingHTTPServer):
    """A download server on this computer that answers as the test wants."""

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.body, self.status, self.missing, self.stalls, self.requests = body, 200, 0, False, 0
        self.over = threading.Event()


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body[: len(self.server.body) - self.server.missing])
        if self.server.stalls:
            self.wfile.flush()
            self.server.over.wait(60)

    def log_message(self, *_: object) -> None:
        """Keep the output of the test clean."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, firmware_bin: bytes, tmp_path: Path) -> Iterator[Server]:
    """Where the release comes from, with an empty cache: <folder>/esp32-ota-kit."""
    with Server(firmware_bin) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr("kit.image.release.RELEASE_URL", f"http://127.0.0.1:{server.server_port}/{release.RELEASE}")
        monkeypatch.setattr("kit.image.release.RELEASE_SHA256", hashlib.sha256(firmware_bin).hexdigest())
        monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "127.0.0.1")
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def cached(tmp_path: Path) -> list[str]:
    return [path.name for path in tmp_path.rglob("*") if path.is_file()]


def test_the_release_is_micropython_s():
    assert release.RELEASE_URL == "https://micropython.org/resources/firmware/ESP32_GENERIC-OTA-20250809-v1.26.0.bin"
    assert release.RELEASE_SHA256 == "14268bb6c65d716f2baef239aa73192febe96aeea924e3fb39a4444e2e2e0cc1"


def test_a_real_board_gets_the_release_downloaded_once(
    server: Server, nameless_app: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    for _ in range(2):
        made = base_image(Board(is_virtual=False))
        assert (made.app, made.name, made.is_stand_in) == (nameless_app, release.RELEASE, False)
    assert server.requests == 1
    assert cached(tmp_path) == [release.RELEASE]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ({"status": 404}, "the server answered 404"),
        ({"missing": 100_000}, "the connection failed or broke off"),
        ({"missing": 100_000, "stalls": True}, "nothing came for 0.2 seconds"),
        ({"body": b"<html>Log in to the hotel's Wi-Fi</html>"}, "what came has another SHA-256"),
    ],
)
def test_a_download_that_fails_leaves_the_cache_clean(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    firmware_bin: bytes,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    trouble: dict[str, object],
    reason: str,
):
    monkeypatch.setattr("kit.image.release.TIMEOUT", 0.2)
    vars(server).update(trouble)
    with pytest.raises(ImageError) as caught:
        base_image(Board(is_virtual=False))
    assert caught.value.cause == f"MicroPython could not be downloaded from {release.RELEASE_URL}: {reason}."
    assert "base=kit.base_image(file=…)" in caught.value.advice
    assert cached(tmp_path) == []
    assert capfd.readouterr() == ("", "")
    vars(server).update(status=200, missing=0, stalls=False, body=firmware_bin)
    monkeypatch.setattr("kit.image.release.TIMEOUT", 20)
    assert base_image(Board(is_virtual=False)).name == release.RELEASE


def test_a_server_that_never_answers(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("kit.image.release.TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr("kit.image.release.RELEASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        with pytest.raises(ImageError, match=r"nothing came for 0\.2 seconds"):
            base_image(Board(is_virtual=False))
    with pytest.raises(ImageError, match="the connection failed"):
        base_image(Board(is_virtual=False))
    assert cached(tmp_path) == []


def test_a_cache_that_is_damaged_is_mended(server: Server, tmp_path: Path):
    (tmp_path / "esp32-ota-kit").mkdir()
    (tmp_path / "esp32-ota-kit" / release.RELEASE).write_bytes(b"half of it")
    assert base_image(Board(is_virtual=False)).name == release.RELEASE
    assert server.requests == 1
    assert cached(tmp_path) == [release.RELEASE]


def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path):
    (tmp_path / "esp32-ota-kit").write_text("a file where the folder should be")
    with pytest.raises(ImageError, match=r"could not be downloaded.*esp32-ota-kit"):
        base_image(Board(is_virtual=False))
    assert server.requests == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "r.bin: This image is empty"),
        (lambda data: b"text" * 100, "r.bin: This is no app image"),
        (lambda data: data[:0x100], "r.bin: This image is cut short"),
        (lambda data: data[:0x7000], "no partition table behind its bootloader"),
        (lambda data: data[:0x7020], "no terminating entry"),
        (lambda data: data.replace(b"\xaa\x50", b"\xff\xff"), "no partition table behind its bootloader"),
        (lambda data: data[:0xF000], "r.bin: This release is cut short"),
        (lambda data: data[:-1], "r.bin: This image is cut short"),
        (lambda data: data[0xF000:], "app image alone, without bootloader and partition table"),
        (lambda data: data[:12] + b"\x09" + data[13:], "for ESP32-S3, not for ESP32"),
        (lambda data: data[:0xF00C] + b"\x0d" + data[0xF00D:], "for ESP32-C6, not for ESP32"),
        (lambda data: data[:-100] + b"\x55" + data[-99:], "is damaged"),
        (lambda data: data[:0x7004] + b"\x01" + data[0x7005:], "Incorrect MD5 checksum"),
    ],
)
def test_a_file_that_is_no_release(firmware_bin: bytes, change, message: str):
    with pytest.raises(ImageError, match=message):
        BaseImage.from_firmware_bin(change(firmware_bin), "r.bin")


def test_a_release_without_slots(firmware_bin: bytes):
    plain = table.PartitionTable((table.Partition("factory", table.APP, 0, 0x10000, 0x1F0000),)).to_bytes()
    data = firmware_bin[:0x7000] + plain + firmware_bin[0x7C00:]
    with pytest.raises(ImageError, match=r"no two slots.*ESP32_GENERIC-OTA"):
        BaseImage.from_firmware_bin(data, "r.bin")


def test_a_file_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ImageError, match="There is no file"):
        base_image(file=tmp_path / "none.bin")
    with pytest.raises(ImageError, match="is a folder"):
        base_image(file=tmp_path)


def test_a_stand_in_stays_one_when_it_comes_from_a_file():
    made = base_image()
    data = made.before_slots() + made.app
    assert BaseImage.from_firmware_bin(data, "dump.bin").is_stand_in


def test_a_damaged_bootloader(firmware_bin: bytes):
    damaged = bytearray(firmware_bin)
    damaged[100] ^= 1
    with pytest.raises(ImageError, match="bootloader in this file is damaged"):
        BaseImage.from_firmware_bin(bytes(damaged), "firmware.bin")


def test_a_release_that_ends_before_its_slot(firmware_bin: bytes):
    with pytest.raises(ImageError, match="ends before its first slot"):
        BaseImage.from_firmware_bin(firmware_bin[:0xE000], "firmware.bin")


def test_a_table_that_a_bootloader_would_refuse(firmware_bin: bytes):
    rows = [replace(row, offset=0x110000) if row.label == "ota_1" else row for row in MICROPYTHON_OTA]
    table = PartitionTable(tuple(rows)).to_bytes()
    with pytest.raises(ImageError, match="overlaps"):
        BaseImage.from_firmware_bin(firmware_bin[:0x7000] + table + firmware_bin[0x7C00:], "firmware.bin")


@pytest.mark.parametrize("file", [3, b"firmware.bin"])
def test_a_file_without_a_name(file: object):
    with pytest.raises(ImageError, match="A file has a name"):
        base_image(file=file)
