"""Hours in the time of a place: the same bodies on both interpreters, and both against zoneinfo."""

import io
import random
import re
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

BODY = (Path(__file__).parent / "bodies/windows.py").read_text()
START = datetime(2000, 1, 1, tzinfo=UTC)
HOUR, DAY = 3600, 86_400
FROM, TO = int((datetime(2026, 1, 1, tzinfo=UTC) - START).total_seconds()), 38 * 365 * DAY  # to 2037
ZONES = {
    "Africa/Cairo": "EET-2EEST,M4.5.5/0,M10.5.4/24",
    "America/New_York": "EST5EDT,M3.2.0,M11.1.0",
    "America/Nuuk": "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",  # a change on the evening before
    "America/St_Johns": "NST3:30NDT,M3.2.0,M11.1.0",
    "Antarctica/Troll": "<+00>0<+02>-2,M3.5.0/1,M10.5.0/3",  # by two hours
    "Asia/Jerusalem": "IST-2IDT,M3.4.4/26,M10.5.0",  # the Friday after the fourth Thursday
    "Asia/Kathmandu": "<+0545>-5:45",
    "Australia/Lord_Howe": "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",  # by half an hour
    "Australia/Melbourne": "AEST-10AEDT,M10.1.0,M4.1.0/3",
    "Europe/Berlin": "CET-1CEST,M3.5.0,M10.5.0/3",
    "Europe/Dublin": "IST-1GMT0,M10.5.0,M3.5.0/1",  # winter time is the exception
    "Pacific/Chatham": "<+1245>-12:45<+1345>,M9.5.0/2:45,M4.1.0/3:45",
    "UTC": "UTC0",
}
OTHERS = {  # what tzdata has of no place of today, and how zoneinfo reads it
    text: text
    for text in (
        "ABC-1DEF,J60/0,J300",
        "ABC5DEF,J58,J61/3",
        "ABC-2DEF,M3.4.4/167,M10.4.4/-167",
        "ABC-2:30DEF-4,M2.5.1,M8.1.6/24",
    )
} | {  # days without J count from 0 in POSIX and in C libraries, but CPython's zoneinfo counts them from 1
    "ABC-1DEF,59/0,299": "ABC-1DEF,60/0,300",
    "ABC5DEF,300,100/-5:30:30": "ABC5DEF,301,101/-5:30:30",
}


def made(text: str) -> ZoneInfo:
    """A zone of no place, from a file without changes and with a rule (RFC 9636)."""
    counts = struct.pack(">4sc15x6I", b"TZif", b"2", 0, 0, 0, 0, 1, 4)
    block = counts + struct.pack(">iBB4s", 0, 0, 0, b"ABC\0")
    return ZoneInfo.from_file(io.BytesIO(block * 2 + b"\n" + text.encode() + b"\n"))


PLACES = [(text, ZoneInfo(name)) for name, text in ZONES.items()] + [
    (text, made(read)) for text, read in OTHERS.items()
]


def offset(place: ZoneInfo, now: int) -> int:
    return int((START + timedelta(seconds=now)).astimezone(place).utcoffset().total_seconds())


def changes(place: ZoneInfo, start: int, end: int) -> Iterator[int]:
    """Each moment at which an offset begins."""
    for before in range(start, end, DAY):
        low, high = before, before + DAY
        if offset(place, low) != offset(place, high):
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(place, middle) == offset(place, low) else (low, middle)
            yield high


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)", BODY, re.M))
def test_window(function: str, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("windows", function, make_flash())
    assert done.code == 0, done.output
    assert done.output.endswith("PASSED\n")


@pytest.fixture(scope="module")
def offsets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thousands of moments: each change of twelve years, what is around it, and some by chance."""
    chance = random.Random(1)
    lines = []
    for text, place in PLACES:
        moments = [chance.randrange(FROM, TO) for _ in range(100)]
        for change in changes(place, FROM, TO):
            moments += [change + n for n in (-HOUR, -1, 0, 1, HOUR)]
        lines += [f"{text} {now} {offset(place, now)}\n" for now in moments]
    path = tmp_path_factory.mktemp("offsets") / "offsets"
    path.write_text("".join(lines))
    assert len(lines) > 3000
    return path


def test_offsets(offsets: Path, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("windows", "compare_offsets", make_flash(), offsets)
    assert done.code == 0, done.output


def reached(place: ZoneInfo, minutes: range) -> dict[int, int]:
    """For each minute of local time, skipped ones too: in which one the clocks show it, or more, for the first time."""
    first = {}
    latest = minutes[0] + offset(place, minutes[0] * 60) // 60
    for minute in minutes:
        shown = minute + offset(place, minute * 60) // 60
        first |= dict.fromkeys(range(latest + 1, shown + 1), minute)
        latest = max(latest, shown)
    return first


def opening(first: dict[int, int], start: int, length: int, days: set[int], now: int, jitter: int) -> int:
    """Look at one minute after the other, until one is in a window."""
    opens = [first[shown] for shown in first if shown % 1440 == start and (shown // 1440 + 5) % 7 in days]
    for minute in range(now, max(first.values())):
        if any(since + jitter <= minute < since + length for since in opens):
            return minute
    raise AssertionError("too few minutes")


@pytest.fixture(scope="module")
def openings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a plain search finds around the changes of a year, for hours, days and jitter by chance."""
    chance = random.Random(2)
    names = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    lines = []
    for text, place in PLACES:
        for change in list(changes(place, FROM + 365 * DAY, FROM + 730 * DAY)) or [FROM + 500 * DAY]:
            middle = change // 60
            first = reached(place, range(middle - 5 * 1440, middle + 12 * 1440))
            for _ in range(12):
                start, end = (chance.randrange(0, 1440, chance.choice((15, 60))) for _ in range(2))
                length = (end - start) % 1440 or 1440
                days = set(chance.sample(range(7), chance.randint(1, 6))) if chance.random() < 0.4 else set(range(7))
                now, jitter = middle + chance.randrange(-2880, 2880), chance.choice((0, chance.randrange(3000)))
                jitter %= length * 3 // 4  # the search knows whole minutes only
                wanted = opening(first, start, length, days, now, jitter) * 60
                hours = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
                listed = ",".join(names[day] for day in sorted(days)) if len(days) < 7 else "all"
                lines.append(f"{hours} {listed} {text} {now * 60} {jitter * 60} {wanted}\n")
    path = tmp_path_factory.mktemp("openings") / "openings"
    path.write_text("".join(lines))
    assert len(lines) > 400
    return path


def test_openings(openings: Path, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("windows", "compare_openings", make_flash(), openings)
    assert done.code == 0, done.output
