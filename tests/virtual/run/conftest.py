import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit.image.standin import app
from kit.image.table import MICROPYTHON_OTA

ROOT = Path(__file__).parents[3]
FLASH_SIZE = 0x400000
SECTOR = 4096
OTA_0 = 0x10000
PATIENCE = 20  # s; a test that waits this long has failed
CLOCK, READ, WRITE, ERASE, RESET, PIN, NAME, MEMORY = 0x04, 0x10, 0x11, 0x12, 0x20, 0x21, 0x22, 0x24
CTRL_A, CTRL_D = b"\x01", b"\x04"


class Life:
    """The rest of a chip for one run-mode process: flash in memory, with NOR rules, and the serial line."""

    def __init__(self, flash: bytearray, **settings: object) -> None:
        self.flash = flash
        self.http, self.https = _free_port(), _free_port()
        self.pins: list[tuple[int, int, int]] = []  # number, mode, level
        self.names: list[str] = []
        self.starts: list[int] = []  # of the clock, in ns
        self.kept: list[bytes] = []
        self.requests: list[tuple[int, int, int]] = []  # kind, address, length
        self.reset_cause: int | None = None
        self.fail_writes = False
        self.complaints = b""  # what it wrote to stderr: only a bug does
        self._output = bytearray()
        self._news = threading.Condition()
        born = {
            "running": OTA_0,
            "reset_cause": 1,
            "mac": "240ac4000110",
            "flash_size": FLASH_SIZE,
            "http": self.http,
            "https": self.https,
            "ssid": "virtual-wifi",
            "password": "virtual-password",
            "hosts": [],
            "held": [],
            "start": time.monotonic_ns(),
            "kept": "",
        }
        command = [sys.executable, "-P", "-m", "kit.virtual.run", json.dumps(born | settings)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, **pipes)
        self._threads = [threading.Thread(target=job, daemon=True) for job in (self._serve, self._complain)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join()
        with contextlib.suppress(BrokenPipeError):  # of an answer that came too late
            self.process.stdin.close()

    def _complain(self) -> None:
        with self.process.stderr as pipe:
            self.complaints = pipe.read()

    def _serve(self) -> None:
        with self.process.stdout as pipe:
            while len(header := pipe.read(5)) == 5:
                kind, length = struct.unpack("<BI", header)
                self._take(kind, pipe.read(length))
        with self._news:
            self._news.notify_all()

    def _take(self, kind: int, payload: bytes) -> None:
        if kind in (READ, WRITE, ERASE):
            return self._reply(kind, payload)
        with self._news:
            if kind == RESET:
                self.reset_cause = payload[0]
            elif kind == PIN:
                self.pins.append(struct.unpack("<BBH", payload))
            elif kind == NAME:
                self.names.append(payload.decode())
            elif kind == CLOCK:
                self.starts.append(*struct.unpack("<q", payload))
            elif kind == MEMORY:
                self.kept.append(payload)
            else:
                self._output += payload
            self._news.notify_all()

    def _reply(self, kind: int, payload: bytes) -> None:
        address = int.from_bytes(payload[:4], "little")
        length = len(payload) - 4 if kind == WRITE else int.from_bytes(payload[4:8], "little")
        self.requests.append((kind, address, length))
        bad = address + length > FLASH_SIZE or (self.fail_writes and kind != READ)
        data = b"" if bad else self._operate(kind, address, length, payload[4:])
        self._frame(0x02, bytes([bad]) + data)

    def _operate(self, kind: int, address: int, length: int, data: bytes) -> bytes:
        end = address + length
        if kind == READ:
            return bytes(self.flash[address:end])
        if kind == ERASE:
            assert address % SECTOR == 0
            assert length % SECTOR == 0
            self.flash[address:end] = b"\xff" * length
        else:
            self.flash[address:end] = bytes(old & new for old, new in zip(self.flash[address:end], data, strict=True))
        return b""

    def _frame(self, kind: int, payload: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it ended after it had asked
            self.process.stdin.write(struct.pack("<BI", kind, len(payload)) + payload)
            self.process.stdin.flush()

    def press(self, pin: int, held: bool) -> None:
        self._frame(0x03, bytes([pin, held]))

    def send(self, data: bytes) -> None:
        self._frame(0x01, data)

    def wait(self, ready: Callable[[], bool]) -> None:
        with self._news:
            self._news.wait_for(lambda: ready() or self.process.poll() is not None, PATIENCE)
            assert ready(), (bytes(self._output), self.complaints)

    def until(self, end: bytes) -> bytes:
        """Take serial output up to and with `end`."""
        self.wait(lambda: end in self._output)
        taken = self._output[: self._output.index(end) + len(end)]
        del self._output[: len(taken)]
        return bytes(taken)

    def wait_for_reset(self) -> int:
        self.wait(lambda: self.reset_cause is not None)
        return self.reset_cause

    def prompt(self) -> bytes:
        return self.until(b">>> ")

    def enter_raw(self) -> None:
        self.send(CTRL_A)
        self.until(b"raw REPL; CTRL-B to exit\r\n>")

    def soft_reset(self) -> bytes:
        """Soft reset from the raw REPL; return what boot printed."""
        self.send(CTRL_D)
        return self.until(b"raw REPL; CTRL-B to exit\r\n>")

    def run(self, code: str) -> tuple[str, str]:
        """Run code in the raw REPL; return what it printed and its traceback."""
        self.send(code.encode() + CTRL_D)
        return self.finish()

    def finish(self) -> tuple[str, str]:
        self.until(b"OK")
        output, error = self.until(CTRL_D), self.until(CTRL_D)
        self.until(b">")
        return tuple(part[:-1].decode().replace("\r\n", "\n") for part in (output, error))

    def value(self, expression: str) -> str:
        """Return the repr of an expression."""
        output, error = self.run(f"print(repr(({expression})))")
        assert not error, error
        return output.removesuffix("\n")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def flash() -> bytearray:
    """A board as a cable leaves it: partition table, an app in ota_0, the rest blank."""
    flash = bytearray(b"\xff" * FLASH_SIZE)
    for address, data in ((0x8000, MICROPYTHON_OTA.to_bytes()), (OTA_0, app())):
        flash[address : address + len(data)] = data
    return flash


@pytest.fixture
def start() -> Iterator[Callable[..., Life]]:
    """Function that starts a run-mode process on a flash."""
    lives: list[Life] = []

    def begin(flash: bytearray, **settings: object) -> Life:
        lives.append(Life(flash, **settings))
        return lives[-1]

    yield begin
    for life in lives:
        life.end()
        assert life.complaints == b"", life.complaints.decode()


@pytest.fixture
def life(start: Callable[..., Life], flash: bytearray) -> Life:
    """A running board at its friendly prompt."""
    life = start(flash)
    life.prompt()
    return life


@pytest.fixture
def raw(life: Life) -> Life:
    """A running board in the raw REPL."""
    life.enter_raw()
    return life
