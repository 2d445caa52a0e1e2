"""MicroPython's raw REPL on an open port, by mpremote.

mpremote 1.29's transport is bent here, by subclass: it opens its port by name, and waits for bytes by polling every
10 ms, one at a time.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

import serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from kit.errors import BoardError


class Repl(SerialTransport):
    """mpremote's transport on a port that is open already."""

    def __init__(self, port: serial.SerialBase) -> None:
        self.serial = port
        self.device_name = port.port
        self.in_raw_repl = self.mounted = self.is_pty = False
        self.use_raw_paste = True

    def read_until(
        self,
        min_num_bytes: int,
        ending: bytes,
        timeout: float | None = 10,
        data_consumer: Callable[[bytes], None] | None = None,
        timeout_overall: float | None = None,
    ) -> bytes:
        """Read up to `ending`, or until nothing came for `timeout` seconds; the contract is mpremote's."""
        data = b""
        started = heard = time.monotonic()
        while not data.endswith(ending):
            byte = self.serial.read(1)
            now = time.monotonic()
            if byte:
                heard = now
                data = byte if data_consumer else data + byte
                if data_consumer:
                    data_consumer(byte)
            if timeout is not None and now - heard >= timeout:
                break
            if timeout_overall is not None and now - started >= timeout_overall:
                break
        return data


@contextmanager
def raw_repl(port: serial.SerialBase) -> Iterator[Repl]:
    """Interrupt what runs on the board and give it commands; the caller resets the board afterwards.

    Raises:
        BoardError: no MicroPython answers, or the code fails there.
    """
    repl = Repl(port)
    try:
        with redirect_stdout(io.StringIO()):  # mpremote prints what it could not make sense of
            repl.enter_raw_repl()
        yield repl
        repl.exit_raw_repl()
    except TransportError as error:
        lines = str(getattr(error, "error_output", error)).strip().splitlines()
        raise BoardError(
            f"MicroPython at {port.port} does not do as told: {lines[-1] if lines else 'no answer'}.",
            "Has it been flashed? board.flash(image) puts MicroPython on the board.",
        ) from None
