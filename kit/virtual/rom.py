"""Download mode of the virtual board: Espressif's serial protocol, as ROM loader and as flasher stub.

Source: "Serial Protocol" in esptool's documentation, read against esptool 5.6. The stub's code is not run: the board
takes it, and from then on answers as a stub does.
"""

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

ACKNOWLEDGED = (MEM_BEGIN, MEM_DATA, SPI_SET_PARAMS, SPI_ATTACH)  # with nothing to do here
DATA = (MEM_DATA, FLASH_DATA, FLASH_DEFL_DATA)  # a block after 16 bytes: its length, its number and two zeros

INVALID_COMMAND, FAILED, BAD_CHECKSUM = 0x05, 0x06, 0x07  # ROM loader error codes
SYNC_REPLIES = 8
CHECKSUM_SEED = 0xEF
Send, Call = Callable[[bytes], None], Callable[[], None]
LONGEST_PACKET = 0x10000  # bytes; esptool's are blocks of 0x4000, twice as long where every byte is escaped

# The SPI controller, by which esptool asks the flash what it is: a Winbond W25Q32
SPI_CMD, SPI_USR2, SPI_W0 = 0x3FF42000, 0x3FF42024, 0x3FF42080
SPI_CMD_USR = 1 << 18  # runs the command that is in SPI_USR2
READ_ID, FLASH_ID = 0x9F, 0x1640EF


def frame(packet: bytes) -> bytes:
    """Return a packet as it goes over the wire (SLIP, RFC 1055)."""
    return b"\xc0" + packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


