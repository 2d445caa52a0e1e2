"""The name server in the virtual board's network, message by message."""

import socket
import struct
from types import SimpleNamespace

import pytest

from kit.virtual.run import nameserver
from kit.virtual.run.nameserver import answer, reply, start_name_server

A, AAAA = 1, 28
KNOWN = {"example.org": ["192.0.2.1", "192.0.2.2"], "many.example.org": [f"192.0.2.{n}" for n in range(40)]}


def question(name: str, kind: int = A, number: int = 7, flags: int = 0x0100, rest: bytes = b"") -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", number, flags, 1, 0, 0, bool(rest)) + labels + struct.pack("!BHH", 0, kind, 1) + rest


@pytest.fixture(autouse=True)
def resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """This computer's, which knows two names."""

    def look_up(name: bytes) -> tuple[str, list[str], list[str]]:
        if name.decode() not in KNOWN:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return name.decode(), [], KNOWN[name.decode()]

    monkeypatch.setattr(nameserver.host, "gethostbyname_ex", look_up)


def test_a_name():
    asked = question("example.org", number=0xABCD)
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4"
    head = b"\xab\xcd\x81\x80\0\1\0\2\0\0\0\0"
    assert answer(asked) == head + asked[12:] + record + b"\xc0\0\2\1" + record + b"\xc0\0\2\2"


def test_a_name_of_many_addresses_fits_into_a_message():
    found = answer(question("many.example.org"))
    assert len(found) <= 512
    assert found[6:8] == b"\0\x08"


def test_what_follows_the_question_is_not_repeated():
    edns = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
    assert answer(question("example.org", rest=edns)) == answer(question("example.org"))


@pytest.mark.parametrize("name", ["nobody.invalid", "192.0.2.1", "1", "a..b"])
def test_a_name_that_nobody_has(name: str):
    asked = question(name) if ".." not in name else question("a.\x01.b")
    assert answer(asked) == b"\0\7\x81\x83\0\1\0\0\0\0\0\0" + asked[12:]


def test_the_root_has_no_address():
    assert answer(question("example.org")[:12] + b"\0\0\1\0\1")[3] == 0x83


def test_another_kind_of_address():
    """The name is there, such an address is not."""
    asked = question("example.org", AAAA)
    assert answer(asked) == b"\0\7\x81\x80\0\1\0\0\0\0\0\0" + asked[12:]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0\7\1\0\0\1",
        question("example.org")[:-1],
        question("example.org")[:20],
        question("example.org", flags=0x8180),  # an answer
        question("example.org", flags=0x2800),  # an update
        question("example.org").replace(b"\0\1", b"\0\2", 1),  # two questions
        question("example.org")[:12] + b"\xc0\x0c\0\1\0\1",  # a name that points at itself
        question("example.org").replace(b"example", b"ex\xffmple"),
    ],
)
def test_what_is_no_question_gets_no_answer(message: bytes):
    assert answer(message) == b""


def test_a_deaf_board_hears_no_answer(monkeypatch: pytest.MonkeyPatch):
    ram = SimpleNamespace(is_deaf=True)
    monkeypatch.setattr(nameserver, "memory", ram)
    port = start_name_server("127.0.0.1")
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        client.settimeout(20)
        reply(client, question("example.org", number=1), client.getsockname())
        ram.is_deaf = False
        client.sendto(b"nonsense", ("127.0.0.1", port))
        client.sendto(question("example.org", number=2), ("127.0.0.1", port))
        data, sender = client.recvfrom(512)
    assert data[:2] == b"\0\2"
    assert sender == ("127.0.0.1", port)
