"""Moments that somebody writes, and what is none."""

from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest

from kit.board.board import Board
from kit.board.moment import seconds_since_2000
from kit.errors import BoardError

EAST = timezone(timedelta(hours=23, minutes=59))


@pytest.mark.parametrize(
    ("when", "seconds"),
    [
        ("2000-01-01", 0),
        ("2000-01-01T00:00:01.25Z", 1.25),
        ("1999-12-31T23:00:00-01:00", 0),
        ("20270314T021300+0100", 858302 * 1000 - 20),
        (datetime(2099, 12, 31, 23, 59, 59, 999999), 3155760000 - 1e-6),
        (datetime(2000, 1, 1, 23, 59, tzinfo=EAST), 0),
    ],
)
def test_moments(when: object, seconds: float):
    assert seconds_since_2000(when) == seconds


@pytest.mark.parametrize(
    "when",
    [
        "",
        "02:13",
        "tomorrow",
        "2027-02-30",
        "2027-03-14T25:00",
        "1999-12-31T23:59:59",
        "2000-01-01T00:59:59+01:00",
        "2100-01-01",
        "2099-12-31T23:00-01:00",
        "9999-12-31T23:59:59-23:00",
        "0001-01-01T00:00+23:00",
        datetime.min,
        datetime.max.replace(tzinfo=EAST),
        date(2027, 3, 14),
        time(2, 13),
        timedelta(1),
        True,
        None,
        0,
        1.7e9,
        b"2027-03-14",
        ["2027-03-14"],
    ],
)
def test_what_is_no_moment(when: object):
    """Nobody is asked: no control side listens at this address."""
    with pytest.raises(BoardError) as caught:
        Board("virtual", control="http://127.0.0.1:9/key").set_time(when)
    assert caught.value.cause == f"{when!r} is no time from 2000 to 2099."
    assert "2027-03-14T02:13:00+01:00" in caught.value.advice


def test_the_clock_of_a_real_board():
    with pytest.raises(BoardError, match=r"cannot set the clock of a real board.*NTP"):
        Board("/dev/ttyUSB0").set_time(datetime.now(UTC))
