"""A harness that runs the firmware and the virtual board's stand-in modules on CPython and on a real MicroPython.

On MicroPython everything is compiled with mpy-cross, as for a board, and the heap is that of a board: 120 kB of 32-bit
words (`120wk`), which are 64-bit here.
"""

import json
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import requests

from kit.image import otadata
from kit.image.application import PACKED, SENT, compile_module, packed
from kit.image.base import BaseImage
from kit.image.layout import make
from kit.image.standin import image_set
from kit.image.table import MICROPYTHON_OTA, OFFSET
from kit.image.update_image import UpdateImage, build

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
WWW = ROOT / "firmware/app/www"
HEAP = "120wk"
FLASH_SIZE = 0x400000
DROM, IRAM = 0x3F400020, 0x40080000
OTADATA, OTA_0, OTA_1 = 0xD000, 0x10000, 0x190000
PASSWORD = "a password of our own"
# What a board tells of itself
TOLD = {"hostname": "esp32-ota-0110", "version": "1.0.0", "running": "ota_0", "image_state": "VALID"}
APPLICATION = "def run():\n    print('APPLICATION RUNS')\n"


@dataclass(frozen=True)
class Done:
    """A finished run: exit code and output."""

    code: int
    output: str


@dataclass(frozen=True)
class Interpreter:
    """A command that runs `_run.py`, and the folders on its path."""

    name: str
    command: tuple[str, ...]
    folders: tuple[Path, ...]

    def arguments(self, body: str, function: str, flash: Path, *arguments: object) -> list[str]:
        path = ":".join(map(str, self.folders))
        return [*self.command, str(HERE / "chip/_run.py"), path, body, function, str(flash), *map(str, arguments)]

    def run(self, body: str, function: str, flash: Path, *arguments: object) -> Done:
        """Run a function of a body in a process of its own."""
        done = subprocess.run(
            self.arguments(body, function, flash, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout)


FIRMWARE = ROOT / "firmware"


def modules(boot: Path = FIRMWARE, app: Path = FIRMWARE / "app") -> dict[str, Path]:
    """Every module of boot files and application, the stand-ins, the chip and the bodies, by what it is imported as."""
    folders = (app, ROOT / "kit/virtual/board", HERE / "chip", HERE / "bodies")
    found = {path.stem: path for folder in folders for path in folder.glob("*.py") if path.stem != "__init__"}
    files = {path.stem: path for path in boot.glob("*.py") if path.stem != "main"}
    files["boot_main"] = boot / "main.py"
    return found | files | {"_otadata": ROOT / "kit/image/otadata.py"}


def write_compiled(folder: Path, sources: dict[str, Path]) -> None:
    for name, path in sources.items():
        file = folder / f"{name}.mpy"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(compile_module(path.name, path.read_text()))


def write_pages(folder: Path) -> None:
    """The pages, packed for today's application and as they are for an older one."""
    shutil.copytree(WWW, folder / "www")
    for name in SENT:
        (folder / f"{name}{PACKED}").write_bytes(packed((folder / name).read_bytes()))


def on_cpython(folder: Path, sources: dict[str, Path]) -> Interpreter:
    for name, path in sources.items():
        (folder / f"{name}.py").write_bytes(path.read_bytes())
    write_pages(folder)
    return Interpreter("cpython", (sys.executable, "-u"), (HERE / "chip/cpython", folder))


def on_micropython(folder: Path, sources: dict[str, Path], micropython: str) -> Interpreter:
    """A real MicroPython with everything as .mpy."""
    write_compiled(folder, sources)
    write_compiled(folder, {path.stem: path for path in (HERE / "chip/micropython").glob("*.py")})
    write_pages(folder)
    return Interpreter("micropython", (micropython, "-X", f"heapsize={HEAP}"), (folder,))


@pytest.fixture(scope="session")
def cpython(tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    return on_cpython(tmp_path_factory.mktemp("py"), modules())


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory, micropython: str) -> Interpreter:
    return on_micropython(tmp_path_factory.mktemp("mpy"), modules(), micropython)


@pytest.fixture(scope="session")
def make_interpreter(micropython: str) -> Callable[..., Interpreter]:
    """Function that makes an interpreter in a folder, with boot files or application from another one."""

    def make(name: str, folder: Path, **folders: Path) -> Interpreter:
        sources = modules(**folders)
        return on_cpython(folder, sources) if name == "cpython" else on_micropython(folder, sources, micropython)

    return make


@pytest.fixture(scope="session")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The firmware as it was when the interface of boot files and application got its first number."""
    folder = tmp_path_factory.mktemp("c588732")
    shutil.unpack_archive(HERE / "c588732.zip", folder)
    return folder / "firmware"


@pytest.fixture(params=["cpython", "micropython"])
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Each interpreter in turn."""
    return request.getfixturevalue("cpython" if request.param == "cpython" else "compiled")


def small_base(is_stand_in: bool) -> BaseImage:
    """A base whose app image has a few sectors; the header of a segment lies across the end of the first one."""
    descriptor = image_set().app[0x20:0x120]
    drom = descriptor.ljust(4096 - 4 - 32, b"\x55")
    app = make([(DROM, drom), (IRAM, bytes(range(256)) * 32)], IRAM)
    return BaseImage(b"", MICROPYTHON_OTA, app, is_stand_in, name="small")


@pytest.fixture(scope="session")
def make_image(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., UpdateImage]:
    """Function that builds a small update image, whose application prints one line."""

    @cache
    def make_one(version: str, is_stand_in: bool = True, application: str = APPLICATION) -> UpdateImage:
        app = tmp_path_factory.mktemp("app")
        (app / "main.py").write_text(application)
        (app / "lib").mkdir()
        (app / "lib/data.bin").write_bytes(random.Random(1).randbytes(40_000))  # as much as a library
        return build(version, base=small_base(is_stand_in), app=app)

    return make_one


@pytest.fixture
def image_file(make_image: Callable[..., UpdateImage], tmp_path: Path) -> Path:
    """Version 1.1.0 as a file."""
    return make_image("1.1.0").save(tmp_path / "1.1.0.bin")


@pytest.fixture
def make_flash(make_image: Callable[..., UpdateImage], tmp_path: Path) -> Callable[..., Path]:
    """Function that makes a flash file with version 1.0.0 in ota_0, and returns its path.

    Its arguments: the two otadata records as (seq, state); what is in the slots; the partition table.
    """

    def make_file(*records, slot_0=None, slot_1=b"", table=MICROPYTHON_OTA) -> Path:
        data = bytearray(b"\xff" * FLASH_SIZE)
        for number, record in enumerate(records or [(1, otadata.VALID)]):
            place(data, OTADATA + number * 0x1000, otadata.pack(*record))
        place(data, OFFSET, table.to_bytes())
        place(data, OTA_0, make_image("1.0.0").data if slot_0 is None else slot_0)
        place(data, OTA_1, slot_1)
        path = tmp_path / "flash.bin"
        path.write_bytes(data)
        return path

    return make_file


def place(flash: bytearray, start: int, data: bytes) -> None:
    flash[start : start + len(data)] = data


class Board:
    """The application in a process of its own, reached over HTTP."""

    def __init__(self, process: subprocess.Popen, port: int, flash: Path, https: int = 0) -> None:
        self.port = port
        self.https = https
        self.flash = flash
        self.token = ""
        self._process = process
        self._lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Connection"] = "close"  # a connection that is kept open holds a place

    def _read(self) -> None:
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def output(self) -> str:
        return "".join(self._lines)

    def wait_for(self, text: str) -> None:
        """Return once the board has printed a text."""
        with self._news:
            self._news.wait_for(lambda: text in self.output() or self._ended, timeout=60)
        assert text in self.output(), self.output()

    def wait(self) -> int:
        """Return the exit code of the process."""
        code = self._process.wait(timeout=60)
        self._reader.join()
        return code

    def stop(self) -> None:
        self._process.kill()
        self.wait()
        self._process.stdout.close()
        self._session.close()

    def get(self, path: str, **options) -> requests.Response:
        return self._request("GET", path, **options)

    def post(self, path: str, **options) -> requests.Response:
        return self._request("POST", path, **options)

    def put(self, path: str, **options) -> requests.Response:
        return self._request("PUT", path, **options)

    def patch(self, path: str, **options) -> requests.Response:
        return self._request("PATCH", path, **options)

    def _request(self, method: str, path: str, **options) -> requests.Response:
        self._session.cookies.clear()
        options = {"timeout": 60, "allow_redirects": False} | options
        return self._session.request(method, f"http://127.0.0.1:{self.port}{path}", **options)

    def log_in(self, password: str) -> None:
        self.token = self.post("/login", json={"password": password}).json()["token"]

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def update(self, data: object, headers: dict[str, str] | None = None, **options) -> requests.Response:
        return self.post("/update", data=data, headers=(headers or {}) | self.bearer, **options)

    def progress(self) -> dict:
        return self.get("/progress", headers=self.bearer).json()

    def wait_until(self, is_so: Callable[[dict], bool]) -> None:
        """Return once GET /progress shows what is wanted."""
        end = time.monotonic() + 30
        while not is_so(self.progress()):
            assert time.monotonic() < end, self.output()

    def connect(self, *lines: str, data: bytes = b"") -> socket.socket:
        """Open a connection and send a head, if there are lines, with a Host, and a part of a body."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        if lines:
            first, *others = lines
            lines = (first, f"Host: 127.0.0.1:{self.port}", "Connection: close", *others)
            connection.sendall("\r\n".join((*lines, "", "")).encode() + data)
        return connection

    def start_upload(self, size: int, data: bytes, *headers: str) -> socket.socket:
        """Send the head of a POST /update that announces `size` bytes, and a part of its body."""
        authorization = f"Authorization: Bearer {self.token}"
        return self.connect("POST /update HTTP/1.1", f"Content-Length: {size}", authorization, *headers, data=data)

    def records(self) -> list[tuple[int, int]]:
        """The two records of otadata as (seq, state)."""
        with self.flash.open("rb") as file:
            file.seek(OTADATA)
            return [(record.seq, record.state) for record in otadata.parse(file.read(otadata.SIZE))]


@pytest.fixture
def board(interpreter, make_flash, serve) -> Board:
    """A running board with version 1.0.0 and the OTA password PASSWORD."""
    return serve(interpreter, make_flash(), password=PASSWORD)


@pytest.fixture(scope="session")
def large() -> Callable[[str], UpdateImage]:
    """Function that builds an update image of real size: 1.25 MB of app image, and the kit's own application."""
    base = image_set()
    return cache(lambda version: build(version, base=base))


@pytest.fixture
def assert_refused() -> Callable[[requests.Response, int, str], None]:
    """Function that looks at an answer: status, error, and a sentence each of cause and advice."""

    def look(response: requests.Response, status: int, error: str) -> None:
        assert response.status_code == status, response.text
        answer = response.json()
        assert answer["error"] == error
        assert answer["message"].endswith(".")
        assert answer["advice"].endswith(".")

    return look


@pytest.fixture
def serve() -> Iterator[Callable[..., Board]]:
    """Function that starts the application on a flash file, and returns once it has printed `until`."""
    boards = []

    def start(
        interpreter: Interpreter,
        flash: Path,
        *arguments: object,
        body: str = "serve",
        until: str = "URL: http",
        **options: object,
    ) -> Board:
        arguments += tuple(f"{name}={value}" for name, value in options.items())
        # The port stays bound until the board listens on it, so that nobody else gets it.
        with socket.socket() as reserved, socket.socket() as other:
            for holder in (reserved, other):
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                holder.bind(("127.0.0.1", 0))
            port, https = reserved.getsockname()[1], other.getsockname()[1]
            if "https=1" in arguments:
                arguments = (*[argument for argument in arguments if argument != "https=1"], f"https={https}")
            process = subprocess.Popen(
                interpreter.arguments(body, "serve", flash, port, *arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            boards.append(Board(process, port, flash, https))
            boards[-1].wait_for(until)
        return boards[-1]

    yield start
    for board in boards:
        board.stop()
        print(board.output())  # pytest shows it where a test failed


class Stranger(bytes):
    """A packet that comes from another port than the one that was asked."""


class UdpServer:
    """A server for packets, which makes those of an answer from all questions so far. An empty one ends it."""

    def __init__(self, answer: Callable[[list[bytes]], list[bytes]]) -> None:
        self._answer = answer
        self._questions: list[bytes] = []
        self._link, self._other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for link in (self._link, self._other):
            link.bind(("127.0.0.1", 0))
        self.port = self._link.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while (packet := self._link.recvfrom(1024))[0]:
            self._questions.append(packet[0])
            for data in self._answer(self._questions):
                (self._other if isinstance(data, Stranger) else self._link).sendto(data, packet[1])

    def end(self) -> list[bytes]:
        """Return all questions, also the last one that came."""
        if self._thread.is_alive():
            self._other.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join()
        self._link.close()
        self._other.close()
        return self._questions


@pytest.fixture
def serve_udp() -> Iterator[Callable[..., UdpServer]]:
    """Function that starts a server for packets."""
    servers = []

    def start(answer: Callable[[list[bytes]], list[bytes]]) -> UdpServer:
        servers.append(UdpServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


@pytest.fixture(scope="session")
def stranger() -> type[Stranger]:
    return Stranger


class Teller:
    """A board that only tells, in a process of its own."""

    told = TOLD | {"pull": {"phase": "idle"}}  # at first

    def __init__(self, board, folder: Path) -> None:
        self.wait_for, self.output, self.stop = board.wait_for, board.output, board.stop
        self._folder = folder

    def give(self, name: str, value: object) -> None:
        """Put a file before the board, whole."""
        new = self._folder / "new"
        new.write_text(json.dumps(value))
        new.replace(self._folder / name)

    def put(self, **places: object) -> None:
        seen = self.output().count("PUT ")
        self.give("put", places)
        end = time.monotonic() + 60
        while self.output().count("PUT ") == seen:
            assert "Traceback" not in self.output(), self.output()
            assert time.monotonic() < end, self.output()
            time.sleep(0.02)

    def be(self, **state: object) -> None:
        self.give("state", TOLD | state)

    def turns(self) -> list[int]:
        """How often the loop had turned at each change of the problem."""
        return [int(line.rpartition(" ")[2]) for line in self.output().splitlines() if line.startswith("PROBLEM")]


@pytest.fixture
def teller(interpreter, make_flash, serve, tmp_path: Path) -> Callable[..., Teller]:
    """Function that starts a board which tells; its arguments are options of bodies/tells.py."""

    def start(**options: object) -> Teller:
        (tmp_path / "state").write_text(json.dumps(TOLD))
        board = serve(interpreter, make_flash(), tmp_path, body="tells", until="TELLING", **options)
        return Teller(board, tmp_path)

    return start
