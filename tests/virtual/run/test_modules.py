"""Modules that learners meet: clock, interrupts of pins, TLS, deflate, requests, MQTT, and those that are not there."""

import gzip
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

CTRL_D = b"\x04"
WIFI = """
import network, time
wlan = network.WLAN()
wlan.active(True)
wlan.connect('virtual-wifi', 'virtual-password')
while not wlan.isconnected(): time.sleep_ms(10)
"""


@contextmanager
def serving(answer: Callable[[socket.socket], None], kind: int = socket.SOCK_STREAM) -> Iterator[int]:
    """Serve on a port of this computer: `answer` gets each connection, or the datagram socket."""
    server = socket.socket(type=kind)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        try:
            while kind == socket.SOCK_STREAM:
                connection = server.accept()[0]
                with connection:
                    answer(connection)
            answer(server)
        except OSError:
            pass  # closed

    if kind == socket.SOCK_STREAM:
        server.listen()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        if kind == socket.SOCK_STREAM:
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(20)


# clock


def test_the_clock_is_set_and_ticks_go_on(raw):
    raw.run("import time, machine\nrtc = machine.RTC()\nbefore = time.ticks_ms(), time.time()")
    assert raw.value("rtc.datetime()[:3], rtc.datetime()[3]") == "((2000, 1, 1), 5)"
    raw.run("rtc.datetime((2026, 11, 29, 0, 12, 34, 56, 0))")
    assert (
        raw.value("rtc.datetime()[:6], time.localtime()[:5]") == "((2026, 11, 29, 6, 12, 34), (2026, 11, 29, 12, 34))"
    )
    assert raw.value("time.time() - before[1] > 800_000_000, time.ticks_diff(time.ticks_ms(), before[0]) < 60_000") == (
        "(True, True)"
    )
    assert raw.value("rtc.memory(b'kept'), machine.RTC().memory()") == "(None, b'kept')"
    assert (len(raw.starts), raw.kept) == (1, [b"kept"])
    assert "ValueError" in raw.run("rtc.datetime((2026, 1, 1))")[1]


def test_ntptime_sets_the_clock(raw):
    def answer(server: socket.socket) -> None:
        packet, sender = server.recvfrom(100)
        assert packet[0] == 0x1B
        assert len(packet) == 48
        now = int((datetime(2026, 11, 29, 12, 0, tzinfo=UTC) - datetime(1900, 1, 1, tzinfo=UTC)).total_seconds())
        server.sendto(bytes(40) + struct.pack("!II", now, 0), sender)

    with serving(answer, socket.SOCK_DGRAM) as port:
        raw.run(WIFI + "import ntptime, socket")
        raw.run(f"real = socket.getaddrinfo\nsocket.getaddrinfo = lambda host, p: real('127.0.0.1', {port})")
        assert raw.run("ntptime.settime()\nprint(time.localtime()[:5])") == ("(2026, 11, 29, 12, 0)\n", "")
    raw.run("ntptime.timeout = 0.1")
    assert "OSError: [Errno " in raw.run("ntptime.settime()")[1]


# pins


def test_a_button_interrupts(raw):
    code = """
from machine import Pin
seen = []
pin = Pin(0, Pin.IN, Pin.PULL_UP)
pin.irq(lambda p: seen.append((p is pin, p.value())), trigger=Pin.IRQ_FALLING)
"""
    assert raw.run(code) == ("", "")
    for held in (True, False, True, False):
        raw.press(0, held)
    assert raw.run("while len(seen) < 2: pass")[1] == ""
    assert raw.value("seen[0][0], len(seen)") == "(True, 2)"
    raw.run("pin.irq(None)")
    raw.press(0, True)
    assert raw.value("len(seen)") == "2"


# TLS


@pytest.fixture(scope="module")
def identity() -> tuple[bytes, bytes]:
    """Certificate and key of `board.test`, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "board.test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("board.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private


SERVE_TLS = (
    WIFI
    + """
import asyncio, tls, esp32
context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERT, KEY)
async def serve(reader, writer):
    line = await reader.readline()
    writer.write(b'got ' + line)
    await writer.drain()
    rest = 0
    while line[0] == 66 and rest < 100_000 - len(line): rest += len(await reader.read(4096))
    writer.write(b'%d\\n' % rest)
    await writer.drain()
    await writer.wait_closed()
async def main():
    await asyncio.start_server(serve, '', 80, ssl=context)
    print('READY')
    while True: await asyncio.sleep(1)
