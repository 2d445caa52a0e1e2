"""MicroPython's raw REPL on an open port, by mpremote.

mpremote 1.29's transport is bent here, by subclass: it opens its port by name, waits for bytes by polling every 10 ms,
one at a time, and takes whatever a read brings for the board's answer. Its own port waits without end, ours a second.
"""

import io
import math
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress

import serial
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from kit.board.port import has_reset_lines, press_en
from kit.errors import BoardError

NOT_FLASHED = "board.flash(image) puts MicroPython on the board, as lesson 01 shows."
# A console full of bytes loses the first Ctrl-A, and a slow board reads them for a while; a silent one is not there.
RESTART_TRIES = 6
TRY_SECONDS = 2
ANSWER_SECONDS = 10  # as mpremote waits elsewhere
STOPPED = "Run board.reset(), then this cell again; OSError 28 means that the partition vfs is full."


class Patient:
    """A port of which a read waits for all that it asks for, up to ANSWER_SECONDS."""

    def __init__(self, port: serial.SerialBase) -> None:
        self._port = port
        self.write, self.inWaiting = port.write, port.inWaiting

    def read(self, size: int) -> bytes:
        data, end = self._port.read(size), time.monotonic() + ANSWER_SECONDS
        while len(data) < size and time.monotonic() < end:
            data += self._port.read(size - len(data))
        return data


class Repl(SerialTransport):
    """mpremote's transport on a port that is open already."""

    def __init__(self, port: serial.SerialBase) -> None:
        self.serial = port
        self.device_name = port.port
        self.in_raw_repl = self.mounted = self.is_pty = False
        self.use_raw_paste = True
        self.heard = 0  # bytes

    def read_until(self, min_num_bytes, ending, timeout=10, data_consumer=None, timeout_overall=None) -> bytes:
        """Read up to `ending`, or until nothing came for `timeout` seconds; the contract is mpremote's."""
        silence, whole = (math.inf if limit is None else limit for limit in (timeout, timeout_overall))
        data = b""
        started = heard = time.monotonic()
        while not data.endswith(ending) and time.monotonic() < min(heard + silence, started + whole):
            if byte := self.serial.read(1):
                heard = time.monotonic()
                self.heard += 1
                data = byte if data_consumer else data + byte
                if data_consumer:
                    data_consumer(byte)
        return data

    def enter(self, soft_reset: bool, seconds: float = 10) -> None:
        """Interrupt what runs and enter the raw REPL, a fresh one or the same; raises TransportError."""
        with redirect_stdout(io.StringIO()):  # mpremote prints what it could not make sense of
            self.enter_raw_repl(soft_reset, timeout_overall=seconds)

    def exec_raw_no_follow(self, command: str | bytes) -> None:
        """Send code to be run; raises TransportError."""
        port, self.serial = self.serial, Patient(self.serial)
        try:
            super().exec_raw_no_follow(command)
        finally:
            self.serial = port

    def exec(self, command: str, data_consumer: Callable[[bytes], None] | None = None) -> bytes:
        """Run code and return what it prints; an error of its own is a BoardError."""
        try:
            return super().exec(command, data_consumer)
        except TransportExecError as error:
            last = error.error_output.strip().splitlines()[-1]
            raise BoardError(f"MicroPython stops with {last}.", STOPPED) from None

    def sizes(self, folder: str, mounted: list[str]) -> Iterator[tuple[str, int]]:
        """Yield path and size of each file in a folder, except for what is mounted into it."""
        for entry in sorted(self.fs_listdir(folder)):
            path = f"{folder.rstrip('/')}/{entry.name}"
            if not stat.S_ISDIR(entry.st_mode):
                yield path, entry.st_size
            elif path not in mounted:
                yield from self.sizes(path, mounted)


@contextmanager
def raw_repl(port: serial.SerialBase, soft_reset: bool = True) -> Iterator[Repl]:
    """Interrupt what runs on the board and give it commands; the caller resets the board afterwards.

    Args:
        soft_reset: begin with a fresh interpreter.

    Raises:
        BoardError: no MicroPython answers, or the code fails there.
    """
    repl = Repl(port)
    try:
        repl.enter(soft_reset)
        yield repl
        repl.exit_raw_repl()
    except TransportError:
        raise BoardError("No MicroPython answers.", NOT_FLASHED) from None


def restart(port: serial.SerialBase) -> bool:
    """Reset the board by its EN line, else by its REPL; False where there is neither."""
    if has_reset_lines(port):
        press_en(port)
        return True
    silent = 0
    for _ in range(RESTART_TRIES):
        repl = Repl(port)
        with suppress(TransportError):
            repl.enter(False, TRY_SECONDS)
            repl.exec_raw_no_follow("import machine; machine.reset()")
            return True
        silent = 0 if repl.heard else silent + 1
        if silent == 2:
            break
    return False
