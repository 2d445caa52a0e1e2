"""The serial port of a board, opened for the length of a verb.

pyserial 3.5's RFC 2217 client is bent here, by subclass: it sleeps 50 ms on every change of a setting, also when
nothing changes (esptool sets `timeout` twice for each block), takes its input byte by byte through the slower of
Python's queues, and sleeps 0.3 s when closed. 1.5 MB take it 40 s; this takes 4. When it opens it also moves DTR and
RTS, which esp_rfc2217_server (esptool 5.6) takes for a reset, and it waits for an answer that this server never gives.
"""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from urllib.parse import urlsplit

import serial
from serial.rfc2217 import PURGE_RECEIVE_BUFFER
from serial.rfc2217 import Serial as Rfc2217

from kit.errors import AddressError, BoardError

BAUD_RATE = 115200  # of the ROM and of MicroPython's REPL
PATIENCE = 2.0  # s; a port that somebody has just closed is free again within this time
POLL = 0.0005  # s
HOLD = 0.1  # s in reset; esptool holds EN low as long

# What pyserial says when a port does not open: cause and next step. PermissionError is Windows' word for a busy port.
LOOK = "Check the cable and the name; kit.preflight() looks for boards."
REASONS = {
    r"Errno 2\]|FileNotFound": ("There is no port {address}.", LOOK),
    r"Errno 13\]": ("You may not use {address}.", "Join its group: `sudo usermod -aG dialout $USER`; log in again."),
    r"Errno 16\]|exclusively|PermissionError": ("{address} is busy.", "Close what else uses it: terminal, notebook."),
    r"refused": ("{address} takes no connection.", "Is the board on? Or does another program use it?"),
    r"RFC2217": ("{address} does not speak RFC 2217.", "If it is a plain TCP port, write socket:// before it."),
    r"": ("The port {address} cannot be opened: {reason}.", LOOK),
}


class QuickRfc2217(Rfc2217):
    """pyserial's RFC 2217 client without its waits; opening it leaves the lines, and so the board, alone."""

    def open(self) -> None:
        self._opening = True
        self._settings = None
        try:
            super().open()
        except BaseException:  # pyserial keeps the connection where it is interrupted while its thread starts
            with suppress(RuntimeError):  # the thread has not started
                self.close()
            raise
        self._opening = False

    def _reconfigure_port(self) -> None:
        settings = (self._baudrate, self._bytesize, self._parity, self._stopbits)
        self._write_timeout = None  # esptool sets one; pyserial would refuse to set anything with it
        if settings != self._settings:
            super()._reconfigure_port()
            self._settings = settings

    def read(self, size: int = 1) -> bytes:
        data = bytearray()
        while len(data) < size and self._read_buffer.qsize():
            if (byte := self._read_buffer.get()) is None:  # the connection's end
                return bytes(data)
            data += byte
        try:
            return bytes(data) + super().read(size - len(data))
        except serial.SerialException:  # pyserial's words are about its thread
            raise serial.SerialException("the other side has closed the connection") from None

    def reset_input_buffer(self) -> None:
        self.rfc2217_send_purge(PURGE_RECEIVE_BUFFER)
        self._read_buffer = SimpleQueue()  # pyserial takes byte after byte, for ever if they come as fast

    def rfc2217_set_control(self, value: bytes) -> None:
        if not self._opening:
            self._rfc2217_options["control"].set(value)

    def rfc2217_send_purge(self, value: bytes) -> None:
        purge = self._rfc2217_options["purge"]
        purge.set(value)
        deadline = time.monotonic() + self._network_timeout
        while not purge.is_ready():
            if time.monotonic() > deadline:
                raise serial.SerialException("the other side does not answer")
            time.sleep(POLL)

    def close(self) -> None:
        self.is_open = False
        if self._socket:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
        if self._thread:
            self._thread.join()
        self._thread = self._socket = None


@contextmanager
def open_port(address: str) -> Iterator[serial.SerialBase]:
    """Open the serial port of a board, and close it at the end.

    Raises:
        AddressError: there is no such port, or it may not be opened.
        BoardError: the connection broke meanwhile.
    """
    port = _opened(address)
    try:
        yield port
    except OSError as error:  # pyserial's own are among them, and those of the system that it lets through
        raise BoardError(
            f"The connection to {address} broke: {error}.", "Check the cable and run the cell again."
        ) from None
    finally:
        port.close()


def has_reset_lines(port: serial.SerialBase) -> bool:
    """Tell whether DTR and RTS reach the board: over a plain socket and on an emulator's pty they do not."""
    if "://" in port.port:
        return not port.port.startswith("socket://")
    with suppress(OSError):
        return port.cts is not None  # whatever it is: the driver answers
    return False


def press_en(port: serial.SerialBase) -> None:
    """Reset the chip by RTS, as its EN button does; what it printed before is thrown away."""
    port.dtr = False
    port.rts = True
    time.sleep(HOLD)
    port.reset_input_buffer()
    port.rts = False


def _opened(address: str) -> serial.SerialBase:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if address.startswith(("rfc2217://", "socket://")) and urlsplit(address).port is None:
                raise ValueError("no TCP port")
            if address.startswith("rfc2217://"):
                return QuickRfc2217(address, BAUD_RATE, timeout=1)
            return serial.serial_for_url(address, BAUD_RATE, timeout=1, exclusive=True)
        except (ValueError, TypeError):  # a URL that makes no sense to pyserial
            raise AddressError(f"{address} is not the address of a port.", LOOK) from None
        except OSError as error:  # pyserial's own errors are some; others come from a port that is just being taken
            said = "refused" if isinstance(error, ConnectionError) else str(error)
            if "refused" not in said or time.monotonic() > deadline:
                cause, advice = next(texts for pattern, texts in REASONS.items() if re.search(pattern, said))
                reason = said.rpartition(f"{address}: ")[2]
                raise AddressError(cause.format(address=address, reason=reason), advice) from None
            time.sleep(0.02)