asyncio.run(main())
"""
)


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_a_board_serves_tls(raw, identity: tuple[bytes, bytes], form: str):
    certificate, key = identity
    if form == "DER":
        certificate, key = (ssl.PEM_cert_to_DER_cert(certificate.decode()), ec_der(key))
    raw.send(f"CERT, KEY = {certificate!r}, {key!r}\n{SERVE_TLS}".encode() + CTRL_D)
    raw.until(b"READY")
    context = ssl.create_default_context(cadata=identity[0].decode())
    for line in (b"hello\n", b"B" + bytes(1000).replace(b"\0", b"x") + b"\n"):
        with (
            socket.create_connection(("127.0.0.1", raw.http), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname="board.test") as client,
            client.makefile("rwb") as stream,
        ):
            stream.write(line)
            stream.flush()
            assert stream.readline() == b"got " + line
            rest = 100_000 - len(line) if line[:1] == b"B" else 0
            for start in range(0, rest, 700):  # records that do not come whole
                client.sendall(bytes(min(700, rest - start)))
            assert stream.readline() == b"%d\n" % rest


def ec_der(pem: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    return load_pem_private_key(pem, None).private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def test_a_second_tls_connection_finds_no_memory(raw, identity: tuple[bytes, bytes]):
    raw.run(WIFI + "import socket, tls, esp32\ns = socket.socket()\ns.bind(('', 80))\ns.listen(2)")
    raw.run(
        f"context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)\ncontext.load_cert_chain({identity[0]!r}, {identity[1]!r})"
    )
    raw.run("rest = [bytearray(1000) for _ in range(60)]  # as our application")
    largest = "esp32.idf_heap_info(esp32.HEAP_DATA)[-1][2]"
    before = int(raw.value(largest))
    wrap = "context.wrap_socket(s.accept()[0], server_side=True, do_handshake_on_connect=False)"
    address = ("127.0.0.1", raw.http)
    with socket.create_connection(address), socket.create_connection(address), socket.create_connection(address):
        assert raw.run(f"first = {wrap}") == ("", "")
        assert 25_000 <= before - int(raw.value(largest)) <= 31_000
        assert "OSError: [Errno 12] ENOMEM" in raw.run(wrap)[1]
        raw.run("first.close()")
        assert int(raw.value(largest)) == before
        assert raw.run(wrap) == ("", "")


@pytest.mark.parametrize("trust", ["right", "wrong name", "nobody", "none", "callback", "callback refuses"])
def test_a_board_asks_by_tls(raw, identity: tuple[bytes, bytes], tmp_path: Path, trust: str):
    (tmp_path / "both.pem").write_bytes(identity[1] + identity[0])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as client:
            client.sendall(client.recv(100).upper())

    with serving(answer) as port:
        code = f"{WIFI}\nimport socket, tls\ns = socket.socket()\ns.connect(('127.0.0.1', {port}))\n"
        code += "c = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)\nseen = []\n"
        if trust in ("right", "wrong name"):
            code += f"c.load_verify_locations({identity[0]!r})\n"
        elif trust == "none":
            code += "c.verify_mode = tls.CERT_NONE\n"
        elif trust.startswith("callback"):
            code += "c.verify_mode = tls.CERT_OPTIONAL\n"
            code += f"c.verify_callback = lambda der, depth: seen.append(depth) or {-('refuses' in trust)}\n"
        name = "other.test" if trust == "wrong name" else "board.test"
        code += f"t = c.wrap_socket(s, server_hostname='{name}')\nt.write(b'hello')\nprint(t.read(5), seen)"
        output, error = raw.run(code)
    if trust in ("right", "none", "callback"):
        assert (output, error) == (f"b'HELLO' {'[0]' if trust == 'callback' else '[]'}\n", "")
    else:
        assert "OSError" in error.splitlines()[-1]


# compressed streams


@pytest.mark.parametrize("form", ["ZLIB", "GZIP", "AUTO", "RAW"])
def test_deflate_decompresses(raw, form: str):
    text = b"a line of text\n" * 100
    data = {"GZIP": gzip.compress(text), "RAW": zlib.compress(text)[2:-4]}.get(form, zlib.compress(text))
    raw.run(f"import deflate, io\nd = deflate.DeflateIO(io.BytesIO({data!r}), deflate.{form})")
    assert raw.value("d.readline(), len(d.read(10)), len(d.read()), d.read()") == (
        "(b'a line of text\\n', 10, 1475, b'')"
    )
    assert "OSError: [Errno 22] EINVAL" in raw.run("d.write(b'x')")[1]
    assert "EINVAL" in raw.run("deflate.DeflateIO(io.BytesIO(b'rubbish'), deflate.ZLIB).read()")[1]


# requests


def test_requests(raw):
    heads: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        with connection.makefile("rwb") as stream:
            head = b"".join(iter(stream.readline, b"\r\n"))
            length = int(dict(line.split(b": ", 1) for line in head.splitlines()[1:]).get(b"Content-Length", 0))
            heads.append(head + stream.read(length))
            path = head.split()[1]
            if path == b"/moved":
                stream.write(f"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:{port}/json\r\n\r\n".encode())
            elif path == b"/chunked":
                stream.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            else:
                stream.write(b'HTTP/1.0 200 OK\r\nX-One: 1\r\n\r\n{"a": [1, 2]}')

    with serving(answer) as port:
        raw.run(f"{WIFI}\nimport requests, urequests\nbase = 'http://127.0.0.1:{port}'")
        raw.run("r = requests.get(base + '/json', headers={'X-Mine': 'yes'})")
        assert raw.value("r.status_code, r.reason, r.headers, r.json(), r.text, r.content") == (
            "(200, b'OK', {'X-One': '1'}, {'a': [1, 2]}, '{\"a\": [1, 2]}', b'{\"a\": [1, 2]}')"
        )
        assert raw.value("requests.get(base + '/moved').json(), urequests is requests") == "({'a': [1, 2]}, True)"
        raw.run("requests.post(base + '/x', json={'n': 1}, auth=('me', 'secret')).close()")
        assert "ValueError: Unsupported Transfer-Encoding: chunked" in raw.run("requests.get(base + '/chunked')")[1]
        assert "ValueError: Unsupported protocol: ftp" in raw.run("requests.get('ftp://x/')")[1]
    assert heads[0].startswith(b"GET /json HTTP/1.0\r\n")
    assert b"X-Mine: yes\r\n" in heads[0]
    assert heads[3].endswith(b'{"n": 1}')
    assert b"Authorization: Basic bWU6c2VjcmV0\r\n" in heads[3]
    assert "ECONNREFUSED" in raw.run("requests.get(base + '/json')")[1]


# MQTT


def test_mqtt(raw):
    """Against the packets of the standard (MQTT 3.1.1, chapter 3)."""
    got: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        with connection.makefile("rwb") as stream:
            replies = {0x10: b"\x20\x02\0\0", 0x82: b"\x90\x03\0\x02\0", 0xC0: b"\xd0\0", 0x32: b"\x40\x02\0\x01"}
            while kind := stream.read(1):
                body = stream.read(stream.read(1)[0])
                got.append(kind + body)
                stream.write(replies.get(kind[0], b""))
                if kind[0] == 0x82:
                    stream.write(b"\x30\x07\0\x03t/xhi" + b"\x32\x08\0\x03t/y\0\x07!")
                stream.flush()

    with serving(answer) as port:
        code = f"""
