"""The serial port of a board, opened for the length of a verb.

pyserial 3.5's RFC 2217 client is bent here, by subclass: it sleeps 50 ms on every change of a setting, also when
nothing changes (esptool sets `timeout` twice for each block), takes its input byte by byte through a queue, and sleeps
0.3 s when closed. 1.5 MB take it 40 s; this takes 4.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import serial
from serial.rfc2217 import PURGE_RECEIVE_BUFFER
from serial.rfc2217 import Serial as Rfc2217

from kit.errors import AddressError, BoardError

BAUD_RATE = 115200  # of the ROM and of MicroPython's REPL
PATIENCE = 2.0  # s; a port that somebody has just closed is free again within this time
POLL = 0.0005  # s


class ByteQueue:
    """What pyserial uses of queue.Queue, for bytes, over one bytearray."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._changed = threading.Condition()
        self._ended = False

    def put(self, byte: bytes | None) -> None:
        """Add a byte; None says that no more will come."""
        with self._changed:
            if byte is None:
                self._ended = True
            else:
                self._data += byte
            self._changed.notify()

    def take(self, size: int, timeout: float | None) -> bytes:
        """Return up to size bytes: all of them, or what is there when the time is over or the line ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or len(self._data) >= size, timeout)
            if self._ended and not self._data:
                raise serial.SerialException("the other side has closed the connection")
            data = bytes(self._data[:size])
            del self._data[:size]
            return data

    def get(self, block: bool) -> bytes:
        return self.take(1, None if block else 0)

    def qsize(self) -> int:
        return len(self._data)

    def clear(self) -> None:
        with self._changed:
            self._data.clear()


class QuickRfc2217(Rfc2217):
    """pyserial's RFC 2217 client without its waits."""

    @property
    def _read_buffer(self) -> ByteQueue | None:
        return self._byte_queue

    @_read_buffer.setter
    def _read_buffer(self, queue: object) -> None:  # open() makes a queue.Queue here
        self._byte_queue = None if queue is None else ByteQueue()

    def _reconfigure_port(self) -> None:
        settings = (self._baudrate, self._bytesize, self._parity, self._stopbits, id(self._socket))
        if settings != getattr(self, "_settings", None):
            super()._reconfigure_port()
            self._settings = settings

    def read(self, size: int = 1) -> bytes:
        return self._byte_queue.take(size, self._timeout)

    def reset_input_buffer(self) -> None:
        self.rfc2217_send_purge(PURGE_RECEIVE_BUFFER)
        self._byte_queue.clear()  # pyserial takes byte after byte, for ever if they come as fast

    def rfc2217_set_control(self, value: bytes) -> None:
        self._negotiate("control", value)

    def rfc2217_send_purge(self, value: bytes) -> None:
        self._negotiate("purge", value)

    def _negotiate(self, name: str, value: bytes) -> None:
        item = self._rfc2217_options[name]
        item.set(value)
        deadline = time.monotonic() + self._network_timeout
        while not item.is_ready():
            if time.monotonic() > deadline:
                raise serial.SerialException(f"the other side does not answer ({name})")
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
    except serial.SerialException as error:
        raise BoardError(
            f"The connection to {address} broke: {error}.", "Check the cable and run the cell again."
        ) from None
    finally:
        port.close()


def _opened(address: str) -> serial.SerialBase:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if address.startswith("rfc2217://"):
                port = QuickRfc2217(None, BAUD_RATE, timeout=1)
                port.port = address
            else:
                port = serial.serial_for_url(address, BAUD_RATE, timeout=1, exclusive=True, do_not_open=True)
            port.open()
            return port
        except (ValueError, TypeError):  # a URL that makes no sense to pyserial
            raise AddressError(f"{address} is not the address of a port.", _advice("")) from None
        except serial.SerialException as error:
            if "refused" not in str(error) or time.monotonic() > deadline:
                raise AddressError(f"The port {address} cannot be opened: {error}.", _advice(str(error))) from None
            time.sleep(0.02)


def _advice(reason: str) -> str:
    if "ermission" in reason:
        return "Join the group that owns the port (often `sudo usermod -aG dialout $USER`), then log in again."
    if "refused" in reason:
        return "Is the board on? If it is, close the other program that uses it: a terminal, another notebook."
    if "busy" in reason or "exclusively lock" in reason:
        return "Close the other program that uses the board: a terminal, another notebook."
    return "Check the cable and the name of the port; kit.connect() without a name looks for it."
