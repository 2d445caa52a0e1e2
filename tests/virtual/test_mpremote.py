"""Stock mpremote against a virtual board."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from littlefs import LittleFS

VFS, VFS_END = 0x310000, 0x400000
BOOT_PY = 139  # bytes of the boot.py that MicroPython makes


@pytest.fixture
def port(start: Callable, micropython_flash: bytes, tmp_path: Path) -> str:
    """Serial address of a board with MicroPython and nothing else on it."""
    (tmp_path / "flash.bin").write_bytes(micropython_flash)
    return start().serial


@pytest.fixture
def files(tmp_path: Path) -> Callable[[], dict[str, bytes | None]]:
    """Function that reads all files from the flash with another littlefs than the board's; None for a folder."""

    def read() -> dict[str, bytes | None]:
        fs = LittleFS(block_size=4096, block_count=(VFS_END - VFS) // 4096, mount=False)
        fs.context.buffer = bytearray((tmp_path / "flash.bin").read_bytes()[VFS:VFS_END])
        fs.mount()
        found: dict[str, bytes | None] = {}
        for folder, folders, names in fs.walk("/"):
            found |= {f"{folder.rstrip('/')}/{name}": None for name in folders}
            for name in names:
                with fs.open(f"{folder.rstrip('/')}/{name}", "rb") as file:
                    found[f"{folder.rstrip('/')}/{name}"] = file.read()
        assert len(found.pop("/boot.py")) == BOOT_PY
        return found

    return read


def test_exec(port: str, tool: Callable[..., str]):
    code = "import sys, esp32; print(sys.implementation.name, esp32.Partition(esp32.Partition.RUNNING).info())"
    assert tool("mpremote", "connect", port, "exec", code) == "micropython (0, 16, 65536, 1572864, 'ota_0', False)\n"


def test_eval_and_run(port: str, tool: Callable[..., str], tmp_path: Path):
    (tmp_path / "program.py").write_text("import sys\nfor number in range(3):\n    print(sys.platform, number)\n")
    steps = ("eval", "'ä' * 3, 2**70", "+", "run", "program.py", "+", "eval", "number")
    output = tool("mpremote", "connect", port, *steps)
    assert output == "äää 1180591620717411303424\nesp32 0\nesp32 1\nesp32 2\n2\n"


def test_files(port: str, tool: Callable[..., str], files: Callable, tmp_path: Path):
    text, data = "hällo\n" * 300, bytes(range(256)) * 40
    (tmp_path / "hello.txt").write_text(text)
    (tmp_path / "folder/deep").mkdir(parents=True)
    (tmp_path / "folder/deep/data.bin").write_bytes(data)
    mpremote = ("mpremote", "connect", port)
    tool(*mpremote, "fs", "mkdir", ":lib", "+", "fs", "cp", "hello.txt", ":lib/", "+", "fs", "cp", "-r", "folder", ":")
    tool(*mpremote, "fs", "touch", ":empty", "+", "fs", "cp", ":lib/hello.txt", ":copy.txt", "+", "reset")
    here = {"/lib": None, "/lib/hello.txt": text.encode(), "/empty": b"", "/copy.txt": text.encode()}
    there = {"/folder": None, "/folder/deep": None, "/folder/deep/data.bin": data}
    assert files() == here | there

    tool(*mpremote, "fs", "cp", ":copy.txt", "back.txt", "+", "fs", "cp", "-r", ":folder", "back")
    assert (tmp_path / "back.txt").read_text() == text
    assert (tmp_path / "back/deep/data.bin").read_bytes() == data
    assert tool(*mpremote, "fs", "cat", ":lib/hello.txt") == text
    digest = hashlib.sha256(data).hexdigest()
    assert digest in tool(*mpremote, "fs", "sha256sum", ":folder/deep/data.bin").split()
    listing = tool(*mpremote, "fs", "ls").splitlines()[1:]
    assert {tuple(line.split()) for line in listing} == {
        ("139", "boot.py"),
        ("2100", "copy.txt"),
        ("0", "empty"),
        ("0", "folder/"),
        ("0", "lib/"),
    }
    tree = [line for line in tool(*mpremote, "fs", "tree").splitlines() if "── " in line]
    names = ["boot.py", "copy.txt", "empty", "folder", "deep", "data.bin", "lib", "hello.txt"]
    assert [line.split("── ")[1] for line in tree] == names

    tool(*mpremote, "fs", "rm", "-r", ":folder", "+", "fs", "rm", ":lib/hello.txt", ":copy.txt")
    tool(*mpremote, "fs", "rmdir", ":lib")
    assert files() == {"/empty": b""}


def test_df(port: str, tool: Callable[..., str]):
    _, line = tool("mpremote", "connect", port, "df").splitlines()
    assert line.split() == ["<VfsLfs2>", "983040", "12288", "970752", "1", "/"]  # as a chip says with boot.py alone


def test_what_a_soft_reset_ends_and_resume_does_not(port: str, tool: Callable[..., str]):
    mpremote = ("mpremote", "connect", port)
    tool(*mpremote, "exec", "x = 42")
    assert tool(*mpremote, "resume", "eval", "x") == "42\n"
    tool(*mpremote, "soft-reset")
    assert tool(*mpremote, "resume", "eval", "'x' in globals()") == "False\n"
    assert tool(*mpremote, "resume", "exec", "import machine; print(machine.reset_cause())") == "5\n"
    tool(*mpremote, "reset")
    assert tool(*mpremote, "resume", "exec", "import machine; print(machine.reset_cause())") == "2\n"


def test_a_folder_of_this_computer_can_be_mounted(port: str, tool: Callable[..., str], tmp_path: Path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/answer.py").write_text("number = 42\n")
    code = (
        "import os, answer; print(os.getcwd(), os.listdir(), answer.number, list(open('answer.py')));"
        "file = open('told.txt', 'w'); file.write('from the board'); file.close()"
    )
    output = tool("mpremote", "connect", port, "mount", "here", "exec", code)
    # mpremote's own words may come before or after: it prints past its buffer
    assert "/remote ['answer.py'] 42 ['number = 42\\n']" in output.splitlines()
    assert (tmp_path / "here/told.txt").read_text() == "from the board"


def test_an_error_reads_as_on_a_chip(port: str, tool: Callable[..., str]):
    with pytest.raises(AssertionError, match=r"OSError: \[Errno 2\] ENOENT"):
        tool("mpremote", "connect", port, "exec", "open('/nothing')")
