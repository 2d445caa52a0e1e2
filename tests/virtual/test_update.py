"""The life of an update on the virtual board, from outside."""

import contextlib
import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kit import Board, new_app
from kit.errors import BoardError, UpdateError
from kit.image.update_image import UpdateImage, build
from kit.settings import DEMO


@pytest.fixture(scope="session")
def newer() -> UpdateImage:
    return build("1.1.0")


def versions(virtual) -> tuple[str, str, str]:
    info = virtual.client().info()
    return info["version"], info["running"], info["image_state"]


def test_whole_update_by_curl(installed, newer: UpdateImage, tmp_path: Path, need_tool: Callable, wait_until: Callable):
    curl = need_tool("curl")
    newer.save(tmp_path / "update.bin")

    def run(path: str, *options: str) -> dict:
        command = [curl, "--silent", "--show-error", "--noproxy", "*", *options, installed.http + path]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)

    assert run("/info")["version"] == "1.0.0"
    answer = run("/update", "--user", f"admin:{DEMO.password}", "--data-binary", "@update.bin")
    assert (answer["slot"], answer["version"], answer["bytes"]) == ("ota_1", "1.1.0", newer.size)
    assert set(answer["seconds"]) == {"receive", "write", "verify", "commit"}

    def confirmed() -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):  # while it restarts
            return run("/info")["version"] == "1.1.0" and run("/info")["image_state"] == "VALID"
        return False

    wait_until(confirmed)
    assert installed.board().read(0x190000, newer.size) == newer.data


def test_whole_update_by_the_kit(installed, newer: UpdateImage):
    ota = installed.client()
    ota.login()
    result = ota.upload(newer)
    assert repr(result) == f"1.1.0 in ota_1: {newer.size:,} bytes accepted, confirmed"
    assert versions(installed) == ("1.1.0", "ota_1", "VALID")
    assert [done for _, _, done, _ in result.samples] == sorted(done for _, _, done, _ in result.samples)
    assert result.samples[-1][2] == newer.size


def files_of(board: Board) -> dict[str, int]:
    """All but the log, which grows."""
    return {name: size for name, size in board.files().sizes.items() if not name.startswith("/log/")}


def test_settings_and_files_survive_an_update(installed, newer: UpdateImage):
    board = installed.board()
    code = "[__import__('esp32').NVS('kit').get_blob(key, bytearray(64)) for key in ('wifi_ssid', 'password')]"
    with board.repl() as repl:
        repl.fs_writefile("/diary.txt", b"a learner's own")
        lengths = repl.eval(code)
    files = files_of(board)
    ota = installed.client()
    ota.login()
    ota.upload(newer)
    with board.repl() as repl:
        assert repl.fs_readfile("/diary.txt") == b"a learner's own"
        assert repl.eval(code) == lengths == [len(DEMO.wifi_ssid), 48]
    assert files_of(board) == files
    ota.login()  # with the password that was set before the update


def test_an_update_that_never_confirms_is_rolled_back(installed, tmp_path: Path):
    app = new_app(tmp_path / "app")
    (app / "main.py").write_text("def run():\n    raise RuntimeError('broken on purpose')\n")
    ota = installed.client()
    ota.login()
    with pytest.raises(BoardError, match=r"1\.0\.0"):
        ota.upload(build("1.1.0", app=app))
    assert versions(installed) == ("1.0.0", "ota_0", "VALID")


@pytest.mark.parametrize("share", [0.001, 0.5, 0.99])
def test_a_dropped_upload_leaves_the_old_version(installed, newer: UpdateImage, share: float, wait_until: Callable):
    ota = installed.client()
    ota.login()
    where = urlsplit(installed.http)
    with socket.create_connection((where.hostname, where.port)) as connection:
        head = f"POST /update HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {newer.size}\r\n"
        head += f"Authorization: Bearer {ota._web.token}\r\n\r\n"
        connection.sendall(head.encode() + newer.data[: int(newer.size * share)])
        wait_until(lambda: ota.progress()["phase"] != "idle")  # of who has gone before, nobody knows whose it was
    wait_until(lambda: ota.progress()["error"] == "UPDATE_ERROR_ABORT")
    assert versions(installed) == ("1.0.0", "ota_0", "VALID")
    assert "1.0.0" in installed.board().reset()
    ota.login()
    assert ota.upload(newer).version == "1.1.0"


def test_an_image_cut_short_by_its_sender(installed, newer: UpdateImage):
    ota = installed.client()
    ota.login()
    with pytest.raises(UpdateError) as caught:
        ota.upload(newer.data[:500_000])
    assert caught.value.error == "UPDATE_ERROR_ACTIVATE"
    assert versions(installed) == ("1.0.0", "ota_0", "VALID")


@pytest.mark.parametrize(
    ("damage", "error", "status"),
    [
        (lambda data: b"hello " * 1000, "UPDATE_ERROR_MAGIC_BYTE", 415),
        (lambda data: data + bytes(0x180000), "UPDATE_ERROR_SIZE", 413),
        (lambda data: data[:700_000] + bytes(100) + data[700_100:], "UPDATE_ERROR_ACTIVATE", 422),
    ],
)
def test_bad_images_are_refused(installed, newer: UpdateImage, damage: Callable, error: str, status: int):
    ota = installed.client()
    ota.login()
    with pytest.raises(UpdateError) as caught:
        ota.upload(damage(newer.data))
    assert (caught.value.error, caught.value.status) == (error, status)
    assert versions(installed) == ("1.0.0", "ota_0", "VALID")


def test_a_wrong_password(installed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KIT_PASSWORD", "wrong")
    with pytest.raises(BoardError, match="Invalid password!"):
        installed.client().login()
