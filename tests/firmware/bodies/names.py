# Runs on CPython and on MicroPython.
"""dns.py: names of computers, and asking a server in tests/firmware/test_dns.py."""

import asyncio
import random

import _chip
import dns
import network
from _expect import error_of
from _turns import run_beside_others

GOOD = (
    b"\x12\x34\x81\x80\0\1\0\2\0\0\0\0\6device\7example\0\0\1\0\1"
    b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\7\4left\xc0\x13\xc0\x2c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7"
)

network.WLAN._since, network.WLAN._ssid, network.WLAN._key = 0, _chip.ssid, _chip.password


def resolve(port, waits, *names):
    """Ask for one name after the other and print what came of it, while another task has its turns."""
    dns.PORT, dns.WAITS = int(port), [float(wait) for wait in waits.split(",")]

    async def main():
        for name in names:
            try:
                print("ADDRESS", await dns.resolve(name))
            except OSError as error:
                print("REFUSED", error)

    run_beside_others(main())


class Nobody:
    """In place of the module udp."""

    def ask(self, *arguments):
        raise AssertionError("somebody was asked")


def test_no_question():
    dns.udp = Nobody()
    for name in ("192.168.1.20", "0.0.0.0", "255.255.255.255"):
        assert asyncio.run(dns.resolve(name)) == name
    assert asyncio.run(dns.resolve("localhost")) == "127.0.0.1"


def test_no_names():
    dns.udp = Nobody()
    longest = ".".join(["x" * 63] * 3 + ["y" * 61])
    assert len(longest) == 253
    for name in ("", ".", "..", ".example", "device..example", "x" * 64, "x" * 64 + ".example", "d\u00e9vice.example"):
        assert "is no name of a computer" in str(error_of(OSError, asyncio.run, dns.resolve(name))), name
    for name in ("a b", "device\n.example", "\0", "device.example\r\n", "\x7f", "\U0001f600"):
        text = str(error_of(OSError, asyncio.run, dns.resolve(name)))
        assert "is no name of a computer" in text, name
        assert not [letter for letter in text if ord(letter) < 32], text
    for name in (longest + "y", longest + ".example", "a." * 200 + "example", "x." * 5000 + "x"):
        text = str(error_of(OSError, asyncio.run, dns.resolve(name)))
        assert "is too long" in text, name
        assert len(text) < 140
    for name in (longest, "x" * 63, "device_1.example"):
        error_of(AssertionError, asyncio.run, dns.resolve(name))


def test_almost_addresses():
    """They are names, of which no server knows an address."""
    dns.udp = Nobody()
    for name in ("256.1.1.1", "1.2.3", "1.2.3.4.5", "1.2.3.a", "1.2.3.-4", "0x7f.0.0.1", "1.2.3.0004", "2130706433"):
        error_of(AssertionError, asyncio.run, dns.resolve(name))


def test_damaged_answers():
    """Whatever comes is an address, a refusal or no answer; and it ends."""
    question = GOOD[:2] + b"\1\0\0\1" + bytes(6) + GOOD[12:32]
    assert dns._read(GOOD, question, "device.example") == "192.0.2.7"
    for end in range(len(GOOD)):
        assert dns._read(GOOD[:end], question, "device.example") is None, end
    random.seed(3)
    for _ in range(3000):
        data = bytearray(GOOD)
        for _ in range(random.getrandbits(2) + 1):
            data[2 + random.getrandbits(8) % (len(data) - 2)] = random.getrandbits(8)
        try:
            address = dns._read(bytes(data), question, "device.example")
        except OSError:
            continue
        assert address is None or dns._is_address(address), data
