"""The NOR flash of the virtual board: one file, erased by sector, programmed by clearing bits."""

import mmap
import os
import threading
import time
from pathlib import Path
from typing import NoReturn

from kit.lock import lock_file

SECTOR = 4096  # the unit of erase, SPI NOR flash as ESP-IDF drives it (spi_flash SPI_FLASH_SEC_SIZE)
SIZE = 4 * 1024 * 1024  # an ESP32-WROOM-32 carries 4 MB
OTHER_SIZES = tuple(SIZE >> n for n in range(1, 5))  # of smaller chips: no file that is still being made

# Modelled times in seconds, straight lines through the tables of ESP-IDF 5.5 esp_partition/partition_linux.c
# (measured there on an ESP8266's flash: read 7 µs for 4 bytes … 459 µs for 4096; write 19 … 6367; erase 37142).
READ_START, READ_PER_BYTE = 5e-6, 454e-6 / 4096
WRITE_START, WRITE_PER_BYTE = 13e-6, 6354e-6 / 4096
ERASE_PER_SECTOR = 37142e-6
# s: an operation comes from another process, which takes this computer time and no chip. What that and sleep() take too
# long is given back by the next waits, as far as they come soon.
HANDED_OVER = 0.0002
LARGEST_CREDIT = 0.05
LONGEST_DEBT = 0.002  # s; shorter waits than this are saved up, since sleep() is not finer

POWER_CUT, HALF_WRITE, TORN_WRITE, STUCK_SECTOR, STUCK_BIT, LYING_READ = FAULTS = (
    "power_cut",
    "half_write",
    "torn_write",
    "stuck_sector",
    "stuck_bit",
    "lying_read",
)
CUTS = (POWER_CUT, HALF_WRITE, TORN_WRITE)
LOWEST_BIT = 1


class NoPowerError(Exception):
    """The power is off: nothing happens, and nobody is there who could be told."""


class FlashInUseError(Exception):
    """Another virtual board holds this flash file."""