def crc8(data: bytes) -> int:
    """Return the checksum that eFuse block 0 holds of the MAC (esp_crc8 in the ROM; CRC-8/MAXIM)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc


def registers(mac: bytes) -> dict[int, int]:
    """Return the registers by which esptool knows a chip: "ESP32-D0WD-V3 (revision v3.1)" with a 40 MHz crystal.

    Numbers from esptool 5.6 targets/esp32.py.
    """
    efuse = 0x3FF5A000
    return {
        0x40001000: 0x00F01D83,  # "magic" by which a chip without security info is told
        efuse + 0x04: int.from_bytes(mac[2:], "big"),
        efuse + 0x08: int.from_bytes(mac[:2], "big") | crc8(mac) << 16,
        efuse + 0x0C: (1 << 9) | (1 << 13) | (1 << 15),  # package, CPU rating, revision bit 0
        efuse + 0x10: 136 | (0x10 << 8),  # RC oscillator calibration, ADC reference
        efuse + 0x14: (1 << 20) | (1 << 24),  # revision bit 1, minor revision
        0x3FF6607C: 1 << 31,  # APB_CTL_DATE: revision bit 2
        0x3FF40014: 347,  # UART clock divider: 115200 baud from 40 MHz
        0x3FF5F06C: 753 << 7,  # RTC calibration
    }


class Rom:
    """One stay in download mode.

    Args:
        flash: what is read and written.
        mac: 6 bytes, the board's address.
        send: takes the bytes that go to the host.
        restart: called when the host asks for the program to be run.
        reload: called when it asks for download mode anew.
        set_speed: takes the baud rate that the host asks for.
    """

    def __init__(
        self, flash: Flash, mac: bytes, send: Send, restart: Call, reload: Call, set_speed: Callable[[int], None]
    ) -> None:
        self._flash, self._send, self._restart, self._reload = flash, send, restart, reload
        self._registers, self._set_speed = registers(mac), set_speed
        self._rest = b""  # of a packet that has not arrived whole
        self._stub = False
        self._inflate: Callable[[bytes], bytes] | None = None  # None: not writing

    def feed(self, data: bytes) -> None:
        """Take bytes from the host and answer the commands in them; what is no command means nothing."""
        *packets, rest = (self._rest + data).split(b"\xc0")
        self._rest = rest[:LONGEST_PACKET]
        for packet in packets:
            packet = packet.replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
            if len(packet) >= 8 and packet[0] == 0:
                _, op, length, checksum = struct.unpack_from("<BBHI", packet)
                self._command(op, packet[8 : 8 + length], checksum)

    def _command(self, op: int, body: bytes, checksum: int) -> None:
        handler, fields = self._COMMANDS.get(op, (None, ""))
        if handler is None or (op >= ERASE_FLASH and not self._stub):
            return self._answer(op, error=INVALID_COMMAND)
        if op in DATA and checksum != reduce(xor, body[16:], CHECKSUM_SEED):
            return self._answer(op, error=BAD_CHECKSUM)
        self._then = None  # what follows the answer
        try:
            answer = handler(self, body, *struct.unpack_from(fields, body))
        except (OSError, ValueError, struct.error, zlib.error):  # no such place, a bad number, too short, not deflate
            return self._answer(op, error=FAILED)
        for _ in range(SYNC_REPLIES if op == SYNC else 1):
            self._answer(op, answer)
        if self._then:
            self._then()

    def _answer(self, op: int, answer: int | bytes | None = None, error: int = 0) -> None:
        """Send an answer: a register's value, data, or neither."""
        value, data = (answer, b"") if isinstance(answer, int) else (0, answer or b"")
        data += bytes([bool(error), error]) + (b"" if self._stub else b"\0\0")
        self._send(frame(struct.pack("<BBHI", 1, op, len(data), value) + data))

    # Each takes the body of a command and its fields, and returns the answer.

    def _sync(self, body: bytes) -> int:
        return 0 if self._stub else 0x20120707  # the ROM's value is not zero, a stub's is

    def _acknowledge(self, body: bytes) -> None:
        pass

    def _change_baudrate(self, body: bytes, new: int, old: int) -> None:
        if not new:
            raise ValueError("no speed")
        self._then = lambda: self._set_speed(new)

    def _read_register(self, body: bytes, address: int) -> int:
        return self._registers.get(address, 0)

    def _write_register(self, body: bytes, address: int, value: int, mask: int, delay: int) -> None:
        value &= mask
        if address == SPI_CMD and value & SPI_CMD_USR:  # done before this returns
            opcode = self._registers.get(SPI_USR2, 0) & 0xFF
            self._registers[SPI_W0] = FLASH_ID if opcode == READ_ID else 0
            value = 0
        self._registers[address] = value

    def _mem_end(self, body: bytes, stay: int, entry: int) -> None:
        if not stay:
            self._then = self._become_stub

    def _become_stub(self) -> None:
        self._stub = True
        self._send(frame(b"OHAI"))

    def _begin(self, body: bytes, size: int, blocks: int, block_size: int, offset: int) -> None:
        if offset + size > self._flash.size:
            raise OSError("outside the flash")
        self._position, self._last = offset, offset + size
        self._erased = offset // SECTOR * SECTOR  # up to here
        self._inflate = bytes
        if not self._stub:  # the ROM erases before it answers, a stub as it goes
            self._erase_up_to(self._last)

    def _begin_deflated(self, body: bytes, *fields: int) -> None:
        self._begin(body, *fields)
        self._inflate = zlib.decompressobj().decompress

    def _data(self, body: bytes) -> None:
        if self._inflate is None:
            raise ValueError("data without a beginning")
        data = self._inflate(body[16:])[: self._last - self._position]  # esptool pads the last block
        for start in range(0, len(data), SECTOR):
            piece = data[start : start + SECTOR]
            self._erase_up_to(self._position + len(piece))
            self._flash.write(self._position, piece)
            self._position += len(piece)

    def _erase_up_to(self, end: int) -> None:
        whole = -(-end // SECTOR) * SECTOR
        if whole > self._erased:
            self._flash.erase(self._erased, whole - self._erased)
            self._erased = whole

    def _end(self, body: bytes, keep: int) -> None:
        """Leave flash mode; 0 restarts. The strapping pins are read at EN only: such a restart is in download mode."""
        self._inflate = None
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
        """Send the blocks and their MD5 without a look at acknowledgements: TCP makes this wait for a slow host."""
        data = self._flash.read(address, length)
        packets = [data[start : start + block] for start in range(0, length, block)]
        packets.append(hashlib.md5(data).digest())
        self._then = lambda: self._send(b"".join(map(frame, packets)))

    # handler and fields of each command
    _COMMANDS = dict.fromkeys(ACKNOWLEDGED, (_acknowledge, "")) | {
        FLASH_BEGIN: (_begin, "<IIII"),
        FLASH_DATA: (_data, ""),
        FLASH_END: (_end, "<I"),
        MEM_END: (_mem_end, "<II"),
        SYNC: (_sync, ""),
        WRITE_REG: (_write_register, "<IIII"),
        READ_REG: (_read_register, "<I"),
        CHANGE_BAUDRATE: (_change_baudrate, "<II"),
        READ_FLASH_SLOW: (_read_slow, "<II"),
        FLASH_DEFL_BEGIN: (_begin_deflated, "<IIII"),
        FLASH_DEFL_DATA: (_data, ""),
        FLASH_DEFL_END: (_end, "<I"),
        SPI_FLASH_MD5: (_md5, "<II"),
        ERASE_FLASH: (_erase_all, ""),
        ERASE_REGION: (_erase, "<II"),
        READ_FLASH: (_read, "<IIII"),
    }
