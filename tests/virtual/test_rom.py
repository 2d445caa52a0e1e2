"""The serial protocol of download mode, packet by packet; tests/virtual/test_esptool.py speaks it by esptool."""

import random
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from functools import reduce
from operator import xor
from pathlib import Path

import pytest

from kit.virtual.flash import SIZE, Flash
from kit.virtual.rom import Rom, crc8, frame, registers

FLASH_BEGIN, FLASH_DATA, FLASH_END, MEM_END, SYNC, READ_REG = 0x02, 0x03, 0x04, 0x06, 0x08, 0x0A
CHANGE_BAUDRATE = 0x0F
FLASH_DEFL_BEGIN, FLASH_DEFL_DATA, MD5, ERASE_FLASH, ERASE_REGION, READ_FLASH = 0x10, 0x11, 0x13, 0xD0, 0xD1, 0xD2
WRITTEN = bytes(range(256)) * 64
OUTSIDE = [(0x1000, SIZE), (0x1001, SIZE - 0x1000), (0xFFFFFFFF, 0), (1, 0xFFFFFFFF)]  # size and offset


class Host:
    """The other end of the cable."""

    def __init__(self, flash: Flash) -> None:
        self.flash = flash
        self.sent = b""
        self.starts: list[str] = []
        self.rom = Rom(
            flash,
            bytes(6),
            lambda data: setattr(self, "sent", self.sent + data),
            restart=lambda: self.starts.append("program"),
            reload=lambda: self.starts.append("download mode"),
            set_speed=lambda speed: self.starts.append(f"{speed} baud"),
        )

    def feed(self, data: bytes) -> list[bytes]:
        """Send bytes; return the packets that come back."""
        self.sent = b""
        self.rom.feed(data)
        packets = [packet for packet in self.sent.split(b"\xc0") if packet]
        return [packet.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb") for packet in packets]

    def command(self, op: int, *fields: int, data: bytes = b"", checksum: int = 0) -> list[bytes]:
        body = struct.pack(f"<{len(fields)}I", *fields) + data
        return self.feed(frame(struct.pack("<BBHI", 0, op, len(body), checksum) + body))

    def block(self, op: int, number: int, data: bytes) -> list[bytes]:
        return self.command(op, len(data), number, 0, 0, data=data, checksum=reduce(xor, data, 0xEF))

    def become_stub(self) -> None:
        assert self.command(MEM_END, 0, 0x400BE000)[-1] == b"OHAI"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """In download mode; flash has data in its first 16 KiB, and counts operations from there."""
    flash = Flash(tmp_path / "flash.bin", pace=0)
    flash.write(0, WRITTEN)
    flash.writes = 0
    yield Host(flash)
    flash.close()


def status(answers: list[bytes]) -> bytes:
    """The two bytes at the end of the only answer of a ROM loader, before two zeros."""
    (answer,) = answers
    return answer[-4:-2]


OK, INVALID, FAILED, CHECKSUM = b"\0\0", b"\1\5", b"\1\6", b"\1\7"


def unchanged(host: Host) -> bool:
    return host.flash.erases == host.flash.writes == 0


def test_packets_cut_anywhere_are_put_together(host: Host):
    stream = frame(struct.pack("<BBHI", 0, READ_REG, 4, 0) + b"\xc0\xdb\xdc\xdd")
    answers = [host.feed(stream[i : i + 1]) for i in range(len(stream))]
    assert answers[:-1] == [[]] * (len(stream) - 1)
    assert status(answers[-1]) == OK


def test_what_is_no_packet_is_passed_over(host: Host):
    noise = random.Random(1).randbytes(100_000).replace(b"\xc0", b"")
    assert host.feed(noise + b"\xc0\xc0\xc0\0\xc0\1\2\3\xc0" + frame(b"\1" * 20)) == []
    assert len(host.command(SYNC)) == 8


def test_a_packet_without_an_end_takes_no_memory(host: Host):
    tracemalloc.start()
    for _ in range(100):
        host.feed(b"\1" * 65536)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000
    assert host.feed(b"\xc0") == []
    assert len(host.command(SYNC)) == 8


@pytest.mark.parametrize("stub", [False, True])
def test_no_packet_takes_the_loader_down(host: Host, stub: bool):
    if stub:
        host.become_stub()
    noise = random.Random(2)
    for op in [*range(256), *(noise.randrange(256) for _ in range(500))]:
        if op != ERASE_FLASH:  # 1024 sectors, each time
            host.command(op, data=noise.randbytes(noise.randrange(40)))
    assert len(host.command(SYNC)) == 8


@pytest.mark.parametrize("op", [0x14, 0xFF, ERASE_FLASH, ERASE_REGION, READ_FLASH])  # the last three are a stub's
def test_what_a_rom_loader_does_not_know(host: Host, op: int):
    assert status(host.command(op, 0, 0x1000, 0x1000, 64)) == INVALID
    assert unchanged(host)


@pytest.mark.parametrize("op", [FLASH_BEGIN, FLASH_DEFL_BEGIN])
@pytest.mark.parametrize(("size", "offset"), OUTSIDE)
def test_nothing_is_written_outside_the_flash(host: Host, op: int, size: int, offset: int):
    assert status(host.command(op, size, 1, 0x400, offset)) == FAILED
    assert status(host.block(op + 1, 0, b"data")) == FAILED
    assert unchanged(host)


@pytest.mark.parametrize(("size", "offset"), OUTSIDE)
def test_nothing_outside_the_flash_is_erased_or_read(host: Host, size: int, offset: int):
    assert status(host.command(MD5, offset, size)) == FAILED
    host.become_stub()
    for answers in (host.command(ERASE_REGION, offset, size), host.command(READ_FLASH, offset, size, 0x1000, 64)):
        assert [answer[-2:] for answer in answers] == [FAILED]
    assert unchanged(host)


def test_blocks_of_no_length_are_refused(host: Host):
    host.become_stub()
    assert [answer[-2:] for answer in host.command(READ_FLASH, 0, 0x1000, 0, 64)] == [FAILED]


def test_a_block_with_a_wrong_checksum_is_not_written(host: Host):
    host.command(FLASH_BEGIN, 0x1000, 4, 0x400, 0x10000)
    assert status(host.command(FLASH_DATA, 4, 0, 0, 0, data=b"data", checksum=0)) == CHECKSUM
    assert host.flash.writes == 0


def test_blocks_are_taken_as_they_come(host: Host):
    """Neither ROM nor stub looks at a block's number."""
    host.command(FLASH_BEGIN, 8, 2, 4, 0x10000)
    assert status(host.block(FLASH_DATA, 7, b"more")) == OK
    assert status(host.block(FLASH_DATA, 0, b"data")) == OK
    assert host.flash.read(0x10000, 9) == b"moredata\xff"


def test_no_more_is_written_than_was_announced(host: Host):
    host.command(FLASH_BEGIN, 6, 2, 4, 0x10000)
    assert status(host.block(FLASH_DATA, 0, b"data" * 0x1000)) == OK
    assert host.flash.read(0x10000, 0x8000) == b"datada".ljust(0x8000, b"\xff")


def test_what_does_not_inflate_is_not_written(host: Host):
    host.command(FLASH_DEFL_BEGIN, 0x1000, 1, 0x400, 0x10000)
    assert status(host.block(FLASH_DEFL_DATA, 0, b"no zlib stream")) == FAILED
    assert host.flash.writes == 0


@pytest.mark.parametrize("stub", [False, True])
def test_a_write_erases_the_sectors_that_it_touches(host: Host, stub: bool):
    if stub:
        host.become_stub()
    data = b"B" * 0x1800
    packed = zlib.compress(data)
    host.command(FLASH_DEFL_BEGIN, len(data), 1, 0x400, 0x1000)
    assert host.flash.erases == (0 if stub else 2)  # the ROM erases all before it answers
    for number, start in enumerate(range(0, len(packed), 8)):
        host.block(FLASH_DEFL_DATA, number, packed[start : start + 8])
    assert host.flash.read(0, SIZE) == (WRITTEN[:0x1000] + data.ljust(0x2000, b"\xff") + WRITTEN[0x3000:]).ljust(
        SIZE, b"\xff"
    )


def test_data_without_a_beginning(host: Host):
    assert status(host.block(FLASH_DATA, 0, b"data")) == FAILED
    host.command(FLASH_BEGIN, 4, 1, 4, 0x10000)
    host.command(FLASH_END, 1)
    assert status(host.block(FLASH_DATA, 0, b"data")) == FAILED
    assert host.flash.writes == 0


@pytest.mark.parametrize(
    ("stub", "keep", "starts"),
    [(False, 0, ["download mode"]), (False, 1, ["program"]), (True, 0, ["download mode"]), (True, 1, [])],
)
def test_the_end_of_a_write(host: Host, stub: bool, keep: int, starts: list[str]):
    if stub:
        host.become_stub()
    host.command(FLASH_END, keep)
    assert host.starts == starts


def test_the_speed_changes_after_the_answer(host: Host):
    assert host.command(CHANGE_BAUDRATE, 921_600, 115_200)[0][8:] == bytes(4)
    assert host.starts == ["921600 baud"]
    assert host.command(CHANGE_BAUDRATE, 0, 0)[0][8:10] == b"\x01\x06"


def test_the_mac_has_its_checksum(host: Host):
    assert crc8(b"123456789") == 0xA1  # CRC-8/MAXIM's check value
    assert crc8(bytes.fromhex("240ac4000110")) << 16 == registers(bytes.fromhex("240ac4000110"))[0x3FF5A008] & 0xFF0000
