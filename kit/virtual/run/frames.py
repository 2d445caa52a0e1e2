"""Frames between the chip and the process that runs its programs: kind, length, then that many bytes."""

import struct
from collections.abc import Iterator
from typing import BinaryIO

HEADER = struct.Struct("<BI")

SERIAL = 0x01  # both ways: bytes of the UART
CLOCK = (
    0x04  # both ways: Rtc.start of kit/virtual/rtc.py as eight bytes with a sign; the process says it after the chip
)
# to the process
REPLY = 0x02  # a status, 0 when it worked, and the data read
PRESS = 0x03  # number of a pin, whether a button holds it low from now on
# to the chip
READ, WRITE, ERASE = 0x10, 0x11, 0x12  # address, then length or data
RESET = 0x20  # the cause that the next boot reports
PIN = 0x21  # number, mode as machine.Pin has it (0: PWM), level as two bytes (of PWM its duty of 65535)
SLEEP = 0x23  # ms until the next boot as eight bytes with a sign, negative: nothing but EN and the power wakes it
MEMORY = 0x24  # what machine.RTC.memory() keeps
NAME = 0x22  # the hostname that answers mDNS queries, empty while the board is not on the network


def send(pipe: BinaryIO, kind: int, payload: bytes) -> None:
    pipe.write(HEADER.pack(kind, len(payload)) + payload)
    pipe.flush()


def received(pipe: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield kind and payload of each frame until the other side has gone."""
    while len(header := pipe.read(HEADER.size)) == HEADER.size:
        kind, length = HEADER.unpack(header)
        yield kind, pipe.read(length)
