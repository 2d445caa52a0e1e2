"""Killing the process is a power cut: the flash file keeps what was done, and the next start goes on from there."""

import mmap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from kit.board.port import open_port
from kit.board.repl import Repl, raw_repl
from kit.errors import KitError
from kit.image import standin
from kit.image.update_image import UpdateImage, build

SECTOR = 4096
BOOTLOADER, TABLE, OTADATA, OTA_0, OTA_1, VFS, END = 0x1000, 0x8000, 0xD000, 0x10000, 0x190000, 0x310000, 0x400000
BLANK = b"\xff" * SECTOR


class Cut:
    """Kills a board at a moment that its flash shows."""

    def __init__(self, flash: Path, virtual) -> None:
        self._virtual = virtual
        with flash.open("rb") as file:
            self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def when(self, reached: Callable[[mmap.mmap], bool], busy: Future) -> None:
        """Pull the plug as soon as `reached` holds, which it does before the end of what keeps the board busy."""
        ended = False
        while not reached(self._memory):
            assert not ended, busy.result()
            ended = busy.done()
            time.sleep(0.0005)
        self._virtual.process.kill()
        self._virtual.process.wait()


def written(address: int) -> Callable[[mmap.mmap], bool]:
    """The moment when something stands at a flash address."""
    return lambda flash: flash[address] != 0xFF


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(scope="session")
def image() -> UpdateImage:
    return build("1.0.0", base=standin.image_set())


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        (BOOTLOADER, "rst:0x10 (RTCWDT_RTC_RESET)"),
        (OTA_0 + 0x20000, "No bootable app partitions in the partition table"),
    ],
)
def test_while_the_kit_flashes(
    start: Callable, background: ThreadPoolExecutor, tmp_path: Path, image: UpdateImage, moment: int, message: str
):
    file = tmp_path / "flash.bin"
    virtual = start(file, "--pace", "1")
    busy = background.submit(virtual.board().flash, image)
    Cut(file, virtual).when(written(moment), busy)
    assert busy.exception()
    flash = file.read_bytes()
    whole = (BLANK + image.base.before_slots() + image.data).ljust(END, b"\xff")
    done = next(at for at in range(END) if flash[at] != whole[at])
    assert moment < done
    assert flash[done:] == b"\xff" * (END - done)

    board = start(file).board()
    assert message in board.reset()
    board.flash(image)
    assert file.read_bytes()[OTA_0 : OTA_0 + image.size] == image.data
    assert "MicroPython v" in board.reset()


def test_while_esptool_writes(
    start: Callable,
    background: ThreadPoolExecutor,
    tmp_path: Path,
    micropython_flash: bytes,
    run_tool: Callable,
):
    file = tmp_path / "flash.bin"
    old, new = b"old " * 0x8000, b"new " * 0x8000
    file.write_bytes(micropython_flash[:OTA_1] + old.ljust(VFS - OTA_1, b"\xff") + micropython_flash[VFS:])
    (tmp_path / "new.bin").write_bytes(new)
    virtual = start(file, "--pace", "1")
    command = ("esptool", "--chip", "esp32", "--port", virtual.serial, "write-flash", "--no-compress", hex(OTA_1))
    busy = background.submit(run_tool, tmp_path, *command, "new.bin")
    Cut(file, virtual).when(lambda flash: flash[OTA_1 + 0x9000] == ord("n"), busy)
    assert busy.result().returncode != 0
    flash = file.read_bytes()[OTA_1:]
    reached = next(at for at in range(len(old)) if flash[at] == ord("o")) // SECTOR * SECTOR
    assert flash[reached:][: len(old) - reached] == old[reached:]
    assert 0x9000 <= reached < len(old)
    assert new.startswith(flash[:reached].rstrip(b"\xff"))
    assert "MicroPython v" in start(file).board().reset()


def test_while_mpremote_copies(
    start: Callable,
    background: ThreadPoolExecutor,
    tmp_path: Path,
    micropython_flash: bytes,
    run_tool: Callable,
    tool: Callable,
):
    file = tmp_path / "flash.bin"
    file.write_bytes(micropython_flash)
    old, new = b"old " * 0x400, b"new " * 0x1800
    (tmp_path / "old.bin").write_bytes(old)
    (tmp_path / "new.bin").write_bytes(new)
    virtual = start(file)
    tool("mpremote", "connect", virtual.serial, "fs", "cp", "old.bin", ":data.bin")
    command = ("mpremote", "connect", virtual.serial, "fs", "cp", "new.bin", ":data.bin")
    busy = background.submit(run_tool, tmp_path, *command)
    Cut(file, virtual).when(lambda flash: flash[VFS:].count(b"new ") > 0x800, busy)
    assert busy.result().returncode != 0

    serial = start(file).serial
    tool("mpremote", "connect", serial, "fs", "cp", ":data.bin", "after.bin")
    assert (tmp_path / "after.bin").read_bytes() == old  # littlefs names the new blocks when a file is closed
    tool("mpremote", "connect", serial, "fs", "cp", "new.bin", ":data.bin", "+", "fs", "cp", ":data.bin", "after.bin")
    assert (tmp_path / "after.bin").read_bytes() == new


COUNT = """
import esp32
nvs = esp32.NVS("test")
nvs.set_blob("kept", b"kept")
number = 0
while True:
    number += 1
    nvs.set_i32("number", number)
    nvs.commit()
    print(number)
"""


def test_while_nvs_is_written(start: Callable, tmp_path: Path, micropython_flash: bytes):
    file = tmp_path / "flash.bin"
    file.write_bytes(micropython_flash)
    virtual = start(file)
    with open_port(virtual.serial) as port:
        repl = Repl(port)
        repl.enter_raw_repl()
        repl.exec_raw_no_follow(COUNT)
        port.read_until(b"\r\n300\r\n")  # a page has room for 126 entries
        virtual.process.kill()

    with open_port(start(file).serial) as port, raw_repl(port) as repl:
        repl.exec("import esp32; nvs = esp32.NVS('test'); kept = bytearray(4); nvs.get_blob('kept', kept)")
        assert repl.eval("bytes(kept)") == b"kept"
        assert repl.eval("nvs.get_i32('number')") >= 300
        repl.exec("nvs.set_i32('number', 1); nvs.commit()")
        assert repl.eval("nvs.get_i32('number')") == 1


@pytest.fixture(scope="session")
def newer() -> UpdateImage:
    return build("1.1.0")


@pytest.mark.parametrize(
    ("moment", "versions"),
    [
        (OTA_1 + SECTOR, {"1.0.0"}),  # the slot's first sector is written last
        (OTA_1 + 0x100000, {"1.0.0"}),
        (OTA_1, {"1.0.0", "1.1.0"}),
        (OTADATA + SECTOR, {"1.0.0", "1.1.0"}),
    ],
)
def test_while_an_update_is_uploaded(
    installed,
    start: Callable,
    background: ThreadPoolExecutor,
    wait_until: Callable,
    tmp_path: Path,
    newer: UpdateImage,
    moment: int,
    versions: set[str],
):
    file = tmp_path / "installed.bin"
    ota = installed.client()
    ota.login()
    busy = background.submit(ota.upload, newer, wait=False)
    Cut(file, installed).when(written(moment), busy)
    busy.exception()  # its end; whether the answer came in time is chance

    ota = start(file).client()

    def version() -> str | None:
        try:
            info = ota.info()
        except KitError:
            return None
        return info["version"] if info["image_state"] == "VALID" else None

    wait_until(version)
    assert version() in versions
    ota.login()
    if version() == "1.0.0":
        ota.upload(newer)
    assert version() == "1.1.0"
