"""Stock mpremote against a virtual board."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kit import base_image
from kit.update_image import build


@pytest.fixture
def port(start: Callable, tmp_path: Path) -> str:
    """Serial address of a board with MicroPython and nothing else on it."""
    image = build("1.0.0", base=base_image())
    flash = bytearray(b"\xff" * (4 * 1024 * 1024))
    flash[0x1000:0x10000] = image.base.before_slots()
    flash[0x10000 : 0x10000 + image.size] = image.data
    (tmp_path / "micropython.bin").write_bytes(flash)
    return start(tmp_path / "micropython.bin").serial


def test_exec(port: str, tool: Callable[..., str]):
    code = "import sys, esp32; print(sys.implementation.name, esp32.Partition(esp32.Partition.RUNNING).info())"
    assert tool("mpremote", "connect", port, "exec", code) == "micropython (0, 16, 65536, 1572864, 'ota_0', False)\n"


def test_files_stay_over_a_reset(port: str, tool: Callable[..., str], tmp_path: Path):
    (tmp_path / "hello.txt").write_text("hällo\n" * 300)
    tool("mpremote", "connect", port, "fs", "cp", "hello.txt", ":hello.txt", "+", "reset")
    tool("mpremote", "connect", port, "fs", "cp", ":hello.txt", "back.txt")
    assert (tmp_path / "back.txt").read_text() == "hällo\n" * 300
    listing = tool("mpremote", "connect", port, "fs", "ls")
    assert [line.split() for line in listing.splitlines()[1:]] == [["139", "boot.py"], ["2100", "hello.txt"]]


def test_a_folder_of_this_computer_can_be_mounted(port: str, tool: Callable[..., str], tmp_path: Path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/answer.py").write_text("number = 42\n")
    code = "import os, answer; print(os.getcwd(), os.listdir(), answer.number, list(open('answer.py')))"
    output = tool("mpremote", "connect", port, "mount", "here", "exec", code)
    # mpremote's own words may come before or after: it prints past its buffer
    assert "/remote ['answer.py'] 42 ['number = 42\\n']" in output.splitlines()


def test_an_error_reads_as_on_a_chip(port: str, tool: Callable[..., str]):
    with pytest.raises(AssertionError, match=r"OSError: \[Errno 2\] ENOENT"):
        tool("mpremote", "connect", port, "exec", "open('/nothing')")
