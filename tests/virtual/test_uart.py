import pytest

from kit.port import open_port
from kit.virtual.uart import Telnet, Uart

IAC, SB, SE, DO, WILL, WONT = b"\xff", b"\xff\xfa", b"\xff\xf0", b"\xff\xfd", b"\xff\xfb", b"\xff\xfc"
COM_PORT = b"\x2c"


class Peer:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.lines: list[tuple[bool, bool]] = []
        self.telnet = Telnet(self.sent.append, lambda dtr, rts: self.lines.append((dtr, rts)))


@pytest.fixture
def peer() -> Peer:
    return Peer()


def test_data_passes_and_a_doubled_255_is_one(peer: Peer):
    assert peer.telnet.feed(b"a\xff\xffb") == b"a\xffb"


def test_commands_cut_anywhere_are_put_together(peer: Peer):
    stream = b"x" + DO + b"\x00" + b"y" + SB + COM_PORT + b"\x05\x08" + SE + b"\xff\xff" + b"z"
    assert b"".join(peer.telnet.feed(stream[i : i + 1]) for i in range(len(stream))) == b"xy\xffz"
    assert peer.lines == [(True, False)]


def test_each_option_is_answered_once(peer: Peer):
    peer.telnet.feed((DO + b"\x00") * 2 + (WILL + COM_PORT) * 2)
    assert peer.sent == [WILL + b"\x00", DO + COM_PORT]


def test_what_is_not_known_is_declined(peer: Peer):
    peer.telnet.feed(DO + b"\x1f")
    assert peer.sent == [WONT + b"\x1f"]


def test_settings_are_acknowledged_with_their_value(peer: Peer):
    peer.telnet.feed(SB + COM_PORT + b"\x01\x00\x0e\x10\x00" + SE)
    assert peer.sent == [SB + COM_PORT + b"\x65\x00\x0e\x10\x00" + SE]


def test_a_255_in_a_setting_is_doubled_both_ways(peer: Peer):
    peer.telnet.feed(SB + COM_PORT + b"\x0a\xff\xff\xf0" + SE)  # value FF F0: its end looks like IAC SE
    assert peer.sent == [SB + COM_PORT + b"\x6e\xff\xff\xf0" + SE]


def test_a_command_that_is_no_clients_is_ignored(peer: Peer):
    peer.telnet.feed(SB + COM_PORT + b"\xc8\x01" + SE + SB + COM_PORT + b"\x05\x08" + SE)
    assert peer.sent == [SB + COM_PORT + b"\x69\x08" + SE]
    assert peer.lines == [(True, False)]


def test_lines_follow_dtr_and_rts(peer: Peer):
    for value in (8, 11, 9, 12):
        peer.telnet.feed(SB + COM_PORT + bytes([5, value]) + SE)
    assert peer.lines == [(True, False), (True, True), (False, True), (False, False)]


def test_a_fault_of_ours_does_not_take_the_port_away(capfd: pytest.CaptureFixture):
    def fail(data: bytes) -> None:
        raise RuntimeError("a fault")

    uart = Uart(0, fail, lambda dtr, rts: None)
    uart.start()
    for _ in range(2):
        with open_port(f"rfc2217://127.0.0.1:{uart.port}") as port:
            port.write(b"x")
    assert "a fault" in capfd.readouterr().err
