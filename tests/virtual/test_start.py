"""What a board does at its start with whatever is in its flash, and how it ends."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.board.board import Board
from kit.board.loader import download_mode
from kit.board.port import open_port
from kit.board.repl import raw_repl
from kit.errors import BoardError
from kit.image.base import BaseImage
from kit.image.update_image import build

NVS, OTADATA, VFS, END = 0x9000, 0xD000, 0x310000, 0x400000
RESTARTS = 2


def log_of_starts(board: Board, end: str) -> list[str]:
    """What a board prints at each of some starts that it makes by itself, each ending so."""
    with open_port(board.address) as port:
        port.timeout = 10
        log = [port.read_until(end.encode()).decode() for _ in range(RESTARTS + 1)]
    return log[1:]  # the first one was under way


@pytest.fixture
def board(start: Callable, tmp_path: Path) -> Callable[[bytes], Board]:
    """Function that starts a board on a flash that holds these bytes and nothing behind them."""

    def started(flash: bytes) -> Board:
        (tmp_path / "flash.bin").write_bytes(flash.ljust(END, b"\xff"))
        return start().board()

    return started


def test_a_blank_flash(board: Callable):
    for log in log_of_starts(board(b""), "invalid header: 0xffffffff\r\n" * 3):
        assert "rst:0x10 (RTCWDT_RTC_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)" in log


@pytest.mark.parametrize(
    ("written", "end"),
    [(0x2000, "\r\nload:0x40078000,len:14896\r\n"), (0x5AA0, "!=0xff\r\nets_main.c 384\r\n")],
)
def test_a_bootloader_that_was_not_written_whole(board: Callable, micropython_flash: bytes, written: int, end: str):
    for log in log_of_starts(board(micropython_flash[: 0x1000 + written]), "ets Jul 29 2019"):
        assert "rst:0x10 (RTCWDT_RTC_RESET)" in log
        assert log.removesuffix("ets Jul 29 2019").endswith(end)


@pytest.mark.parametrize("length", [END - 0x1020, END - 0x101C, END])  # to the end and past it
def test_a_bootloader_whose_segments_end_nowhere(board: Callable, micropython_flash: bytes, length: int):
    flash = bytearray(micropython_flash)
    flash[0x1001] = 1  # segment
    flash[0x101C:0x1020] = length.to_bytes(4, "little")
    for log in log_of_starts(board(flash), "ets Jul 29 2019"):
        assert log.endswith(f"\r\nload:0x3fff0030,len:{length}\r\nets Jul 29 2019")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda flash: flash[:0x10000], "boot: No bootable app partitions in the partition table"),
        (lambda flash: flash[:0x8000], "boot: No bootable app partitions in the partition table"),
        (lambda flash: flash[:0x8020] + bytes(4) + flash[0x8024:], "flash_parts: partition 1 invalid magic number 0x0"),
        (lambda flash: flash[:0x800C] + b"\0" + flash[0x800D:], "flash_parts: Incorrect MD5 checksum"),
    ],
)
def test_without_an_app_it_resets_for_ever(board: Callable, micropython_flash: bytes, spoil: Callable, message: str):
    for log in log_of_starts(board(spoil(micropython_flash)), "ets Jul 29 2019"):
        assert "rst:0x3 (SW_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)" in log
        assert message in log


def test_otadata_of_nonsense(board: Callable, micropython_flash: bytes):
    noise = random.Random(3).randbytes(0x2000)
    flash = micropython_flash[:OTADATA] + noise + micropython_flash[OTADATA + 0x2000 :]
    virtual = board(flash)
    log = virtual.reset()
    assert "boot: ota data partition invalid and no factory, will try all partitions" in log
    assert "MicroPython v" in log
    assert virtual.read(OTADATA, 0x2000) == noise  # as long as nobody calls set_boot


def test_a_file_system_of_nonsense_is_left_alone(board: Callable, micropython_flash: bytes):
    noise = random.Random(4).randbytes(END - VFS)
    virtual = board(micropython_flash[:VFS] + noise)
    for log in log_of_starts(virtual, "The filesystem appears to be corrupted."):
        assert "factory reprogramming of MicroPython firmware (completely erase flash" in log
    assert virtual.read(VFS, END - VFS) == noise


@pytest.mark.parametrize("nonsense", [bytes(0x4000), random.Random(5).randbytes(0x4000)])
def test_nvs_of_nonsense_is_erased(installed_file: Path, board: Callable, nonsense: bytes):
    flash = installed_file.read_bytes()
    virtual = board(flash[:NVS] + nonsense + flash[NVS + 0x4000 :])
    virtual.reset()
    with open_port(virtual.address) as port, raw_repl(port) as repl:
        repl.exec("import esp32; nvs = esp32.NVS('kit'); nvs.set_i32('answer', 42); nvs.commit()")
    virtual.reset()
    with open_port(virtual.address) as port, raw_repl(port) as repl:
        repl.exec("import esp32; nvs = esp32.NVS('kit')")
        assert repl.eval("nvs.get_i32('answer')") == 42
        with pytest.raises(BoardError, match="ESP_ERR_NVS_NOT_FOUND"):
            repl.eval("nvs.get_blob('wifi_ssid', bytearray(32))")


def test_a_release_flashed_by_the_kit(start: Callable, firmware_bin: bytes):
    base = BaseImage.from_firmware_bin(firmware_bin, "firmware.bin")
    virtual = start()
    board = virtual.board()
    image = build("1.0.0", board=board, base=base)
    assert not image.is_stand_in
    board.flash(image)
    flash = board.read(0, 0x10000 + image.size)
    assert flash[:0x9000] == b"\xff" * 0x1000 + firmware_bin[:0x8000]
    assert flash[0x10000:] == image.data
    board.install()
    assert virtual.client().info()["version"] == "1.0.0"


def test_a_release_flashed_whole(start: Callable, firmware_bin: bytes):
    board = start().board()
    with open_port(board.address) as port, download_mode(port) as loader:
        loader.write([(0x1000, firmware_bin)])
        assert loader.read(0x1000, len(firmware_bin)) == firmware_bin
    log = board.reset()
    assert "MicroPython v" in log
    assert log.endswith(">>> ")
    # Two places are written at a first start: otadata and the file system.
    after = board.read(0x1000, len(firmware_bin))
    assert after[:0xC000] + after[0xE000:] == firmware_bin[:0xC000] + firmware_bin[0xE000:]


def test_it_ends_whichever_thread_gets_the_signal(start: Callable):
    process = start().process
    threads = Path(f"/proc/{process.pid}/task")  # Linux can hand the signal to a chosen one
    thread = max(int(thread.name) for thread in threads.iterdir()) if threads.exists() else process.pid
    os.kill(thread, signal.SIGTERM)
    assert process.wait(10) == 0


def test_a_register_that_cannot_be_written_is_one_clear_error(tmp_path: Path):
    (tmp_path / "flash.bin.board").mkdir()
    (tmp_path / "flash.bin.board" / "full").touch()
    command = [sys.executable, "-m", "kit.virtual", "--flash", str(tmp_path / "flash.bin")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"{tmp_path / 'flash.bin.board'} cannot be written: ")
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flash.bin", "flash.bin.board"]