from umqtt.simple import MQTTClient
c = MQTTClient(b'me', '127.0.0.1', {port}, user='u', password='p', keepalive=60)
c.set_last_will('w', 'gone', retain=True)
c.set_callback(lambda topic, message: print(topic, message))
print(c.connect())
c.publish('t', 'one')
c.publish(b't', b'two', qos=1)
c.subscribe('t/#')
c.wait_msg()
c.wait_msg()
print(c.check_msg())
c.ping()
c.wait_msg()
c.disconnect()
"""
        assert raw.run(WIFI + code) == ("0\nb't/x' b'hi'\nb't/y' b'!'\nNone\n", "")
    assert got[:5] == [
        b"\x10\0\x04MQTT\x04\xe6\0\x3c\0\x02me\0\x01w\0\x04gone\0\x01u\0\x01p",
        b"\x30\0\x01tone",
        b"\x32\0\x01t\0\x01two",
        b"\x82\0\x02\0\x03t/#\0",
        b"\x40\0\x07",
    ]
    assert got[5:] == [b"\xc0", b"\xe0"]


# what is not there


@pytest.mark.parametrize("name", ["neopixel", "bluetooth", "espnow", "_thread", "framebuf", "btree", "umqtt.robust"])
def test_modules_that_are_missing_say_so(raw, name: str):
    assert raw.run(f"import {name}")[1].splitlines()[-1] == f"ImportError: {name} is not on the virtual board"


@pytest.mark.parametrize("name", ["ADC", "I2C", "SPI", "UART", "lightsleep"])
def test_parts_of_machine_that_are_missing_say_so(raw, name: str):
    says = f"machine.{name} is not on the virtual board"
    assert raw.run(f"from machine import {name}")[1].splitlines()[-1] == f"ImportError: {says}"
    assert raw.run(f"import machine\nmachine.{name}")[1].splitlines()[-1] == f"AttributeError: {says}"
