# Runs on CPython and on MicroPython.
"""Ask a time server (SNTP, RFC 4330), as MicroPython's `ntptime` does."""

import socket
import struct

host = "pool.ntp.org"
timeout = 1  # s

_SINCE_1900 = 3155673600  # s from 1900 to 2000, where the board's clock starts


def time():
    """Seconds since 2000."""
    packet = bytearray(48)
    packet[0] = 0x1B  # version 3, client
    with_server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        with_server.settimeout(timeout)
        with_server.sendto(packet, socket.getaddrinfo(host, 123)[0][-1])
        answer = with_server.recv(48)
    finally:
        with_server.close()
    return struct.unpack("!I", answer[40:44])[0] - _SINCE_1900


def settime():
    from time import gmtime

    import machine

    now = gmtime(time())
    machine.RTC().datetime((now[0], now[1], now[2], now[6] + 1, now[3], now[4], now[5], 0))
