import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from littlefs import LittleFS, UserContext

from kit.board.board import Board
from kit.image import standin
from kit.image.app_image import with_descriptor
from kit.image.application import new_app
from kit.image.update_image import build
from kit.ota.client import OtaClient
from kit.virtual.flash import SECTOR
from kit.virtual.mac import mac_of
from kit.virtual.run.littlefs import GEOMETRY

FLASH_SIZE = 4 * 1024 * 1024
VFS = 0x310000


@dataclass
class Running:
    """A virtual board in a process of its own."""

    serial: str
    http: str
    control: str
    process: subprocess.Popen
    flash: Path

    @property
    def name(self) -> str:
        """Its hostname, where nobody has given it another one."""
        return f"esp32-ota-{mac_of(self.flash)[-2:].hex()}"

    def board(self) -> Board:
        return Board(self.serial, url=self.http, control=self.control)

    def client(self) -> OtaClient:
        return OtaClient(self.http, virtual=True)


@contextlib.contextmanager
def running(flash: Path, *options: str) -> Iterator[Running]:
    """Start `python -m kit.virtual`, wait until it is ready, and end it at the end; it must not complain meanwhile."""
    command = [sys.executable, "-m", "kit.virtual", "--pace", "0", "--flash", str(flash), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline().split(": ", 1) for _ in range(3)]
            yield Running(**{name: address.strip() for name, address in lines}, process=process, flash=flash)
        finally:
            process.terminate()
            try:
                _, complaints = process.communicate(timeout=60)  # of the board's run mode too, which ends with it
            finally:
                process.kill()  # `with` would wait for it
        assert complaints == ""


@pytest.fixture(scope="session", name="running")
def running_fixture() -> Callable[..., contextlib.AbstractContextManager[Running]]:
    return running


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Function that starts a virtual board on a flash file, by default a blank one."""
    with contextlib.ExitStack() as stack:
        yield lambda flash=tmp_path / "flash.bin", *options: stack.enter_context(running(flash, *options))


@pytest.fixture
def start_changed(start: Callable[..., Running], tmp_path: Path) -> Callable[[str, str, str], Running]:
    """Function that starts a board, installed, in a module of whose application another text stands for one."""

    def start_one(module: str, there: str, instead: str) -> Running:
        virtual, app = start(), new_app(tmp_path / "app")
        source = (app / module).read_text()
        assert source.count(there) == 1
        (app / module).write_text(source.replace(there, instead))
        board = virtual.board()
        board.flash(build("1.0.0", board=board, app=app))
        board.install()
        return virtual

    return start_one


@pytest.fixture(scope="session")
def micropython_flash() -> bytes:
    """A flash with MicroPython in ota_0 and nothing else: neither boot files nor settings."""
    image = build("1.0.0", base=standin.image_set())
    return (b"\xff" * 0x1000 + image.base.before_slots() + image.data).ljust(FLASH_SIZE, b"\xff")


@pytest.fixture
def board(start: Callable[..., Running], tmp_path: Path, micropython_flash: bytes) -> Board:
    """A board with MicroPython and no application."""
    (tmp_path / "flash.bin").write_bytes(micropython_flash)
    board = start().board()
    assert board.reset().endswith(">>> ")
    return board


@pytest.fixture(scope="session")
def firmware_bin() -> bytes:
    """A file with the layout of a MicroPython release, which starts at flash 0x1000; its app is nameless."""
    base = standin.image_set()
    app = with_descriptor(base.app, version="", project="", date="Aug  9 2025", time="12:34:56")
    return base.before_slots() + app


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
def installed(
    installed_file: Path, tmp_path: Path, start: Callable[..., Running], wait_until: Callable[..., None]
) -> Running:
    """A running virtual board with 1.0.0 on it."""
    virtual = start(shutil.copy(installed_file, tmp_path / "installed.bin"))
    wait_until(lambda: answers(virtual))
    return virtual


def answers(virtual: Running) -> bool:
    with contextlib.suppress(Exception):
        return bool(virtual.client().info())
    return False


def run_tool(folder: Path, name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run one of the stock tools of this environment in a folder."""
    command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KIT_")}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=150, check=False
    )


@pytest.fixture(scope="session", name="run_tool")
def run_tool_fixture() -> Callable[..., subprocess.CompletedProcess[str]]:
    return run_tool


@pytest.fixture
def tool(tmp_path: Path) -> Callable[..., str]:
    """Function that runs a stock tool and returns what it prints."""

    def run(name: str, *arguments: object) -> str:
        done = run_tool(tmp_path, name, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


class Reader(UserContext):
    """How littlefs reads the partition vfs of a flash, or of what else has a `read` with address and length."""

    def __init__(self, flash: object) -> None:
        self._flash = flash

    def read(self, cfg: object, block: int, offset: int, size: int) -> bytearray:
        return bytearray(self._flash.read(VFS + block * SECTOR + offset, size))


def files_in(flash: object) -> dict[str, bytes]:
    """Return all files of vfs by path. Raises where it does not mount."""
    blocks = (FLASH_SIZE - VFS) // SECTOR
    fs = LittleFS(Reader(flash), mount=False, block_size=SECTOR, block_count=blocks, **GEOMETRY)
    fs.mount()
    found = {}
    for folder, _, names in fs.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with fs.open(path, "rb") as file:
                found[path] = file.read()
    return found


@pytest.fixture(scope="session", name="files_in")
def files_in_fixture() -> Callable[[object], dict[str, bytes]]:
    return files_in
