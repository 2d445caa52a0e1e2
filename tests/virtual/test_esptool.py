"""Stock esptool against virtual boards.

pyserial's RFC 2217 client takes 0.2 s a request and waits nearly all of it, so the commands run at once, each on a
board of its own; the tests look at what each of them left behind.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from esptool import cmds

from kit import base_image
from kit.board.port import open_port
from kit.image.update_image import UpdateImage, build

OTA_1, VFS = 0x190000, 0x310000
PATTERN = bytes(range(256)) * ((VFS - OTA_1) // 256)  # with 0xC0, 0xDB and 0xFF: SLIP and telnet must escape them
A, B = bytes(range(255, -1, -1)) * 0x21, b"B" * 1001

COMMANDS = {
    "flash-id": "esptool flash-id",
    "read-mac": "esptool --baud 921600 read-mac",
    "chip-id": "esptool chip-id",
    "get-security-info": "esptool get-security-info",
    "install": "esptool --baud 921600 write-flash --erase-all 0x1000 base.bin 0x10000 update.bin",
    "write": "esptool write-flash 0x200000 a.bin 0x210104 b.bin",
    "write raw": "esptool write-flash --no-compress 0x200000 a.bin 0x210104 b.bin",
    "write by ROM": "esptool --no-stub write-flash 0x200000 a.bin 0x210104 b.bin",
    "write by ROM, packed": "esptool --no-stub write-flash --compress 0x200000 a.bin 0x210104 b.bin",
    "write outside": "esptool write-flash 0x3ff000 a.bin",
    "read": "esptool read-flash 0x200100 0x3000 part.bin",
    "read by ROM": "esptool --no-stub read-flash 0x200100 0x100 part.bin",
    "verify": "esptool verify-flash 0x200000 same.bin",
    "verify by ROM": "esptool --no-stub verify-flash 0x200000 same.bin",
    "verify another": "esptool verify-flash 0x200000 a.bin",
    "erase-flash": "esptool erase-flash",
    "erase-region": "esptool erase-region 0x200000 0x3000",
    "erase-region by ROM": "esptool --no-stub erase-region 0x200000 0x3000",
    "erase part of a sector": "esptool erase-region 0x200000 0x100",
    "run": "esptool run && mpremote resume eval 6*7",
    "run by ROM": "esptool --no-stub --after no-reset run && mpremote resume eval 6*7",
}


@dataclass
class Done:
    """What is left of a board: what the tools printed, the exit code of the last one, the flash, and the files."""

    output: str
    code: int
    flash: bytes
    folder: Path


@pytest.fixture(scope="module")
def update() -> UpdateImage:
    return build("1.0.0", base=base_image())


@pytest.fixture(scope="module")
def done(
    micropython_flash: bytes,
    update: UpdateImage,
    running: Callable,
    run_tool: Callable,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Done]]:
    """Function that gives what a command has done to a board with MicroPython in ota_0 and a pattern in ota_1."""
    files = {
        "flash.bin": micropython_flash[:OTA_1] + PATTERN + micropython_flash[VFS:],
        "a.bin": A,
        "b.bin": B,
        "same.bin": PATTERN[:0x2000],
        "base.bin": update.base.before_slots(),
        "update.bin": update.data,
    }

    def do(line: str, folder: Path) -> Done:
        output = ""
        for name, data in files.items():
            (folder / name).write_bytes(data)
        with running(folder / "flash.bin") as virtual:
            address = {"esptool": ("--port", virtual.serial), "mpremote": ("connect", virtual.serial)}
            for command in line.split(" && "):
                tool, *arguments = command.split()
                last = run_tool(folder, tool, *address[tool], *arguments)
                output += last.stdout + last.stderr
            return Done(output, last.returncode, (folder / "flash.bin").read_bytes(), folder)

    with ThreadPoolExecutor(8) as pool:
        jobs = {name: pool.submit(do, line, tmp_path_factory.mktemp("board")) for name, line in COMMANDS.items()}
        yield lambda name: jobs[name].result()


def pattern_with(*changes: tuple[int, bytes]) -> bytes:
    """The pattern of ota_1 after writes at these flash addresses: the sectors they touch are erased first."""
    flash = bytearray(PATTERN)
    for address, data in changes:
        start, end = address - OTA_1, address - OTA_1 + len(data)
        first, last = start // 4096 * 4096, -(-end // 4096) * 4096
        flash[first:last] = b"\xff" * (last - first)
        flash[start:end] = data
    return bytes(flash)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("flash-id", "Manufacturer: ef\nDevice: 4016\nDetected flash size: 4MB"),
        ("flash-id", "Chip type:          ESP32-D0WD-V3 (revision v3.1)"),
        ("read-mac", "MAC:                24:0a:c4:"),
        ("read-mac", "Changing baud rate to 921600...\nChanged."),
        ("chip-id", "ESP32 has no chip ID. Reading MAC address instead."),
        ("get-security-info", "Failed to get security info (result was 0105"),  # an ESP32 has none
    ],
)
def test_the_chip_tells_what_it_is(done: Callable[[str], Done], name: str, says: str):
    assert says in done(name).output
    assert done(name).flash[OTA_1:VFS] == PATTERN


def test_a_board_is_installed_and_starts(done: Callable[[str], Done], update: UpdateImage, start: Callable):
    installed = done("install")
    assert installed.output.count("Hash of data verified.") == 2
    assert installed.flash[0x1000:0x9000] == update.base.before_slots()[:0x8000]
    assert installed.flash[0x10000:VFS] == update.data.ljust(VFS - 0x10000, b"\xff")
    log = start(installed.folder / "flash.bin").board().reset()
    assert "MicroPython v" in log
    assert "No application was started" not in log  # main.py is not there yet


@pytest.mark.parametrize("name", ["write", "write raw", "write by ROM", "write by ROM, packed"])
def test_write_flash(done: Callable[[str], Done], name: str):
    assert done(name).code == 0
    assert done(name).flash[OTA_1:VFS] == pattern_with((0x200000, A), (0x210104, B))


@pytest.mark.parametrize(("name", "length"), [("read", 0x3000), ("read by ROM", 0x100)])
def test_read_flash(done: Callable[[str], Done], name: str, length: int):
    assert (done(name).folder / "part.bin").read_bytes() == PATTERN[0x200100 - OTA_1 :][:length]


@pytest.mark.parametrize("name", ["verify", "verify by ROM"])
def test_verify_flash(done: Callable[[str], Done], name: str):
    assert "Verification successful (digest matched)." in done(name).output


def test_erase_flash(done: Callable[[str], Done]):
    assert done("erase-flash").flash == b"\xff" * 0x400000


@pytest.mark.parametrize("name", ["erase-region", "erase-region by ROM"])
def test_erase_region(done: Callable[[str], Done], name: str):
    assert done(name).code == 0
    assert done(name).flash[OTA_1:VFS] == pattern_with((0x200000, b"\xff" * 0x3000))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("write outside", "will not fit in 4194304 bytes of flash"),
        ("verify another", "Verification failed (digest mismatch)."),
        ("erase part of a sector", "Size of data to erase must be a multiple of 4096."),
    ],
)
def test_what_is_refused_changes_nothing(done: Callable[[str], Done], name: str, says: str):
    assert done(name).code == 2
    assert says in done(name).output
    assert done(name).flash[OTA_1:VFS] == PATTERN


@pytest.mark.parametrize("name", ["run", "run by ROM"])
def test_run(done: Callable[[str], Done], name: str):
    assert done(name).output.endswith("\n42\n")


def test_the_loader_stays_when_the_host_leaves_it_so(start: Callable, wait_until: Callable):
    """`--after no-reset`, then `--before no-reset`: the pins still say download mode, and the stub is gone."""
    with open_port(start().serial) as port:
        esp = cmds.run_stub(cmds.detect_chip(port))
        esp.soft_reset(stay_in_bootloader=True)
        wait_until(lambda: not cmds.detect_chip(port, connect_mode="no-reset").sync_stub_detected)
