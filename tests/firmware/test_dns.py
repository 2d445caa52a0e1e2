"""A name server that is asked by UDP, and one that lies: the same bodies on CPython and on MicroPython."""

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

BODY = (Path(__file__).parent / "bodies/names.py").read_text()
NAME = "device.example"
A, CNAME, TXT, AAAA = 1, 5, 16, 28  # types (RFC 1035, 3.2.2; RFC 3596)
ASKED = b"\xc0\x0c"  # the name of the question, which begins behind the head
OURS = bytes((192, 0, 2, 7))
WRONG = bytes((192, 0, 2, 8))
NO_ANSWER = "REFUSED The name server 127.0.0.1 does not answer. Nobody knows the address of device.example.\n"
NO_ADDRESS = "REFUSED The name server gives no IPv4 address of device.example.\n"


def labels(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(data: bytes, kind: int = A, owner: bytes = ASKED, size: int | None = None) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, 60, len(data) if size is None else size) + data


def reply(question: bytes, *records: bytes, flags: int = 0x8180, count: int | None = None) -> bytes:
    counts = struct.pack("!HHHHH", flags, 1, len(records) if count is None else count, 0, 0)
    return question[:2] + counts + question[12:] + b"".join(records)


@pytest.fixture
def resolve(interpreter, make_flash: Callable[..., Path], serve_udp) -> Callable[..., tuple[str, list[bytes]]]:
    """Function that has the board ask for names, and returns what it prints and the questions."""

    def run(
        make: Callable[[list[bytes]], list[bytes]], waits: str = "30", names: tuple[str, ...] = (NAME,)
    ) -> tuple[str, list[bytes]]:
        server = serve_udp(make)
        done = interpreter.run("names", "resolve", make_flash(), server.port, waits, *names)
        assert done.code == 0, done.output
        return done.output.removesuffix("PASSED\n"), server.end()

    return run


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)", BODY, re.M))
def test_body(function: str, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("names", function, make_flash())
    assert done.code == 0, done.output


def test_question(resolve) -> None:
    """One for an address, with recursion (RFC 1035, 4.1.1)."""
    output, questions = resolve(lambda asked: [reply(asked[-1], record(OURS))])
    assert output == "ADDRESS 192.0.2.7\n"
    (question,) = questions
    assert struct.unpack("!HHHHH", question[2:12]) == (0x0100, 1, 0, 0, 0)
    assert question[12:] == labels(NAME) + b"\0\1\0\1"


def test_names(resolve) -> None:
    """The longest one, one of one label, one with a dot at its end; each question has a number by chance."""
    longest = ".".join(["x" * 63] * 3 + ["y" * 61])
    names = (longest, "device", "device.example.", NAME, NAME, NAME)
    output, questions = resolve(lambda asked: [reply(asked[-1], record(OURS))], names=names)
    assert output == "ADDRESS 192.0.2.7\n" * len(names)
    wanted = (longest, "device", NAME, NAME, NAME, NAME)
    assert [question[12:-4] for question in questions] == [labels(name) for name in wanted]
    assert len({question[:2] for question in questions}) > 1


LOOP = struct.pack("!H", 0xC000 | 12 + len(labels(NAME)) + 4)  # as the first record's owner: a pointer to itself


@pytest.mark.parametrize(
    "records",
    [
        [record(OURS)],
        [record(OURS), record(WRONG)],
        [record(OURS, owner=labels(NAME))],
        [record(OURS, owner=b"\6device\xc0\x13")],
        [record(labels("other.example"), CNAME), record(OURS, owner=labels("other.example"))],
        [record(b"\5other\xc0\x13", CNAME), record(b"\5third\xc0\x13", CNAME), record(OURS, owner=b"\5third\xc0\x13")],
        [record(bytes(16), AAAA), record(OURS)],
        [record(b"", TXT), record(b"\3abc", TXT), record(OURS)],
        [record(OURS, owner=LOOP)],
        [record(LOOP, CNAME, owner=LOOP), record(OURS, owner=LOOP)],
        [record(OURS, owner=b"\0")],
        [record(WRONG + b"x"), record(OURS)],  # no address has five bytes
    ],
)
def test_answer(records: list[bytes], resolve) -> None:
    output, _ = resolve(lambda asked: [reply(asked[-1], *records)])
    assert output == "ADDRESS 192.0.2.7\n"


@pytest.mark.parametrize(
    ("records", "how"),
    [
        ([record(OURS)], {"flags": 0x8580}),  # the server's own name
        ([record(OURS)], {"flags": 0x8380}),  # there is more than the packet holds
        ([record(OURS), b"more"], {"count": 1}),
    ],
)
def test_answer_with_flags(records: list[bytes], how: dict, resolve) -> None:
    output, _ = resolve(lambda asked: [reply(asked[-1], *records, **how)])
    assert output == "ADDRESS 192.0.2.7\n"


@pytest.mark.parametrize(
    ("records", "flags", "refusal"),
    [
        ([], 0x8183, "REFUSED The name server knows no device.example (code 3).\n"),
        ([], 0x8182, "REFUSED The name server cannot answer for device.example (code 2).\n"),
        ([], 0x8185, "REFUSED The name server cannot answer for device.example (code 5).\n"),
        ([record(OURS)], 0x8182, "REFUSED The name server cannot answer for device.example (code 2).\n"),
        ([], 0x8180, NO_ADDRESS),
        ([], 0x8380, NO_ADDRESS),  # truncated
        ([record(labels("other.example"), CNAME)], 0x8180, NO_ADDRESS),
        ([record(bytes(16), AAAA)], 0x8180, NO_ADDRESS),
    ],
)
def test_refusal(records: list[bytes], flags: int, refusal: str, resolve) -> None:
    output, questions = resolve(lambda asked: [reply(asked[-1], *records, flags=flags)])
    assert output == refusal
    assert len(questions) == 1


def renamed(question: bytes) -> bytes:
    return question[:12] + labels("evil") + question[-4:]


@pytest.mark.parametrize(
    "lies",
    [
        lambda asked, stranger: [],
        lambda asked, stranger: [reply(bytes([asked[0] ^ 1]) + asked[1:], record(WRONG))],
        lambda asked, stranger: [reply(renamed(asked), record(WRONG))],
        lambda asked, stranger: [reply(asked[:-4] + b"\0\x1c\0\1", record(WRONG))],  # asked for AAAA
        lambda asked, stranger: [reply(asked, record(WRONG), flags=0x0180)],  # a question
        lambda asked, stranger: [asked[:2] + b"\x81\x80\0\2" + reply(asked, record(WRONG))[6:]],
        lambda asked, stranger: [asked, asked[:5], asked[:12], b"", reply(asked)[:-1]],
        lambda asked, stranger: [reply(asked, record(WRONG))[:-1], reply(asked, record(WRONG))[:-9]],
        lambda asked, stranger: [reply(asked, count=1), reply(asked, record(b"", TXT), count=65_535)],
        lambda asked, stranger: [reply(asked, record(b"", TXT, size=65_535), record(WRONG))],
        lambda asked, stranger: [reply(asked, record(WRONG, owner=b"\x3f"))],
        lambda asked, stranger: [stranger(reply(asked, record(WRONG)))],
    ],
    ids=["silence", "number", "name", "type", "question", "two", "short", "cut", "count", "size", "label", "stranger"],
)
def test_no_answer(lies: Callable[..., list[bytes]], resolve, stranger) -> None:
    output, questions = resolve(lambda asked: lies(asked[-1], stranger), "0.1,0.1,0.1")
    assert output == NO_ANSWER
    assert len(questions) == 3
    assert len(set(questions)) == 1


def test_lies_before_the_answer(resolve, stranger) -> None:
    def lie(asked: list[bytes]) -> list[bytes]:
        right, wrong = reply(asked[-1], record(OURS)), reply(asked[-1], record(WRONG))
        return [stranger(wrong), bytes([wrong[0] ^ 1]) + wrong[1:], wrong[:-1], right]

    output, questions = resolve(lie)
    assert output == "ADDRESS 192.0.2.7\n"
    assert len(questions) == 1


def test_late_answer(resolve) -> None:
    """The answer to the first question comes after the second one, and both of them do."""

    def answer(asked: list[bytes]) -> list[bytes]:
        return [] if len(asked) == 1 else [reply(question, record(OURS)) for question in asked]

    output, questions = resolve(answer, "0.1,30")
    assert output == "ADDRESS 192.0.2.7\n"
    assert len(questions) == 2


def test_answer_to_another_name(resolve) -> None:
    """What comes too late for one name is none for the next."""

    def answer(asked: list[bytes]) -> list[bytes]:
        if len(asked) == 1:
            return [reply(asked[0], flags=0x8183)]
        return [reply(asked[0], record(WRONG)), reply(asked[1], record(OURS))]

    output, _ = resolve(answer, names=("first.example", NAME))
    assert output.endswith("first.example (code 3).\nADDRESS 192.0.2.7\n")
