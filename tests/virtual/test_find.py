"""kit.find: boards with and without a name, alive, dead and in between."""

import asyncio
import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import kit
from kit.board import found
from kit.board.boot_log import known_urls
from kit.board.control import ask
from kit.errors import AddressError
from kit.virtual import join
from kit.virtual.mac import mac_of
from kit.virtual.names import Names

NOWHERE = "http://127.0.0.1:1"  # nothing listens there
NAME = f"nobody-{os.getpid()}"


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers of this test's own, no board of an earlier test, and no question leaves this computer."""
    monkeypatch.setenv("KIT_FLASH", str(tmp_path / "flash.bin"))
    monkeypatch.setattr(found, "NETWORK", found.LOOPBACK)
    for url in list(known_urls):
        monkeypatch.delitem(known_urls, url)


@pytest.fixture
def server() -> Iterator[Callable[[bytes], str]]:
    """Function that starts a web server with one answer to everything, or none; returns its address."""
    listeners = []

    def serve(listener: socket.socket, answer: bytes) -> None:
        kept = []  # a connection that is forgotten would close
        while True:
            try:
                kept.append(listener.accept()[0])
            except OSError:
                return
            if answer:
                kept[-1].recv(4096)
                kept.pop().sendall(answer)

    def start(answer: bytes = b"") -> str:
        listeners.append(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=serve, args=(listeners[-1], answer), daemon=True).start()
        return f"http://127.0.0.1:{listeners[-1].getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def answer(info: object) -> bytes:
    return b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(info).encode()


def register(folder: Path, **addresses: object) -> None:
    (folder / "some.bin.board").write_text(json.dumps(addresses))


def test_no_board():
    assert list(kit.find()) == []
    assert repr(kit.find()) == found.NOTHING
    assert "kit.connect()" in kit.find()._repr_html_()


def test_a_running_board_by_register_and_name(installed, wait_until: Callable):
    wait_until(lambda: kit.find()[0].how == "register, mDNS")  # its web server may be up before its name
    boards = kit.find()
    assert repr(boards) == f"{installed.name}    1.0.0    ESP32 (virtual)  VALID"
    assert (boards[0].name, boards[0].url, boards[0].how) == (installed.name, installed.http, "register, mDNS")
    assert boards[0].info["running"] == "ota_0"
    for text in (installed.name, "1.0.0", "ota_0", installed.http, "register, mDNS"):
        assert text in boards._repr_html_()
    assert repr(kit.find(f"{installed.name.upper()}.local")) == repr(boards)  # one board, however it is called


def test_every_flash_file_has_a_board_with_a_name_of_its_own(installed_file: Path, tmp_path: Path, start: Callable):
    boards = [start(shutil.copy(installed_file, tmp_path / name)) for name in ("one.bin", "two.bin")]
    for board in boards:
        board.board().reset()
    assert {found.name for found in kit.find()} == {board.name for board in boards}
    assert len({board.name for board in boards}) == 2


def test_the_board_of_the_lessons_has_the_same_name_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("KIT_FLASH")
    assert mac_of(join.flash_file()).hex() == "240ac4000110"
    monkeypatch.chdir(tmp_path)
    assert mac_of(Path("board.bin")) == mac_of(tmp_path / "board.bin") != mac_of(tmp_path / "other.bin")
    assert mac_of(Path("board.bin"))[:3].hex() == "240ac4"


def test_two_boards_of_which_one_is_blank_and_a_dead_one(installed, tmp_path: Path, start: Callable):
    blank = start(tmp_path / "blank.bin")
    dead = start(tmp_path / "dead.bin")
    dead.process.kill()
    dead.process.wait()
    assert (tmp_path / "dead.bin.board").exists()
    boards = kit.find()
    assert [(board.url, board.state) for board in boards] == [(blank.http, "no answer"), (installed.http, "VALID")]
    assert repr(boards).splitlines()[0].split() == ["?", "no", "answer"]
    ask(installed.control, "power", on=False)
    assert {board.state for board in kit.find()} == {"no answer"}


def test_a_board_that_hangs(tmp_path: Path, server: Callable):
    register(tmp_path, control=server(), http=server())
    (board,) = kit.find()
    assert (board.name, board.state, board.how) == ("", "no answer", "register")


