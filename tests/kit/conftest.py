import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import pytest

from kit.board.board import Board
from kit.image import table
from kit.image.app_image import DESCRIPTOR, DESCRIPTOR_MAGIC
from kit.image.layout import make
from kit.image.update_image import build
from kit.security.keys import Key, new_key


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    """A small application: two modules and a page."""
    folder = tmp_path / "my_app"
    (folder / "www").mkdir(parents=True)
    (folder / "main.py").write_text('"""The application."""\n\nimport page\n\nprint(page.COLOUR)  # the one line\n')
    (folder / "page.py").write_text('COLOUR = "green"\n')
    (folder / "www" / "index.html").write_text("<h1>Hello</h1>\n")
    return folder


@pytest.fixture(scope="session")
def nameless_app() -> bytes:
    """An app image as MicroPython builds it: as large, version and project empty."""
    descriptor = DESCRIPTOR.pack(
        DESCRIPTOR_MAGIC,
        0,
        b"",
        b"",
        b"",
        b"12:34:56",
        b"Aug  9 2025",
        b"v5.4.2",
        bytes(range(32)),
        0,
        0,
        0,
        b"",
        b"",
    )
    return make([(0x3F400020, descriptor + b"MicroPython " * 120_000), (0x40080000, bytes(2048))], 0x40081000)


@pytest.fixture(scope="session")
def firmware_bin(nameless_app: bytes) -> bytes:
    """A release file with the layout of MicroPython's: it starts at flash 0x1000."""
    bootloader = make([(0x3FFF0030, b"boot" * 1000), (0x40078000, b"load" * 3000)], 0x400805B0)
    return (bootloader.ljust(0x7000, b"\xff") + table.MICROPYTHON_OTA.to_bytes()).ljust(0xF000, b"\xff") + nameless_app


@pytest.fixture
def cells() -> Callable[[str], list[list[str]]]:
    """Function that gives the texts in an HTML table, row by row."""

    def read(html: str) -> list[list[str]]:
        rows = re.findall(r"<tr>(.*?)</tr>", html)
        return [[unescape(text) for text in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]

    return read


@pytest.fixture
def changed_board(board: Board) -> Iterator[Board]:
    """The tests' virtual board, of which nothing that a test changes stays."""
    yield board
    board.flash(build("1.0.0", board=board), erase=True)
    board.install()


@pytest.fixture
def default_board(changed_board: Board) -> Board:
    """The tests' virtual board as long as nobody has set a password."""
    with changed_board.repl() as repl:
        repl.exec('from esp32 import NVS; nvs = NVS("kit"); nvs.erase_key("password"); nvs.commit()')
    return changed_board


@pytest.fixture
def key(tmp_path: Path) -> Key:
    """A new key."""
    return new_key(tmp_path / "team.pem")


@pytest.fixture
def strict_board(changed_board: Board, key: Key) -> Board:
    """The tests' virtual board as long as it takes only what the key has signed."""
    changed_board.install(signers=[key])
    return changed_board
