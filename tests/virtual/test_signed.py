"""Signed updates whole: keys by cable, images by every way in."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import kit
from kit.errors import KitError, UpdateError
from kit.image.update_image import UpdateImage, build
from kit.ota.client import OtaClient
from kit.security.keys import Key, new_key

AUTHORIZATION = "admin:virtual-ota"
SIGN = "UPDATE_ERROR_SIGN"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[Key]:
    folder = tmp_path_factory.mktemp("keys")
    return [new_key(folder / f"{number}.pem") for number in range(2)]


@pytest.fixture
def board(installed_file: Path, start: Callable, tmp_path: Path):
    flash = tmp_path / "flash.bin"
    flash.write_bytes(installed_file.read_bytes())
    return start(flash).board()


def logged_in(board: kit.Board) -> OtaClient:
    ota = OtaClient(board.url, virtual=True)
    ota.login()
    return ota


def refused(send: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(UpdateError) as caught:
        send(*arguments)
    assert caught.value.status == (403 if caught.value.error == SIGN else 409)
    return caught.value.error


def test_from_the_first_key_to_the_last(board: kit.Board, keys: list[Key]):
    """Trust a key, take what it signed, bring a second one through the air, and open the door again."""
    board.install(signers=[keys[0]])
    ota = logged_in(board)
    assert refused(ota.upload, build("1.1.0")) == SIGN
    assert refused(ota.upload, build("1.1.0").sign(keys[1])) == SIGN
    assert logged_in(board).upload(build("1.1.0").sign(keys[0])).version == "1.1.0"
    assert refused(logged_in(board).rollback) == SIGN  # 1.0.0 came by cable, unsigned
    assert logged_in(board).upload(build("1.2.0", secure_version=1).sign(keys[0], keys[1])).slot == "ota_0"
    ota = logged_in(board)
    assert SIGN in [entry.facts.get("error") for entry in ota.log()]
    board.reset()  # a confirmed version starts: key and security version are good now
    assert refused(logged_in(board).rollback) == "UPDATE_ERROR_VERSION"
    assert refused(logged_in(board).upload, build("1.3.0").sign(keys[1])) == "UPDATE_ERROR_VERSION"
    assert logged_in(board).upload(build("1.3.0", secure_version=1).sign(keys[1])).version == "1.3.0"
    board.install()  # settings anew: the keys stay
    assert refused(logged_in(board).upload, build("1.4.0", secure_version=1)) == SIGN
    board.install(signers=[])
    assert refused(logged_in(board).upload, build("1.4.0")) == "UPDATE_ERROR_VERSION"  # of what runs
    assert logged_in(board).upload(build("1.4.0", secure_version=1)).version == "1.4.0"


def test_every_way_in(board: kit.Board, keys: list[Key], tmp_path: Path):
    board.install(signers=[keys[0]])
    unsigned, other = build("1.1.0"), build("1.1.0").sign(keys[1])
    for image in (unsigned, other):
        image.save(tmp_path / "update.bin")
        for options in (["--data-binary", "@update.bin"], ["-F", "file=@update.bin"]):
            command = ["curl", "-s", "-u", AUTHORIZATION, *options, f"{board.url}/update?force=1"]
            said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout
            assert SIGN in said
    assert refused(logged_in(board).upload, unsigned, True, unsigned.md5) == SIGN
    signed: UpdateImage = build("1.1.0").sign(keys[0])
    signed.save(tmp_path / "update.bin")
    command = ["curl", "-s", "-u", AUTHORIZATION, "-F", "file=@update.bin", f"{board.url}/update"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout
    assert '"version": "1.1.0"' in said


def test_an_image_that_espsecure_has_signed(board: kit.Board, keys: list[Key], tmp_path: Path):
    """Whoever appends a second signature is not trusted for that."""
    board.install(signers=[keys[0]])
    build("1.1.0").save(tmp_path / "update.bin")
    espsecure = [str(Path(sys.executable).with_name("espsecure")), "sign-data"]
    for key, more in zip(keys, ([], ["--append-signatures"]), strict=True):
        pem = tmp_path / key.name
        pem.write_bytes(key.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        command = [*espsecure, "--keyfile", key.name, "--version", "2", *more, "update.bin"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert logged_in(board).upload(tmp_path / "update.bin").version == "1.1.0"
    board.reset()
    assert refused(logged_in(board).upload, build("1.2.0").sign(keys[1])) == SIGN


def test_the_button_leaves_the_keys(board: kit.Board, keys: list[Key]):
    board.install(signers=[keys[0]])
    board.reset()  # it sees the button released
    with board.press(18):
        board.reset()
    with board.repl() as repl:
        assert repl.eval("__import__('esp32').NVS('kit').get_i32('signers')") in (1, 2)
    board.install()
    assert refused(logged_in(board).upload, build("1.1.0")) == SIGN


def test_the_floor_is_of_those_who_sign(board: kit.Board, keys: list[Key]):
    """Before there were any, whoever knew the password could have raised it; from then on it stays."""
    kept = "__import__('esp32').NVS('kit').{}"
    with board.repl() as repl:
        repl.eval(kept.format("set_i32('floor', 7)"))
    board.install(signers=[keys[0]])
    assert logged_in(board).upload(build("1.1.0").sign(keys[0])).version == "1.1.0"
    with board.repl() as repl:
        repl.eval(kept.format("set_i32('floor', 7)"))
    board.install(signers=[keys[1]])
    with board.repl() as repl:
        assert repl.eval(kept.format("get_i32('floor')")) == 7
    assert refused(logged_in(board).upload, build("1.2.0").sign(keys[1])) == "UPDATE_ERROR_VERSION"


def test_what_cannot_be_used_changes_nothing(board: kit.Board, keys: list[Key], tmp_path: Path):
    board.install(signers=[keys[0]])
    (tmp_path / "none.pem").write_text("no key")
    for signers in ([tmp_path / "none.pem"], [keys[0], tmp_path / "none.pem"], [*keys, *keys], keys[0], "team.pem"):
        with pytest.raises(KitError):
            board.install(signers=signers)
    assert refused(logged_in(board).upload, build("1.1.0")) == SIGN


def test_the_boot_log_says_that_only_signed_updates_are_taken(board: kit.Board, keys: list[Key]):
    assert "Signed updates only" not in board.reset()
    board.install(signers=keys)
    log = board.reset()
    assert "Signed updates only. Trusted keys: 2" in log
    assert "The image is not signed." in log  # 1.0.0 itself, by cable
    assert "NOT_SIGNED" in [entry.event for entry in logged_in(board).log()]
    assert requests.get(f"{board.url}/info", timeout=10).json()["image_state"] == "VALID"
