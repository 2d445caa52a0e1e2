"""Boards keep the boot files that they once got: each application runs on each set of them, on both interpreters."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.image import otadata

PASSWORD = "a password of our own"
VALID, PENDING_VERIFY, NEW = otadata.VALID, otadata.PENDING_VERIFY, otadata.NEW


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory, make_interpreter: Callable):
    """Function that makes an interpreter with boot files and application of our choice."""
    return lambda name, **folders: make_interpreter(name, tmp_path_factory.mktemp("mixed"), **folders)


@pytest.fixture(scope="session", params=["cpython", "micropython"])
def on_old_boot_files(request: pytest.FixtureRequest, make: Callable, oldest: Path):
    return make(request.param, boot=oldest)


@pytest.fixture(scope="session", params=["cpython", "micropython"])
def old_application(request: pytest.FixtureRequest, make: Callable, oldest: Path):
    return make(request.param, app=oldest / "app")


@pytest.fixture
def port() -> int:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return reserved.getsockname()[1]


def test_starts_confirms_and_updates_on_old_boot_files(on_old_boot_files, make_flash, make_image, serve) -> None:
    board = serve(on_old_boot_files, make_flash((1, PENDING_VERIFY)), password=PASSWORD)
    board.wait_for("Update confirmed")
    assert board.get("/inside").json()["timers"] == [5_000]  # these boot files do not feed the REPL themselves
    board.log_in(PASSWORD)
    assert board.update(make_image("1.1.0").data).status_code == 200
    assert board.wait() == 42
    assert board.records() == [(1, VALID), (2, NEW)]
    board = serve(on_old_boot_files, make_flash(), password=PASSWORD)
    assert board.get("/inside").json()["watched"] == []
    board.log_in(PASSWORD)
    assert board.post("/restart", headers=board.bearer).status_code == 200
    assert board.wait() == 42


def test_heals(interpreter, make_flash) -> None:
    done = interpreter.run("heals", "resets_once_in_ten_minutes", make_flash())
    assert done.code == 0, done.output


def test_does_not_heal_on_old_boot_files(on_old_boot_files, make_flash) -> None:
    done = on_old_boot_files.run("heals", "goes_on", make_flash())
    assert done.code == 0, done.output


def test_an_old_application_confirms(old_application, make_flash, port: int) -> None:
    done = old_application.run("old_application", "confirms", make_flash((1, PENDING_VERIFY)), port)
    assert done.code == 0, done.output
    assert "Update confirmed" in done.output


def test_an_old_application_updates(old_application, make_flash, port: int, image_file: Path) -> None:
    done = old_application.run("old_application", "serves_and_updates", make_flash(), port, image_file)
    assert done.code == 0, done.output


def test_an_old_application_without_settings(old_application, make_flash, port: int) -> None:
    done = old_application.run("old_application", "without_settings", make_flash(), port)
    assert done.code == 0, done.output