class Flash:
    """Flash memory in a file. Its operations raise OSError for what is outside of it, or no whole sectors to erase.

    Args:
        path: the file; made and filled with 0xFF (the erased state) when absent or empty.
        pace: 1 waits as long as a chip would, 0 does not wait.

    Attributes:
        powered: without power every operation raises NoPowerError.
        on_cut: called when a planted fault cuts the power, in the middle of an operation.

    Raises:
        FlashInUseError: another process holds the file.
        ValueError: the file is not SIZE bytes long, so it is no flash of ours.
    """

    def __init__(self, path: Path, pace: float = 1.0) -> None:
        self.path, self.pace, self.size = path, pace, SIZE
        self.reads = self.writes = self.erases = 0
        self._lock = threading.RLock()
        self._debt = self._done = 0.0
        self.powered, self.on_cut = True, lambda: None
        self._faults: dict[tuple[str, int], int] = {}  # by kind and place, what each has to remember
        path.parent.mkdir(parents=True, exist_ok=True)
        # Opened without truncating, locked, and only then looked at: another board may be making the same file.
        self._file = path.open("a+b")  # held as long as the board lives
        try:
            lock_file(self._file.fileno())
        except BlockingIOError as error:
            raise FlashInUseError("another virtual board holds this flash file") from error
        length = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        if (
            length < SIZE and length not in OTHER_SIZES and self._file.read() == b"\xff" * length
        ):  # new, or its maker was killed
            self._file.write(b"\xff" * (SIZE - length))
            self._file.flush()
        elif length != SIZE:
            self._file.close()
            raise ValueError(f"{path} is {length} bytes long; the flash of a virtual board has {SIZE}")
        self._memory = mmap.mmap(self._file.fileno(), SIZE)

    def read(self, address: int, length: int) -> bytes:
        """Return length bytes from address."""
        with self._lock:
            self._check(address, length)
            self.reads += 1
            self._wait(READ_START + length * READ_PER_BYTE)
            data = bytearray(self._memory[address : address + length])
            for at in self._planted(LYING_READ, address, length):
                data[at - address] ^= LOWEST_BIT
            return bytes(data)

    def write(self, address: int, data: bytes) -> None:
        """Program data at address: bits go from 1 to 0, never back (that is what erase is for)."""
        with self._lock:
            self._check(address, len(data))
            share = 0.5 if (TORN_WRITE, address - address % SECTOR) in self._faults else self._share()
            self.writes += 1
            self._wait(WRITE_START + len(data) * WRITE_PER_BYTE)
            new = bytearray(data[: int(len(data) * share)])
            for at in self._planted(STUCK_BIT, address, len(new)):
                cleared = ~new[at - address] & 0xFF
                self._faults[STUCK_BIT, at] = self._faults[STUCK_BIT, at] or cleared & -cleared  # its lowest bit
                new[at - address] |= self._faults[STUCK_BIT, at]
            old = self._memory[address : address + len(new)]
            both = int.from_bytes(old, "little") & int.from_bytes(new, "little")
            self._memory[address : address + len(new)] = both.to_bytes(len(new), "little")
            if share < 1:
                self._cut()

    def erase(self, address: int, length: int) -> None:
        """Set whole sectors to 0xFF; both numbers are multiples of SECTOR."""
        with self._lock:
            self._check(address, length)
            if address % SECTOR or length % SECTOR:
                raise OSError(f"erase of {length:#x} bytes at {address:#x}: not whole sectors")
            for start in range(address, address + length, SECTOR):
                if self._share() < 1:
                    self._cut()
                self.erases += 1
                self._wait(ERASE_PER_SECTOR)
                if not self._planted(STUCK_SECTOR, start, SECTOR):
                    self._memory[start : start + SECTOR] = b"\xff" * SECTOR

    def plant(self, kind: str, at: int, on: bool) -> None:
        """Plant a fault, or remove it: a command of the control side. No operation reports it, as on a chip.

        Args:
            kind: POWER_CUT and HALF_WRITE cut the power in place of the operation (write or erase of a sector) that
                comes after `at` others from now on; HALF_WRITE leaves the first half of a write, of an erase nothing.
                TORN_WRITE: so does the next write into the sector with the address `at`.
                STUCK_SECTOR: the sector with the address `at` is not erased. STUCK_BIT: at the address `at` the lowest
                bit that the next write there would clear stays 1. LYING_READ: the lowest bit there reads wrong.

        Raises:
            ValueError: there is no such fault or place.
        """
        if kind not in FAULTS or type(at) is not int or not 0 <= at < self.size:
            raise ValueError(f"there is no fault {kind!r} at {at!r}")
        with self._lock:
            if on:
                self._faults[kind, at] = self.writes + self.erases + at if kind in (POWER_CUT, HALF_WRITE) else 0
            else:
                self._faults.pop((kind, at), None)

    def _planted(self, kind: str, address: int, length: int) -> list[int]:
        """Return the addresses of a kind of faults in `length` bytes."""
        return [at for name, at in self._faults if name == kind and address <= at < address + length]

    def _share(self) -> float:
        """Return how much of the next operation happens: 1, or less where the power goes."""
        due = [kind for (kind, _), when in self._faults.items() if when == self.writes + self.erases]
        return 0 if POWER_CUT in due else 0.5 if HALF_WRITE in due else 1

    def _cut(self) -> NoReturn:
        self._faults = {key: when for key, when in self._faults.items() if key[0] not in CUTS}
        self.powered = False
        self.on_cut()
        raise NoPowerError

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._memory.close()
            self._file.close()

    def _check(self, address: int, length: int) -> None:
        if not self.powered:
            raise NoPowerError
        if address < 0 or length < 0 or address + length > self.size:
            raise OSError(f"{length:#x} bytes at {address:#x} are outside the flash of {self.size:#x} bytes")

    def _wait(self, seconds: float) -> None:
        self._debt += seconds * self.pace - min(HANDED_OVER, time.monotonic() - self._done)
        self._debt = max(-LARGEST_CREDIT, self._debt)
        if self._debt >= LONGEST_DEBT:
            before = time.monotonic()
            time.sleep(self._debt)
            self._debt -= time.monotonic() - before
        self._done = time.monotonic()
