import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.board.port import open_port
from kit.virtual.uart import Telnet, Uart

IAC, SB, SE, DO, WILL, WONT = b"\xff", b"\xff\xfa", b"\xff\xf0", b"\xff\xfd", b"\xff\xfb", b"\xff\xfc"
COM_PORT = b"\x2c"


class Peer:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.lines: list[tuple[bool, bool]] = []
        self.speeds: list[int] = []
        self.telnet = Telnet(self.sent.append, lambda dtr, rts: self.lines.append((dtr, rts)), self.speeds.append)


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


def test_a_command_without_an_end_is_given_up(peer: Peer):
    for _ in range(100):
        peer.telnet.feed(SB + COM_PORT + b"\x05" * 1000)
    assert peer.telnet.feed(b"data") == b"data"
    assert peer.sent == peer.lines == []


@pytest.mark.parametrize("start", [SB, SB + COM_PORT, SB + COM_PORT + b"\x05", SB + SE, SB + COM_PORT + b"\x05" + SE])
def test_commands_without_a_value_do_nothing(peer: Peer, start: bytes):
    peer.telnet.feed(start + SE)
    assert peer.telnet.feed(SE + b"data").endswith(b"data")
    assert peer.lines == []


@pytest.mark.parametrize("seed", range(20))
def test_noise_does_no_harm(peer: Peer, seed: int):
    noise = random.Random(seed)
    for _ in range(100):
        peer.telnet.feed(bytes(noise.choices(b"\xff\xfa\xf0\xfd\xfb\x2c\x05\x08a", k=30)))
    peer.telnet.feed(b"x" * 300)
    assert peer.telnet.feed(b"data") == b"data"


def connect(url: str) -> socket.socket:
    host, port = url.removeprefix("rfc2217://").split(":")
    return socket.create_connection((host, int(port)))


@pytest.mark.parametrize(
    "sent",
    [b"", b"\xff", SB, SB + COM_PORT + b"\x05", b"\xc0" * 100 + bytes(500), random.Random(0).randbytes(100_000)],
)
def test_a_client_that_talks_nonsense_leaves_the_board_as_it_is(start: Callable, sent: bytes):
    virtual = start()
    with connect(virtual.serial) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):  # until the board hangs up
            pass
    with open_port(virtual.serial) as port:
        assert b"invalid header: 0xffffffff" in port.read_until(b"0xffffffff\r\n")
    assert virtual.process.poll() is None


def test_noise_at_the_repl_ends_with_a_reset(start: Callable, micropython_flash: bytes, tmp_path: Path):
    (tmp_path / "flash.bin").write_bytes(micropython_flash)
    virtual = start()
    virtual.board().reset()
    with open_port(virtual.serial) as port:
        port.write(random.Random(1).randbytes(5000))
        assert port.read(100)
    assert virtual.board().reset().endswith(">>> ")


def test_a_client_that_takes_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.virtual.uart.STALLED", 0.1)
    lines: list[tuple[bool, bool]] = []
    uart = Uart(0, lambda data: None, lambda dtr, rts: lines.append((dtr, rts)))
    uart.start()
    url = f"rfc2217://127.0.0.1:{uart.port}"
    with connect(url) as client:
        client.sendall(SB + COM_PORT + b"\x05\x08" + SE)
        assert client.recv(100) == SB + COM_PORT + b"\x69\x08" + SE
        uart.write(bytes(64 * 1024 * 1024))
        with open_port(url):  # while the first one still holds its end
            assert lines[:2] == [(True, False), (False, False)]


def test_a_fault_of_ours_does_not_take_the_port_away(capfd: pytest.CaptureFixture, wait_until: Callable):
    def fail(data: bytes) -> None:
        raise RuntimeError("a fault")

    lines: list[tuple[bool, bool]] = []
    uart = Uart(0, fail, lambda dtr, rts: lines.append((dtr, rts)))
    uart.start()
    for _ in range(2):
        with open_port(f"rfc2217://127.0.0.1:{uart.port}") as port:
            port.write(b"x")
    wait_until(lambda: lines.count((False, False)) == 2)  # both have been hung up
    assert "a fault" in capfd.readouterr().err


def test_the_hosts_speed_is_taken_and_confirmed(peer: Peer):
    peer.telnet.feed(SB + COM_PORT + b"\x01" + (921_600).to_bytes(4, "big") + SE)
    peer.telnet.feed(SB + COM_PORT + b"\x01" + bytes(4) + SE)  # a question
    assert peer.speeds == [921_600]
    assert peer.sent[0] == SB + COM_PORT + b"\x65" + (921_600).to_bytes(4, "big") + SE


def set_speed(client: socket.socket, speed: int) -> None:
    client.sendall(SB + COM_PORT + b"\x01" + speed.to_bytes(4, "big") + SE)
    while not client.recv(100).endswith(SE):
        pass


@pytest.mark.parametrize(("chip", "host"), [(115_200, 921_600), (921_600, 115_200), (115_200, 9_600)])
def test_two_speeds_that_differ_make_garbage(chip: int, host: int, wait_until: Callable):
    received: list[bytes] = []
    uart = Uart(0, received.append, lambda dtr, rts: None)
    uart.start()
    with connect(f"rfc2217://127.0.0.1:{uart.port}") as client:
        for speed, is_understood in ((host, False), (chip, True)):
            set_speed(client, speed)
            uart.speed = chip
            received.clear()
            client.sendall(b"hello")
            wait_until(lambda: len(b"".join(received)) == 5)
            assert (b"".join(received) == b"hello") == is_understood
            uart.write(b"hello")
            assert (client.recv(100) == b"hello") == is_understood
    uart.stop()


def test_the_rom_takes_the_hosts_speed():
    uart = Uart(0, lambda data: uart.write(data), lambda dtr, rts: None)
    uart.speed = None
    uart.start()
    with connect(f"rfc2217://127.0.0.1:{uart.port}") as client:
        set_speed(client, 230_400)
        client.sendall(b"hello")
        assert client.recv(100) == b"hello"
    uart.stop()


@pytest.mark.parametrize(("speed", "pace"), [(115_200, 1), (921_600, 1), (115_200, 0.5), (115_200, 0)])
def test_bytes_take_their_time_on_the_wire(monkeypatch: pytest.MonkeyPatch, speed: int, pace: float):
    waits: list[float] = []
    monkeypatch.setattr("kit.virtual.uart.time.sleep", waits.append)
    monkeypatch.setattr("kit.virtual.uart.time.monotonic", lambda: 0.0)
    uart = Uart(0, lambda data: None, lambda dtr, rts: None, pace)
    uart.speed = uart._host_speed = speed
    uart._receive(bytes(10_000))
    assert sum(waits) == pytest.approx(10_000 * 10 / speed * pace)
    uart.send_slowly(bytes(10_000))
    assert sum(waits) == pytest.approx(20_000 * 10 / speed * pace)


def test_bytes_come_while_the_chip_works(monkeypatch: pytest.MonkeyPatch):
    waits: list[float] = []
    clock = iter([0.0, 0.5, 0.5, 0.5])
    monkeypatch.setattr("kit.virtual.uart.time.sleep", waits.append)
    monkeypatch.setattr("kit.virtual.uart.time.monotonic", lambda: next(clock))
    uart = Uart(0, lambda data: None, lambda dtr, rts: None, 1)
    uart._receive(bytes(11_520))  # a second on the wire, half a second of work
    uart._receive(bytes(11_520))
    assert waits == [1.0, 0.5]
