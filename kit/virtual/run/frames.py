"""Frames between the chip and the process that runs its programs: kind, length, then that many bytes."""

import struct

HEADER = struct.Struct("<BI")

SERIAL = 0x01  # both ways: bytes of the UART
REPLY = 0x02  # to the process: a status, 0 when it worked, and the data read
# to the chip
READ, WRITE, ERASE = 0x10, 0x11, 0x12  # address, then length or data
RESET = 0x20  # the cause that the next boot reports
PIN = 0x21  # number, value
