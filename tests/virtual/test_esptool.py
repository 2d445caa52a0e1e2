"""Stock esptool against a virtual board. pyserial's RFC 2217 client makes each command slow (0.2 s a request)."""

from collections.abc import Callable
from pathlib import Path

from esptool import cmds

from kit import base_image
from kit.port import open_port
from kit.update_image import build


def test_write_flash_and_start(start: Callable, tool: Callable[..., str], tmp_path: Path):
    image = build("1.0.0", base=base_image())
    (tmp_path / "base.bin").write_bytes(image.base.before_slots())
    image.save(tmp_path / "update.bin")
    virtual = start()
    output = tool("esptool", "--port", virtual.serial, "write-flash", "0x1000", "base.bin", "0x10000", "update.bin")
    assert "ESP32-D0WD-V3" in output
    assert output.count("Hash of data verified.") == 2
    assert virtual.board().read(0x10000, image.size) == image.data
    assert "No application was started" not in virtual.board().reset()  # main.py is not there yet
    assert "MicroPython v" in virtual.board().reset()


def test_read_flash_without_stub(start: Callable, tool: Callable[..., str], tmp_path: Path):
    data = bytes(range(256)) * 16
    (tmp_path / "flash.bin").write_bytes(data + b"\xff" * (4 * 1024 * 1024 - len(data)))
    virtual = start()
    tool("esptool", "--no-stub", "--port", virtual.serial, "read-flash", "0", "0x100", "part.bin")
    assert (tmp_path / "part.bin").read_bytes() == data[:0x100]


def test_read_flash(start: Callable, tool: Callable[..., str], tmp_path: Path):
    data = bytes(range(255, -1, -1)) * 64  # 0xC0, 0xDB and 0xFF in it: SLIP and telnet must escape them
    (tmp_path / "flash.bin").write_bytes(data + b"\xff" * (4 * 1024 * 1024 - len(data)))
    virtual = start()
    tool("esptool", "--port", virtual.serial, "read-flash", "0x100", "0x3000", "part.bin")
    assert (tmp_path / "part.bin").read_bytes() == data[0x100:0x3100]


def test_the_loader_stays_when_the_host_leaves_it_so(start: Callable):
    """`--after no-reset`, then `--before no-reset`: the strapping pins still say download mode."""
    with open_port(start().serial) as port:
        esp = cmds.run_stub(cmds.detect_chip(port))
        esp.soft_reset(stay_in_bootloader=True)
        assert b"waiting for download" in port.read_until(b"waiting for download\r\n")
        assert cmds.detect_chip(port, connect_mode="no-reset").CHIP_NAME == "ESP32"
