# Runs on CPython and on MicroPython.
"""ntp.py: the clock, and asking a server in tests/firmware/test_ntp.py."""

import asyncio

import _chip
import dns
import network
import ntp
from _expect import error_of
from _turns import run_beside_others

network.WLAN._since, network.WLAN._ssid, network.WLAN._key = 0, _chip.ssid, _chip.password


def ask(server, waits, name_port="0"):
    """Ask, print what came of it and how often another task had its turn meanwhile."""
    ntp.WAITS = dns.WAITS = [float(wait) for wait in waits.split(",")]
    dns.PORT = int(name_port)
    assert ntp.now() is None

    async def main():
        try:
            await ntp.ask(server)
        except OSError as error:
            print("REFUSED", error)

    run_beside_others(main())
    print("CLOCK", *_chip.shown)
    print("NOW", ntp.now())


def test_now():
    for shown, now in (
        ((2000, 1, 1, 0, 0, 0), None),
        ((2025, 12, 31, 23, 59, 59), None),
        ((2026, 1, 1, 0, 0, 0), 820_540_800),
        ((2027, 3, 14, 2, 13, 7), 858_305_587),
        ((2036, 2, 29, 23, 59, 59), 1_141_257_599),
        ((2100, 3, 1, 0, 0, 0), 3_160_857_600),
    ):
        _chip.set_clock(shown)
        assert ntp.now() == now, (shown, ntp.now())


def test_servers():
    for text, where in (
        ("pool.ntp.org", ("pool.ntp.org", 123)),
        ("192.168.1.1", ("192.168.1.1", 123)),
        ("192.168.1.1:1", ("192.168.1.1", 1)),
        ("time.example:65535", ("time.example", 65_535)),
    ):
        assert ntp.split(text) == where, text
    for text in (
        "host:",
        "host:0",
        "host:65536",
        "host:x",
        "host:-1",
        "host:+1",
        "host:1.5",
        "host: 1",
        "host:1:2",
        "::1",
    ):
        assert "is no port" in str(error_of(OSError, ntp.split, text)), text
        assert "is no port" in str(error_of(OSError, asyncio.run, ntp.ask(text))), text
    for text in ("", ":123", "a..b", "a b", "x" * 64):
        assert "is no name" in str(error_of(OSError, asyncio.run, ntp.ask(text))), text
