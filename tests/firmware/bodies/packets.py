# Runs on CPython and on MicroPython.
"""udp.py with sockets that fail: each one is closed, whatever happens."""

import asyncio

import udp
from _expect import error_of


class Sockets:
    """In place of the module socket: one socket, of which a test says what it receives."""

    AF_INET, SOCK_DGRAM = 2, 2

    def __init__(self, receive, fails=False):
        self.receive, self.fails = receive, fails
        self.sent = []
        self.is_open = self.is_blocking = None

    def getaddrinfo(self, address, port):
        return [(2, 2, 0, "", (address, port))]

    def socket(self, family, kind):
        self.is_open = self.is_blocking = True
        return self

    def setblocking(self, flag):
        self.is_blocking = flag

    def sendto(self, data, target):
        assert not self.is_blocking
        self.sent.append((data, target))
        if self.fails:
            raise OSError(118)  # EHOSTUNREACH of lwIP

    def recvfrom(self, n):
        assert not self.is_blocking
        return self.receive()

    def close(self):
        self.is_open = False


TARGET = ("192.0.2.1", 53)


def nothing():
    raise OSError(11)  # EAGAIN


def ask(read=bytes, waits=(30,)):
    return asyncio.run(udp.ask("192.0.2.1", 53, b"question", read, waits))


def test_an_answer():
    udp.socket = Sockets(lambda: (b"answer", TARGET))
    assert ask() == b"answer"
    assert udp.socket.sent == [(b"question", TARGET)]
    assert udp.socket.is_open is False


def test_an_answer_that_is_false():
    """Only None is none."""
    udp.socket = Sockets(lambda: (b"", TARGET))
    assert ask(len) == 0
    assert udp.socket.is_open is False


def test_others():
    packets = [(b"other port", ("192.0.2.1", 54)), (b"other host", ("192.0.2.2", 53)), (b"answer", TARGET)]
    udp.socket = Sockets(lambda: packets.pop(0))
    assert ask() == b"answer"
    assert not packets


def test_nothing_comes():
    udp.socket = Sockets(nothing)
    assert ask(waits=(0.06, 0.06, 0.06)) is None
    assert len(udp.socket.sent) == 3
    assert udp.socket.is_open is False


def test_nothing_goes_out():
    """It may go later."""
    udp.socket = Sockets(nothing, fails=True)
    assert ask(waits=(0.06, 0.06)) is None
    assert len(udp.socket.sent) == 2
    assert udp.socket.is_open is False


def test_a_refusal():
    def refuse(data):
        raise OSError("refused")

    udp.socket = Sockets(lambda: (b"answer", TARGET))
    assert str(error_of(OSError, ask, refuse)) == "refused"
    assert udp.socket.is_open is False


def test_an_end_of_the_wait():
    async def main():
        asking = asyncio.create_task(udp.ask("192.0.2.1", 53, b"question", bytes, (30,)))
        while not udp.socket.sent:
            await asyncio.sleep(0)
        asking.cancel()
        try:
            await asking
        except asyncio.CancelledError:
            return
        raise AssertionError

    udp.socket = Sockets(nothing)
    asyncio.run(main())
    assert udp.socket.is_open is False
