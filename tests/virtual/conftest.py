import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.board import Board
from kit.ota import OtaClient
from kit.update_image import build


@dataclass
class Running:
    """A virtual board in a process of its own."""

    serial: str
    http: str
    control: str
    process: subprocess.Popen

    def board(self) -> Board:
        return Board(self.serial, url=self.http, is_virtual=True)

    def client(self) -> OtaClient:
        return OtaClient(self.http, virtual=True)


@contextlib.contextmanager
def running(flash: Path, *options: str) -> Iterator[Running]:
    """Start `python -m kit.virtual`, wait until it is ready, and end it at the end."""
    command = [sys.executable, "-m", "kit.virtual", "--pace", "0", "--flash", str(flash), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline().split(": ", 1) for _ in range(3)]
            yield Running(**{name: address.strip() for name, address in lines}, process=process)
        finally:
            process.terminate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Function that starts a virtual board on a flash file, by default a blank one."""
    with contextlib.ExitStack() as stack:
        yield lambda flash=tmp_path / "flash.bin", *options: stack.enter_context(running(flash, *options))


@pytest.fixture(scope="session")
def installed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flash with version 1.0.0 in ota_0, the boot files and the settings; not to be changed."""
    path = tmp_path_factory.mktemp("installed") / "flash.bin"
    with running(path) as virtual:
        board = virtual.board()
        board.flash(build("1.0.0", board=board))
        board.install()
    return path


@pytest.fixture
def installed(installed_file: Path, tmp_path: Path, start: Callable[..., Running]) -> Running:
    """A running virtual board with 1.0.0 on it."""
    virtual = start(shutil.copy(installed_file, tmp_path / "installed.bin"))
    wait_until(lambda: answers(virtual))
    return virtual


def answers(virtual: Running) -> bool:
    with contextlib.suppress(Exception):
        return bool(virtual.client().info())
    return False


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="session", name="wait_until")
def wait_until_fixture() -> Callable[..., None]:
    return wait_until


@pytest.fixture
def tool(tmp_path: Path) -> Callable[..., str]:
    """Function that runs one of the stock tools of this environment and returns what it prints."""

    def run(name: str, *arguments: object) -> str:
        command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KIT_")}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=150, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
