"""The ports of a virtual board, which a page that is open and a line for curl go on to use."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kit.board.control import ask
from kit.virtual.control import register_path
from kit.virtual.ports import HOST, ports_path, reserve


def ports(virtual) -> list[int]:
    return [urlsplit(address).port for address in (virtual.serial, virtual.http, virtual.control)]


def test_they_are_the_same_at_the_next_start(running: Callable, tmp_path: Path):
    with running(tmp_path / "flash.bin") as virtual:
        virtual.board().reset()
        ask(virtual.control, "pins")  # the board hangs up, and TCP keeps the port busy for a while (TIME_WAIT)
    with running(tmp_path / "flash.bin") as again:
        assert ports(again) == ports(virtual)
        assert again.control != virtual.control  # the key
        again.board().reset()
    with running(tmp_path / "other.bin") as other:
        assert not {*ports(other)} & {*ports(virtual)}


@pytest.mark.parametrize("taken", range(3))
def test_one_that_somebody_else_has_is_another_one(running: Callable, tmp_path: Path, taken: int):
    with running(tmp_path / "flash.bin") as virtual:
        before = ports(virtual)
    with socket.create_server((HOST, before[taken])), running(tmp_path / "flash.bin") as again:
        same = [port == last for port, last in zip(ports(again), before, strict=True)]
        assert same == [index != taken for index in range(3)]
        again.board().reset()


def test_one_that_is_asked_for_wins(running: Callable, tmp_path: Path):
    with running(tmp_path / "flash.bin") as virtual:
        _, http, control = ports(virtual)
    with running(tmp_path / "flash.bin", "--serial", str(http)) as again:
        assert ports(again)[0] == http != ports(again)[1]
        assert ports(again)[2] == control


@pytest.mark.parametrize("noted", ["", "1 2", "x y z", "-1 99999999 0", "9" * 5000, "{port} {port} {port}"])
def test_what_is_noted_may_be_nonsense(running: Callable, tmp_path: Path, noted: str):
    holder, port = reserve(0)
    holder.close()
    ports_path(tmp_path / "flash.bin").write_text(noted.format(port=port))
    with running(tmp_path / "flash.bin") as virtual:
        assert len({*ports(virtual)}) == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a port is not held")
def test_a_port_is_one_boards_while_nobody_listens_there():
    holder, port = reserve(0)
    with holder:
        with pytest.raises(OSError, match="in use"):
            reserve(port)
        other, another = reserve(0, port)
        other.close()
        assert another != port
    reserve(port)[0].close()


@pytest.mark.skipif(os.name == "nt", reason="kills")
def test_a_new_kernel_finds_them(tmp_path: Path, wait_until: Callable):
    flash = tmp_path / "flash.bin"
    code = "import kit, os; board = kit.connect(); board.reset(); print(board.address, board.url, flush=True)"

    def addresses(end: str = "") -> str:
        command = [sys.executable, "-c", code + end]
        environment = os.environ | {"KIT_FLASH": str(flash)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        wait_until(lambda: not register_path(flash).exists())  # the board ends with its last kernel
        return done.stdout

    first = addresses()
    assert "http://127.0.0.1" in first
    assert addresses("; os.kill(os.getpid(), 9)") == first
    assert addresses() == first
