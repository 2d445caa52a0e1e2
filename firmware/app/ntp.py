"""The clock, and the server that sets it (SNTP, RFC 4330). Moments are whole seconds since 2000 in UTC."""

import os

import dns
import machine
import udp
import window
from micropython import const

PORT = 123
WAITS = (1, 2)  # seconds, one for each time that the question is sent

_2026 = const(820_540_800)  # s since 2000; a clock that was never set is far behind, and so is a server that lies
_1900 = const(3_155_673_600)  # s from 1900 to 2000
_ERA = const(1 << 32)  # s; the seconds since 1900 begin anew on 7 February 2036 (RFC 4330, 3)
_ASKS = const(b"\x23")  # version 4, client
_SERVER = const(4)  # mode
_SIZE = const(48)  # bytes


def now():
    """Return what the clock shows, None if it was never set."""
    year, month, day, _, hour, minute, second, _ = machine.RTC().datetime()
    seconds = window.day(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    return seconds if seconds >= _2026 else None


async def ask(server):
    """Set the clock by a server, "host" or "host:port". Raises OSError."""
    host, port = split(server)
    stamp = os.urandom(8)  # what the server must send back; what time we have is nobody's business
    question = _ASKS + bytes(39) + stamp

    def read(answer):
        return _read(answer, stamp, host)

    seconds = await udp.ask(await dns.resolve(host), port, question, read, WAITS)
    if seconds is None:
        raise OSError(f"The time server {host} does not answer.")
    year, month, day, hour, minute, second = window.date(seconds)
    machine.RTC().datetime((year, month, day, 0, hour, minute, second, 0))  # a chip does not look at the weekday


def split(server):
    """Return host and port of a server as text has it. Raises OSError."""
    host, colon, port = server.partition(":")
    if not colon:
        return host, PORT
    if not port.isdigit() or not 0 < int(port) < 65_536:
        raise OSError(f"{port} is no port of a time server.")
    return host, int(port)


def _read(answer, stamp, host):
    """Return the time in an answer, None if it is not one to this question. Raises OSError if it is no good."""
    if len(answer) < _SIZE or answer[24:32] != stamp:
        return None
    if not answer[1]:  # "kiss of death" (RFC 4330, 8)
        raise OSError(f"The time server {host} wants no questions.")
    seconds = int.from_bytes(answer[40:44], "big")
    since = seconds - _1900 + (0 if seconds >> 31 else _ERA)
    is_synchronized = answer[0] >> 6 != 3 and answer[1] < 16
    if answer[0] & 7 != _SERVER or not is_synchronized or not seconds or since < _2026:
        raise OSError(f"The time server {host} does not know the time.")
    return since
