"""A time server that is asked by UDP, and one that lies: the same bodies on CPython and on MicroPython."""

import re
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

BODY = (Path(__file__).parent / "bodies/times.py").read_text()
WHEN = datetime(2027, 3, 14, 2, 13, 7, tzinfo=UTC)
QUESTION = struct.pack("!B39x", 0x23)  # version 4, client; all but the stamp is zero, as RFC 4330, 5, allows
NO_ANSWER = "does not answer"
NO_TIME = "does not know the time"
UNSET = "CLOCK 2000 1 1 0 0 0\nNOW None\n"
A = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"  # a DNS record of the name that was asked for: 127.0.0.1
WAITS = "0.2,0.2"  # s, where no answer comes


def seconds(when: datetime, since: int = 2000) -> int:
    return int((when - datetime(since, 1, 1, tzinfo=UTC)).total_seconds())


def answer(
    question: bytes,
    when: datetime = WHEN,
    first: int = 0x24,
    stratum: int = 2,
    stamp: bytes | None = None,
    sent: int | None = None,
) -> bytes:
    """A right answer (RFC 4330, 4), but for what is given."""
    sent = seconds(when, 1900) % 2**32 if sent is None else sent
    stamp = question[40:] if stamp is None else stamp
    return struct.pack("!BB22x8sIIII", first, stratum, stamp, sent, 0, sent, 1 << 31)


@pytest.fixture
def ask(interpreter, make_flash: Callable[..., Path], serve_udp) -> Callable[..., tuple[str, list[bytes]]]:
    """Function that has the board ask a server, and returns what it prints and the questions."""

    def run(make: Callable[[list[bytes]], list[bytes]], waits: str = "30") -> tuple[str, list[bytes]]:
        server = serve_udp(make)
        done = interpreter.run("times", "ask", make_flash(), f"127.0.0.1:{server.port}", waits)
        assert done.code == 0, done.output
        return done.output, server.end()

    return run


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)", BODY, re.M))
def test_body(function: str, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("times", function, make_flash())
    assert done.code == 0, done.output


@pytest.mark.parametrize(
    ("when", "how"),
    [
        (WHEN, {}),
        (WHEN, {"first": 0x1C}),  # version 3
        (WHEN, {"first": 0x64}),  # a leap second comes
        (WHEN, {"stratum": 1}),
        (WHEN, {"stratum": 15}),
        (datetime(2026, 1, 1, tzinfo=UTC), {}),
        (datetime(2036, 2, 7, 6, 28, 15, tzinfo=UTC), {}),  # the last second of the first era
        (datetime(2036, 2, 7, 6, 28, 17, tzinfo=UTC), {}),
        (datetime(2100, 2, 28, 23, 59, 59, tzinfo=UTC), {}),
    ],
)
def test_right_answer(when: datetime, how: dict, ask) -> None:
    output, questions = ask(lambda asked: [answer(asked[-1], when, **how)])
    shown = " ".join(map(str, when.timetuple()[:6]))
    assert f"CLOCK {shown}\nNOW {seconds(when)}\n" in output
    assert [question[:40] for question in questions] == [QUESTION]
    assert len(questions[0]) == 48


def test_more_than_an_answer(ask) -> None:
    """With a signature behind it (RFC 4330, 4)."""
    output, _ = ask(lambda asked: [answer(asked[-1]) + bytes(20)])
    assert f"NOW {seconds(WHEN)}\n" in output


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ({"first": 0x23}, NO_TIME),  # a client's mode
        ({"first": 0x25}, NO_TIME),  # a broadcast
        ({"first": 0xE4}, NO_TIME),  # not synchronized
        ({"stratum": 0}, "wants no questions"),
        ({"stratum": 16}, NO_TIME),
        ({"stratum": 255}, NO_TIME),
        ({"sent": 0}, NO_TIME),
        ({"when": datetime(1968, 1, 20, 3, 14, 8, tzinfo=UTC)}, NO_TIME),  # the first second that is not of 2104
        ({"when": datetime(1999, 12, 31, tzinfo=UTC)}, NO_TIME),
        ({"when": datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)}, NO_TIME),
    ],
)
def test_wrong_answer(how: dict, cause: str, ask) -> None:
    output, questions = ask(lambda asked: [answer(asked[-1], **how)])
    assert output.startswith("REFUSED The time server 127.0.0.1 ")
    assert cause in output
    assert UNSET in output
    assert len(questions) == 1


@pytest.mark.parametrize(
    "lies",
    [
        lambda asked, stranger: [],
        lambda asked, stranger: [answer(asked, stamp=bytes(8))],
        lambda asked, stranger: [answer(asked, stamp=asked[41:] + b"x")],
        lambda asked, stranger: [asked],  # an echo
        lambda asked, stranger: [answer(asked)[:47], answer(asked)[:1], b""],
        lambda asked, stranger: [stranger(answer(asked))],
    ],
    ids=["silence", "no stamp", "another stamp", "echo", "short", "stranger"],
)
def test_no_answer(lies: Callable[..., list[bytes]], ask, stranger) -> None:
    output, questions = ask(lambda asked: lies(asked[-1], stranger), WAITS)
    assert NO_ANSWER in output
    assert UNSET in output
    assert len(questions) == 2
    assert questions[0] == questions[1]


def test_lost_question(ask) -> None:
    output, questions = ask(lambda asked: [answer(asked[-1])] if len(asked) > 1 else [], "0.2,30")
    assert f"NOW {seconds(WHEN)}\n" in output
    assert len(questions) == 2


def test_lies_before_the_answer(ask, stranger) -> None:
    wrong = {"when": datetime(2030, 1, 1, tzinfo=UTC)}

    def lie(asked: list[bytes]) -> list[bytes]:
        question = asked[-1]
        return [stranger(answer(question, **wrong)), answer(question, stamp=bytes(8), **wrong), b"x", answer(question)]

    output, questions = ask(lie)
    assert f"NOW {seconds(WHEN)}\n" in output
    assert len(questions) == 1


def test_stamps_differ(ask) -> None:
    stamps = {ask(lambda asked: [answer(asked[-1])])[1][0][40:] for _ in range(3)}
    assert len(stamps) == 3


def test_name(interpreter, make_flash: Callable[..., Path], serve_udp) -> None:
    names = serve_udp(lambda asked: [asked[-1][:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked[-1][12:] + A])
    times = serve_udp(lambda asked: [answer(asked[-1])])
    done = interpreter.run("times", "ask", make_flash(), f"time.example:{times.port}", "30", names.port)
    assert done.code == 0, done.output
    assert f"NOW {seconds(WHEN)}\n" in done.output


def test_unknown_name(interpreter, make_flash: Callable[..., Path], serve_udp) -> None:
    names = serve_udp(lambda asked: [asked[-1][:2] + b"\x81\x83" + asked[-1][4:]])
    done = interpreter.run("times", "ask", make_flash(), "time.example", "30", names.port)
    assert done.code == 0, done.output
    assert "REFUSED The name server knows no time.example" in done.output
    assert UNSET in done.output
