"""The NOR flash of the virtual board: one file, erased by sector, programmed by clearing bits."""

from __future__ import annotations

import mmap
import os
import threading
import time
from pathlib import Path

SECTOR = 4096  # the unit of erase, SPI NOR flash as ESP-IDF drives it (spi_flash SPI_FLASH_SEC_SIZE)
SIZE = 4 * 1024 * 1024  # an ESP32-WROOM-32 carries 4 MB

# Modelled times in seconds, straight lines through the tables of ESP-IDF 5.5 esp_partition/partition_linux.c
# (measured there on an ESP8266's flash: read 7 µs for 4 bytes … 459 µs for 4096; write 19 … 6367; erase 37142).
READ_START, READ_PER_BYTE = 5e-6, 454e-6 / 4096
WRITE_START, WRITE_PER_BYTE = 13e-6, 6354e-6 / 4096
ERASE_PER_SECTOR = 37142e-6
LONGEST_DEBT = 0.002  # s; shorter waits than this are saved up, since sleep() is not finer


class FlashInUseError(Exception):
    """Another virtual board holds this flash file."""


class Flash:
    """Flash memory in a file. Its operations raise OSError for what is outside of it, or no whole sectors to erase.

    Args:
        path: the file; made and filled with 0xFF (the erased state) when absent or empty.
        pace: 1 waits as long as a chip would, 0 does not wait.

    Raises:
        FlashInUseError: another process holds the file.
        ValueError: the file is not SIZE bytes long, so it is no flash of ours.
    """

    def __init__(self, path: Path, pace: float = 1.0) -> None:
        self.path, self.pace, self.size = path, pace, SIZE
        self.reads = self.writes = self.erases = 0
        self._lock = threading.RLock()
        self._debt = 0.0
        path.parent.mkdir(parents=True, exist_ok=True)
        # Opened without truncating, locked, and only then looked at: another board may be making the same file.
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(path, flags, 0o666), "r+b")  # held as long as the board lives
        lock_file(self._file.fileno())
        length = os.fstat(self._file.fileno()).st_size
        if length < SIZE and self._file.read() == b"\xff" * length:  # new, or its maker was killed
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
            return self._memory[address : address + length]

    def write(self, address: int, data: bytes) -> None:
        """Program data at address: bits go from 1 to 0, never back (that is what erase is for)."""
        with self._lock:
            self._check(address, len(data))
            self.writes += 1
            self._wait(WRITE_START + len(data) * WRITE_PER_BYTE)
            old = self._memory[address : address + len(data)]
            both = int.from_bytes(old, "little") & int.from_bytes(data, "little")
            self._memory[address : address + len(data)] = both.to_bytes(len(data), "little")

    def erase(self, address: int, length: int) -> None:
        """Set whole sectors to 0xFF; both numbers are multiples of SECTOR."""
        with self._lock:
            self._check(address, length)
            if address % SECTOR or length % SECTOR:
                raise OSError(f"erase of {length:#x} bytes at {address:#x}: not whole sectors")
            for start in range(address, address + length, SECTOR):
                self.erases += 1
                self._wait(ERASE_PER_SECTOR)
                self._memory[start : start + SECTOR] = b"\xff" * SECTOR

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._memory.close()
            self._file.close()

    def _check(self, address: int, length: int) -> None:
        if address < 0 or length < 0 or address + length > self.size:
            raise OSError(f"{length:#x} bytes at {address:#x} are outside the flash of {self.size:#x} bytes")

    def _wait(self, seconds: float) -> None:
        self._debt += seconds * self.pace
        if self._debt >= LONGEST_DEBT:
            before = time.monotonic()
            time.sleep(self._debt)
            self._debt -= time.monotonic() - before  # sleep() overshoots; the next wait gives it back


def lock_file(descriptor: int) -> None:
    """Hold a file for this process alone until it is closed; FlashInUseError when somebody else does."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise FlashInUseError("another virtual board holds this flash file") from error
