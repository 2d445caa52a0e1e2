"""Download mode of the virtual board: Espressif's serial protocol, as ROM loader and as flasher stub.

Source: "Serial Protocol" in esptool's documentation, read against esptool 5.6. The stub's code is not run: the board
takes it, and from then on answers as a stub does.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable
from functools import reduce
from operator import xor

from kit.virtual.flash import SECTOR, Flash

FLASH_BEGIN, FLASH_DATA, FLASH_END = 0x02, 0x03, 0x04
MEM_BEGIN, MEM_END, MEM_DATA, SYNC, WRITE_REG, READ_REG = 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A
SPI_SET_PARAMS, SPI_ATTACH, READ_FLASH_SLOW, CHANGE_BAUDRATE = 0x0B, 0x0D, 0x0E, 0x0F
FLASH_DEFL_BEGIN, FLASH_DEFL_DATA, FLASH_DEFL_END, SPI_FLASH_MD5 = 0x10, 0x11, 0x12, 0x13
ERASE_FLASH, ERASE_REGION, READ_FLASH = 0xD0, 0xD1, 0xD2  # a stub's only

INVALID_COMMAND, FAILED, BAD_CHECKSUM = 0x05, 0x06, 0x07  # ROM loader error codes
SYNC_REPLIES = 8
CHECKSUM_SEED = 0xEF


class Slip:
    """SLIP framing (RFC 1055): takes bytes as they come, gives whole packets."""

    def __init__(self) -> None:
        self._buffer: bytearray | None = None  # None: between packets, where bytes mean nothing

    def feed(self, data: bytes) -> list[bytes]:
        """Return the packets that `data` completes; empty ones are passed over."""
        packets = []
        head, *rest = data.split(b"\xc0")
        if self._buffer is not None:
            self._buffer += head
        for piece in rest:
            if self._buffer:
                packets.append(bytes(self._buffer).replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb"))
                self._buffer = None if not piece else bytearray(piece)
            else:
                self._buffer = bytearray(piece)
        return packets

    @staticmethod
    def frame(packet: bytes) -> bytes:
        """Return a packet as it goes over the wire."""
        return b"\xc0" + packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


class Registers:
    """The registers that esptool reads to know the chip: an "ESP32-D0WD-V3 (revision v3.1)" with a 40 MHz crystal.

    Numbers from esptool 5.6 targets/esp32.py; the flash identifies itself as Winbond W25Q32 (0x1640EF, 4 MB).
    """

    EFUSE, SPI = 0x3FF5A000, 0x3FF42000
    SPI_CMD, SPI_USR2, SPI_W0, SPI_CMD_USR = 0x00, 0x24, 0x80, 1 << 18
    READ_ID, FLASH_ID = 0x9F, 0x1640EF

    def __init__(self, mac: bytes) -> None:
        self._values = {
            0x40001000: 0x00F01D83,  # "magic" by which a chip without security info is told
            self.EFUSE + 0x04: int.from_bytes(mac[2:], "big"),
            self.EFUSE + 0x08: int.from_bytes(mac[:2], "big"),
            self.EFUSE + 0x0C: (1 << 9) | (1 << 13) | (1 << 15),  # package, CPU rating, revision bit 0
            self.EFUSE + 0x10: 136 | (0x10 << 8),  # RC oscillator calibration, ADC reference
            self.EFUSE + 0x14: (1 << 20) | (1 << 24),  # revision bit 1, minor revision
            0x3FF6607C: 1 << 31,  # APB_CTL_DATE: revision bit 2
            0x3FF40014: 347,  # UART clock divider: 115200 baud from 40 MHz
            0x3FF5F06C: 753 << 7,  # RTC calibration
        }

    def read(self, address: int) -> int:
        """Return a 32-bit register; unknown ones are 0."""
        return self._values.get(address, 0)

    def write(self, address: int, value: int) -> None:
        """Set a register; a command written to the SPI controller is done before this returns."""
        self._values[address] = value
        if address == self.SPI + self.SPI_CMD and value & self.SPI_CMD_USR:
            opcode = self.read(self.SPI + self.SPI_USR2) & 0xFF
            self._values[self.SPI + self.SPI_W0] = self.FLASH_ID if opcode == self.READ_ID else 0
            self._values[address] = 0


class Rom:
    """One stay in download mode.

    Args:
        flash: what is read and written.
        mac: 6 bytes, the board's address.
        send: takes the bytes that go to the host.
        restart: called when the host asks for the program to be run.
        reload: called when it asks for download mode anew.
    """

    def __init__(
        self,
        flash: Flash,
        mac: bytes,
        send: Callable[[bytes], None],
        restart: Callable[[], None],
        reload: Callable[[], None],
    ) -> None:
        self._flash, self._send, self._restart, self._reload = flash, send, restart, reload
        self._registers = Registers(mac)
        self._slip = Slip()
        self._stub = False
        self._writer: _Writer | None = None
        self._reader: _Reader | None = None

    def feed(self, data: bytes) -> None:
        """Take bytes from the host and answer the commands in them."""
        for packet in self._slip.feed(data):
            if self._reader:
                self._pump(packet)
            elif len(packet) >= 8 and packet[0] == 0:
                _, op, length, checksum = struct.unpack_from("<BBHI", packet)
                self._command(op, packet[8 : 8 + length], checksum)

    def _command(self, op: int, body: bytes, checksum: int) -> None:
        handler, fields = self._COMMANDS.get(op, (None, ""))
        if handler is None or (op >= ERASE_FLASH and not self._stub):
            return self._answer(op, error=INVALID_COMMAND)
        if op in (MEM_DATA, FLASH_DATA, FLASH_DEFL_DATA) and checksum != reduce(xor, body[16:], CHECKSUM_SEED):
            return self._answer(op, error=BAD_CHECKSUM)
        self._then = None  # what follows the answer
        try:
            answer = handler(self, body, *struct.unpack_from(fields, body))
        except (ValueError, struct.error, zlib.error):  # outside the flash, a short body, no deflate stream
            return self._answer(op, error=FAILED)
        for _ in range(SYNC_REPLIES if op == SYNC else 1):
            self._answer(op, answer)
        if self._then:
            self._then()

    def _answer(self, op: int, answer: int | bytes | None = None, error: int = 0) -> None:
        """Send an answer: a register's value, data, or neither."""
        value, data = (answer, b"") if isinstance(answer, int) else (0, answer or b"")
        data += bytes([bool(error), error]) + (b"" if self._stub else b"\0\0")
        self._send(Slip.frame(struct.pack("<BBHI", 1, op, len(data), value) + data))

    # Each takes the body of a command and its fields, and returns the answer.

    def _sync(self, body: bytes) -> int:
        return 0 if self._stub else 0x20120707  # the ROM's value is not zero, a stub's is

    def _acknowledge(self, body: bytes) -> None:
        pass

    def _read_register(self, body: bytes, address: int) -> int:
        return self._registers.read(address)

    def _write_register(self, body: bytes, address: int, value: int, mask: int, delay: int) -> None:
        self._registers.write(address, value & mask)

    def _mem_end(self, body: bytes, stay: int, entry: int) -> None:
        if not stay:
            self._then = self._become_stub

    def _become_stub(self) -> None:
        self._stub = True
        self._send(Slip.frame(b"OHAI"))

    def _begin(
        self, body: bytes, size: int, blocks: int, block_size: int, offset: int, *, deflated: bool = False
    ) -> None:
        whole = -(-size // SECTOR) * SECTOR
        if offset % SECTOR or offset + whole > self._flash.size:
            raise ValueError("outside the flash")
        if not self._stub:  # the ROM erases before it answers, a stub as it goes
            self._flash.erase(offset, whole)
        self._writer = _Writer(self._flash, offset, size, erase=self._stub, deflated=deflated)

    def _begin_deflated(self, body: bytes, *fields: int) -> None:
        self._begin(body, *fields, deflated=True)

    def _data(self, body: bytes) -> None:
        if self._writer is None:
            raise ValueError("data without a beginning")
        self._writer.write(body[16:])

    def _end(self, body: bytes, keep: int) -> None:
        """Leave flash mode; 0 restarts. The strapping pins are read at EN only: such a restart is in download mode."""
        self._writer = None
        if not keep:
            self._then = self._reload
        elif not self._stub:  # to the ROM, 1 says "run the program"; a stub stays
            self._then = self._restart

    def _md5(self, body: bytes, address: int, length: int) -> bytes:
        digest = hashlib.md5(self._flash.read(address, length))
        return digest.digest() if self._stub else digest.hexdigest().encode()

    def _read_slow(self, body: bytes, address: int, length: int) -> bytes:
        return self._flash.read(address, min(length, 64)).ljust(64, b"\0")

    def _erase(self, body: bytes, address: int, length: int) -> None:
        self._flash.erase(address, length)

    def _erase_all(self, body: bytes) -> None:
        self._flash.erase(0, self._flash.size)

    def _read(self, body: bytes, address: int, length: int, block: int, window: int) -> None:
        self._reader = _Reader(self._flash, address, length, block, window)
        self._then = lambda: self._pump(bytes(4))

    def _pump(self, acknowledgement: bytes) -> None:
        for block in self._reader.blocks(acknowledged=int.from_bytes(acknowledgement[:4], "little")):
            self._send(Slip.frame(block))
        if self._reader.finished:
            self._send(Slip.frame(self._reader.digest.digest()))
            self._reader = None

    _COMMANDS = {  # noqa: RUF012 (a table that nobody changes): handler and fields of each command
        FLASH_BEGIN: (_begin, "<IIII"),
        FLASH_DATA: (_data, ""),
        FLASH_END: (_end, "<I"),
        MEM_BEGIN: (_acknowledge, ""),
        MEM_END: (_mem_end, "<II"),
        MEM_DATA: (_acknowledge, ""),
        SYNC: (_sync, ""),
        WRITE_REG: (_write_register, "<IIII"),
        READ_REG: (_read_register, "<I"),
        SPI_SET_PARAMS: (_acknowledge, ""),
        SPI_ATTACH: (_acknowledge, ""),
        READ_FLASH_SLOW: (_read_slow, "<II"),
        CHANGE_BAUDRATE: (_acknowledge, ""),
        FLASH_DEFL_BEGIN: (_begin_deflated, "<IIII"),
        FLASH_DEFL_DATA: (_data, ""),
        FLASH_DEFL_END: (_end, "<I"),
        SPI_FLASH_MD5: (_md5, "<II"),
        ERASE_FLASH: (_erase_all, ""),
        ERASE_REGION: (_erase, "<II"),
        READ_FLASH: (_read, "<IIII"),
    }


class _Writer:
    """Writes a run of blocks, erasing each sector when it is reached."""

    def __init__(self, flash: Flash, offset: int, size: int, *, erase: bool, deflated: bool) -> None:
        self._flash, self._position, self._end, self._erase = flash, offset, offset + size, erase
        self._erased = offset
        self._inflate = zlib.decompressobj().decompress if deflated else bytes

    def write(self, block: bytes) -> None:
        data = self._inflate(block)
        if not self._erase:  # esptool pads the last block; the ROM writes the padding too
            self._end = max(self._end, self._position + len(data))
        data = data[: self._end - self._position]
        last = -(-(self._position + len(data)) // SECTOR) * SECTOR
        if self._erase and last > self._erased:
            self._flash.erase(self._erased, last - self._erased)
            self._erased = last
        for start in range(0, len(data), SECTOR):
            self._flash.write(self._position + start, data[start : start + SECTOR])
        self._position += len(data)


class _Reader:
    """Reads a region in blocks, at most `window` of them ahead of the host's acknowledgement."""

    def __init__(self, flash: Flash, address: int, length: int, block: int, window: int) -> None:
        if address + length > flash.size:
            raise ValueError("outside the flash")
        self._flash, self._address, self._length, self._block = flash, address, length, block
        self._ahead = window * block
        self._sent = self._acknowledged = 0
        self.digest = hashlib.md5()

    @property
    def finished(self) -> bool:
        return self._acknowledged >= self._length

    def blocks(self, acknowledged: int) -> list[bytes]:
        """Return the blocks that may go out now that the host has `acknowledged` bytes."""
        self._acknowledged = acknowledged
        out = []
        while self._sent < self._length and self._sent - acknowledged < self._ahead:
            data = self._flash.read(self._address + self._sent, min(self._block, self._length - self._sent))
            self.digest.update(data)
            self._sent += len(data)
            out.append(data)
        return out