def test_it_works_where_a_notebook_runs_it(tmp_path: Path, server: Callable):
    register(tmp_path, control=server(), http=server(answer({"hostname": NAME, "image_state": "VALID"})))

    async def cell() -> found.Boards:
        return kit.find()

    assert asyncio.run(cell())[0].name == NAME


@pytest.mark.parametrize("said", [[], "text", None, 3])
def test_something_that_is_no_board(tmp_path: Path, server: Callable, said: object):
    register(tmp_path, control=server(), http=server(answer(said)))
    assert [board.state for board in kit.find()] == ["no answer"]


@pytest.mark.parametrize(
    "said", [b"HTTP/1.0 200 OK\r\n\r\n{", b"nonsense", b"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n"]
)
def test_an_answer_that_is_none(tmp_path: Path, server: Callable, said: bytes):
    register(tmp_path, control=server(), http=server(said))
    assert [board.state for board in kit.find()] == ["no answer"]


@pytest.mark.parametrize("hostname", [[], {}, 3, "x" * 300, "\n", "<b>"])
def test_a_board_with_a_strange_name(tmp_path: Path, server: Callable, hostname: object):
    register(tmp_path, control=server(), http=server(answer({"hostname": hostname, "version": "1.0.0"})))
    (board,) = kit.find()
    assert (board.name, board.info["version"]) == (str(hostname), "1.0.0")
    assert "<b>" not in kit.find()._repr_html_()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"control": "x"}', '{"control": "http://x:y"}'])
def test_half_a_register(tmp_path: Path, text: str):
    (tmp_path / "some.bin.board").write_text(text)
    assert list(kit.find()) == []


def test_a_name_that_nobody_has(installed):
    boards = kit.find(NAME, installed.name, NAME)
    assert [(board.name, board.state) for board in boards] == [(installed.name, "VALID"), (NAME, "not found")]
    assert repr(boards).endswith(found.ADVICE)
    assert "board.reset()" in boards._repr_html_()


def test_a_name_whose_board_does_not_answer(wait_until: Callable):
    names, name = Names(pytest.fail), f"{NAME}-mdns"
    names.answer_to(name)
    wait_until(lambda: kit.find(name)[0].state != "not found")
    (board,) = kit.find(f"{name}.local")
    assert (board.name, board.url, board.how, board.state) == (name, "http://127.0.0.1", "mDNS", "no answer")
    names.answer_to("")


def test_a_board_of_this_session(server: Callable, monkeypatch: pytest.MonkeyPatch):
    url = server(answer({"hostname": NAME, "version": "1.0.0", "image_state": "VALID"}))
    monkeypatch.setitem(known_urls, "/dev/ttyUSB0", url)
    monkeypatch.setitem(known_urls, "rfc2217://127.0.0.1:1", NOWHERE)  # a virtual board that has ended
    (board,) = kit.find(NAME)
    assert (board.url, board.how, board.state) == (url, "boot log", "VALID")


def test_the_board_at_kit_url(server: Callable, monkeypatch: pytest.MonkeyPatch):
    url = server(answer({"hostname": NAME, "version": "1.0.0", "image_state": "VALID"}))
    monkeypatch.setenv("KIT_URL", f"{url}/")
    monkeypatch.setitem(known_urls, "/dev/ttyUSB0", url)
    (board,) = kit.find()
    assert (board.name, board.url, board.how, board.state) == (NAME, url, "KIT_URL", "VALID")
    monkeypatch.setenv("KIT_URL", NOWHERE)
    assert [(board.url, board.state) for board in kit.find()] == [(url, "VALID"), (NOWHERE, "no answer")]
    monkeypatch.setenv("KIT_URL", "/dev/ttyUSB0")
    with pytest.raises(AddressError, match="'/dev/ttyUSB0' is not the address of a web server"):
        kit.find()


def test_without_multicast_there_is_advice(installed, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr(found, "Zeroconf", refuse)
    boards = kit.find(NAME)
    assert [board.how for board in boards] == ["register", ""]
    assert repr(boards).endswith(found.ADVICE)


@pytest.mark.parametrize("name", ["", "192.168.1.7", "a b", "http://esp32-ota.local", "ü", "x" * 64, None, 3.5, "a\n"])
def test_what_is_no_hostname(name: object):
    with pytest.raises(AddressError, match="is no hostname"):
        kit.find("esp32-ota", name)
