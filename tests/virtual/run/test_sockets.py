"""Sockets of the board: windows, polling, and what does not block."""

import contextlib
import socket

import pytest

WIFI = """
import network, time
wlan = network.WLAN()
wlan.active(True)
wlan.connect('virtual-wifi', 'virtual-password')
while not wlan.isconnected(): time.sleep_ms(10)
"""
SERVER = WIFI + "import socket, select\ns = socket.socket()\ns.bind(('', 80))\ns.listen(1)"


@pytest.fixture
def connected(raw):
    """A board with a connection `c`, and this computer's end of it."""
    raw.run(SERVER)
    with socket.create_connection(("127.0.0.1", raw.http), timeout=20) as client:
        raw.run("c = s.accept()[0]")
        yield raw, client


def test_a_client_that_never_reads_fills_the_window(raw):
    raw.run(SERVER)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", raw.http))
        raw.run("c = s.accept()[0]\nc.setblocking(False)\nsent = 0")
        raw.run("while sent < 100_000 and (n := c.write(bytes(1024))): sent += n")
        assert 5_760 <= int(raw.value("sent")) < 40_000
        assert raw.value("c.write(b'x' * 1024)") == "None"
        assert "[Errno 11] EAGAIN" in raw.run("c.send(b'x' * 1024)")[1]
        raw.run("c.settimeout(0.1)")
        assert "[Errno 116] ETIMEDOUT" in raw.run("c.sendall(b'x' * 1024)")[1]
        sent, n = int(raw.value("sent")), 0
        while n < sent:
            n += len(client.recv(4096))


def test_poll_waits_for_sockets_and_stdin(connected):
    raw, client = connected
    raw.run("import sys\np = select.poll()\np.register(c, select.POLLIN)\np.register(sys.stdin, select.POLLIN)")
    assert raw.value("p.poll(20)") == "[]"
    client.sendall(b"hi")
    assert raw.value("[(o is c, e) for o, e in p.poll(5000)]") == "[(True, 1)]"
    assert raw.value("c.recv(9), p.poll(0)") == "(b'hi', [])"
    raw.run("p.modify(c, select.POLLIN | select.POLLOUT)")
    assert raw.value("[(o is c, e) for o, e in p.ipoll(0)]") == "[(True, 4)]"
    raw.run("p.unregister(c)")
    assert raw.value("p.poll(0)") == "[]"
    assert "ENOENT" in raw.run("p.modify(c, 1)")[1]


def test_poll_sees_new_listening_and_closed_sockets(raw):
    raw.run(SERVER + "\np = select.poll()\np.register(s, select.POLLIN)")
    assert raw.value("p.poll(20)") == "[]"
    with socket.create_connection(("127.0.0.1", raw.http)):
        assert raw.value("p.poll(5000)[0][1], len(select.select([s], [], [], 5)[0])") == "(1, 1)"
    raw.run("p = select.poll()\nn = socket.socket()\np.register(n)")
    assert raw.value("p.poll(0)[0][1]") == "20"  # POLLOUT, POLLHUP: modsocket.c
    raw.run("n.close()")
    assert raw.value("p.poll(0)[0][1]") == "32"
    assert "OSError: stream operation not supported" in raw.run("p.register(1)")[1]


def test_sends_and_receives_that_would_block(connected):
    raw, client = connected
    raw.run("c.setblocking(False)\nbuf = bytearray(4)")
    assert raw.value("c.read(4), c.readinto(buf), c.readline()") == "(None, None, None)"
    assert "[Errno 11] EAGAIN" in raw.run("c.recv(4)")[1]
    client.sendall(b"abc")
    raw.run("select.select([c], [], [], 5)")
    assert raw.value("c.readinto(buf), c.readinto(buf), bytes(buf[:3])") == "(3, None, b'abc')"
    assert raw.value("c.send('str'), c.write('more')") == "(3, 4)"
    assert raw.value("c.makefile('rwb') is c, c.sendall(b'!')") == "(True, None)"
    with contextlib.closing(client.makefile("rb")) as received:
        assert received.read(8) == b"strmore!"
    client.close()
    raw.run("select.select([c], [], [], 5)")
    assert raw.value("c.read(4), c.recv(4), c.readinto(buf)") == "(b'', b'', 0)"
    assert "[Errno 128] ENOTCONN" in raw.run("socket.socket().recv(1)")[1]


def test_datagrams_pass(raw):
    raw.run(SERVER + "\nu = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nu.settimeout(5)")
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        other.settimeout(20)
        port = other.getsockname()[1]
        assert raw.value(f"u.sendto(b'ping', ('127.0.0.1', {port}))") == "4"
        data, sender = other.recvfrom(100)
        assert data == b"ping"
        other.sendto(b"pong", sender)
        assert raw.value("u.recvfrom(100)") == f"(b'pong', ('127.0.0.1', {port}))"
    raw.run("u.settimeout(0.1)")
    assert "ETIMEDOUT" in raw.run("u.recv(1)")[1]


NAME_SERVER = f"""{WIFI}
import socket, select
server = (wlan.ifconfig()[3], 53)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.setblocking(False)
poll = select.poll()
poll.register(u, select.POLLIN)
def ask(question):
    u.sendto(question, server)
    return poll.poll(20_000)[0][1], u.recvfrom(512)
"""
OF_LOCALHOST = b"\0\7\1\0\0\1\0\0\0\0\0\0\x09localhost\0\0\1\0\1"


def test_the_name_server_answers_a_socket_that_never_waits(raw):
    raw.run(NAME_SERVER)
    assert "[Errno 11] EAGAIN" in raw.run("u.recvfrom(512)")[1]
    assert raw.value("poll.poll(0)") == "[]"
    event, (data, sender) = eval(raw.value(f"ask({OF_LOCALHOST!r})"))
    assert (event, sender) == (1, ("127.0.0.1", 53))  # POLLIN, and the port that was asked
    assert data[:8] == b"\0\7\x81\x80\0\1\0\1"
    assert data.endswith(socket.inet_aton("127.0.0.1"))
    _, (data, _) = eval(raw.value(f"ask({OF_LOCALHOST.replace(b'localhost', b'127.0.0.1')!r})"))
    assert data[:8] == b"\0\7\x81\x83\0\1\0\0"


def test_the_name_server_is_not_reached_without_wifi(raw):
    raw.run(NAME_SERVER + "wlan.disconnect()")
    assert "EHOSTUNREACH" in raw.run("u.sendto(b'?', ('127.0.0.1', 53))")[1]
