# Runs on CPython and on MicroPython.
"""window.py: hours in the time of a place."""

import window
from _expect import error_of

BERLIN = window.zone("CET-1CEST,M3.5.0,M10.5.0/3")
UTC = window.zone("UTC0")
NIGHT = window.parse("02:00-04:00")


def at(text):
    """Return the moment of "2027-03-14 02:13" or "2027-03-14 02:13:07" in UTC."""
    date, time = text.split()
    year, month, day = [int(part) for part in date.split("-")]
    hour, minute, second = [int(part) for part in (time + ":0").split(":")[:3]]
    return window.day(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second


def opens(now, hours=NIGHT, days=None, zone=BERLIN, jitter=0):
    """Return when a window opens, as local time."""
    return window.iso(zone, window.opening(hours, days, zone, at(now), jitter))


def compare_offsets(path):
    """Each line: a zone, a moment, and what the offset is there."""
    text = None
    with open(path) as file:
        for line in file:
            name, now, offset = line.split()
            if name != text:
                text, zone = name, window.zone(name)
            assert window.offset(zone, int(now)) == int(offset), (line, window.offset(zone, int(now)))


def compare_openings(path):
    """Each line: hours, days, a zone, a moment, jitter, and which moment is wanted."""
    with open(path) as file:
        for line in file:
            hours, days, zone, now, jitter, wanted = line.split()
            days = None if days == "all" else days.split(",")
            found = window.opening(window.parse(hours), days, window.zone(zone), int(now), int(jitter))
            assert found == int(wanted), (line, found)


def test_hours():
    for text, parsed in (
        ("02:00-04:00", (120, 120)),
        ("00:00-00:01", (0, 1)),
        ("09:07-23:59", (547, 892)),
        ("22:00-24:00", (1320, 120)),
        ("00:00-24:00", (0, 1440)),
        ("22:30-02:00", (1350, 210)),  # start after end
        ("23:59-00:00", (1439, 1)),
        ("00:00-00:00", (0, 1440)),  # equal ends
        ("05:15-05:15", (315, 1440)),
    ):
        assert window.parse(text) == parsed, text


def test_no_hours():
    for text in (
        None,
        7,
        b"02:00-04:00",
        "",
        "night",
        "02:00",
        "02:00-",
        "2:00-4:00",
        "02:00:00-04:00:00",
        "02:00-04:00:00",
        "02:00 - 04:00",
        " 02:00-04:00",
        "02:00-04:00\n",
        "02:00\u201304:00",
        "02:60-04:00",
        "02:00-04:60",
        "24:00-02:00",
        "02:00-24:01",
        "25:00-26:00",
        "-2:00-04:00",
        "+2:00-04:00",
        "\u0660\u0662:\u0660\u0660-\u0660\u0664:\u0660\u0660",
        "\uff10\uff12:00-04:00",
        "02:00-04:00" * 1000,
    ):
        error = error_of(ValueError, window.parse, text)
        assert str(error) == "Hours are written as 02:00-04:00.", text


def test_zones():
    for text, parsed in (
        ("UTC0", (0, 0, None, None)),
        ("<+0330>-3:30", (12_600, 12_600, None, None)),
        ("<-04>4", (-14_400, -14_400, None, None)),
        ("ABC+1:02:03", (-3723, -3723, None, None)),
        ("CET-1CEST,M3.5.0,M10.5.0/3", (3600, 7200, (3, 5, 0, 7200), (10, 5, 0, 10_800))),
        ("EST5EDT,M3.2.0,M11.1.0", (-18_000, -14_400, (3, 2, 0, 7200), (11, 1, 0, 7200))),
        ("IST-1GMT0,M10.5.0,M3.5.0/1", (3600, 0, (10, 5, 0, 7200), (3, 5, 0, 3600))),
        ("AEST-10AEDT,M10.1.0,M4.1.0/3", (36_000, 39_600, (10, 1, 0, 7200), (4, 1, 0, 10_800))),
        ("ABC0DEF,J1,J365/0:30", (0, 3600, (0, 1, 1, 7200), (0, 365, 1, 1800))),
        ("ABC0DEF,0/-167,365/167:59:59", (0, 3600, (0, 0, 0, -601_200), (0, 365, 0, 604_799))),
        ("ABC24DEF-24,M12.1.6,M1.5.6", (-86_400, 86_400, (12, 1, 6, 7200), (1, 5, 6, 7200))),
    ):
        assert window.zone(text) == parsed, text


def test_no_zones():
    rules = ["M0.1.0", "M13.1.0", "M3.0.0", "M3.6.0", "M3.1.7", "M3.1", "M3.1.0.0", "M3x1x0", "M.1.0", "M31.1.0"]
    rules += ["J0", "J366", "J", "366", "-1", "J1.5", "K1", "", "M3.5.0/", "M3.5.0/168", "M3.5.0/2:60", "M3.5.0/2:0"]
    rules += [
        "M3.5.0/2:00:60",
        "M3.5.0/2:00:00:00",
        "M3.5.0/--2",
        "M3.5.0/x",
        "M3.5.0/2/2",
        "J1,J2",
        "M\u0663.5.0",
        "J\uff11",
    ]
    texts = ["CET-1CEST,%s,M10.5.0" % rule for rule in rules] + ["CET-1CEST,M3.5.0,%s" % rule for rule in rules]
    texts += ["", "CET", "Europe/Berlin", ":Europe/Berlin", "CE-1", "-1", "1CET", "<CET-1", "CET>-1", "<>-1", "CÄT-1"]
    texts += ["CET-25", "CET-1:60", "CET-1:5", "CET--1", "CET1-", "CET-1 ", " CET-1", "CET-1\n", "CET\u0663", "CET-1,"]
    texts += ["CET-1CEST", "CET-1CEST,", "CET-1CEST,M3.5.0", "CET-1CEST,M3.5.0,", "CET-1CEST-25,M3.5.0,M10.5.0"]
    texts += ["CET-1,M3.5.0,M10.5.0", "CET-1CEST;M3.5.0,M10.5.0", "CET" + "1" * 1000, "C" * 10_000 + "1"]
    for text in texts + [None, 0, b"UTC0"]:
        error = error_of(ValueError, window.zone, text)
        assert "as POSIX has it" in str(error), text


def test_dates():
    for text, days in (
        ("2000-01-01 0:0", 0),
        ("2000-02-29 0:0", 59),
        ("2000-12-31 0:0", 365),
        ("2027-01-01 0:0", 9862),
    ):
        assert at(text) == days * 86_400
    moment = window.day(2026, 1, 1) * 86_400 - 1
    assert window.date(moment) == (2025, 12, 31, 23, 59, 59)
    date = (2026, 1, 1)
    while date[0] < 2110:
        moment += 86_400
        assert window.date(moment) == date + (23, 59, 59), date
        year, month, day = date
        is_leap = month == 2 and year % 4 == 0 and year != 2100
        if day < (29 if is_leap else (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]):
            day += 1
        elif month < 12:
            month, day = month + 1, 1
        else:
            year, month, day = year + 1, 1, 1
        date = (year, month, day)


def test_iso():
    for zone, text in (
        ("UTC0", "2027-03-14T02:13:07+00:00"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2027-03-14T03:13:07+01:00"),
        ("EST5EDT,M3.2.0,M11.1.0", "2027-03-13T21:13:07-05:00"),
        ("<+0330>-3:30", "2027-03-14T05:43:07+03:30"),
        ("<-0330>3:30", "2027-03-13T22:43:07-03:30"),
    ):
        assert window.iso(window.zone(zone), at("2027-03-14 02:13:07")) == text


def test_before_inside_and_after():
    for now, opening in (
        ("2027-01-12 00:59:59", "2027-01-12T02:00:00+01:00"),
        ("2027-01-12 01:00", "2027-01-12T02:00:00+01:00"),
        ("2027-01-12 01:00:01", "2027-01-12T02:00:01+01:00"),
        ("2027-01-12 02:59:59", "2027-01-12T03:59:59+01:00"),
        ("2027-01-12 03:00", "2027-01-13T02:00:00+01:00"),
        ("2027-01-31 12:00", "2027-02-01T02:00:00+01:00"),
        ("2027-12-31 23:30", "2028-01-01T02:00:00+01:00"),
    ):
        assert opens(now) == opening, now


def test_across_midnight():
    """Start after end."""
    hours = window.parse("22:30-02:00")
    for now, opening in (
        ("2027-01-12 12:00", "2027-01-12T22:30:00+01:00"),
        ("2027-01-12 22:00", "2027-01-12T23:00:00+01:00"),
        ("2027-01-12 23:30", "2027-01-13T00:30:00+01:00"),
        ("2027-01-13 00:59:59", "2027-01-13T01:59:59+01:00"),
        ("2027-01-13 01:00", "2027-01-13T22:30:00+01:00"),
    ):
        assert opens(now, hours) == opening, now


def test_the_whole_day():
    """Equal ends."""
    for text in ("00:00-00:00", "00:00-24:00", "05:00-05:00"):
        for time in ("03:59:59", "04:00:00", "04:59:59", "23:00:00", "00:00:00"):
            assert opens("2027-01-12 " + time, window.parse(text), zone=UTC) == "2027-01-12T" + time + "+00:00"


def test_days():
    """2027-01-12 is a Tuesday. A window belongs to the day on which it opens, in the time of the place."""
    late = window.parse("23:00-01:00")
    for hours, days, now, opening in (
        (NIGHT, ["tue"], "2027-01-12 00:00", "2027-01-12T02:00:00+01:00"),
        (NIGHT, ["tue"], "2027-01-12 02:00", "2027-01-12T03:00:00+01:00"),
        (NIGHT, ["tue"], "2027-01-12 03:00", "2027-01-19T02:00:00+01:00"),
        (NIGHT, ["mon"], "2027-01-12 01:30", "2027-01-18T02:00:00+01:00"),
        (NIGHT, ["sat", "sun"], "2027-01-12 01:30", "2027-01-16T02:00:00+01:00"),
        (NIGHT, ["sun", "sat"], "2027-01-16 03:00", "2027-01-17T02:00:00+01:00"),
        (NIGHT, list(window.DAYS), "2027-01-12 03:00", "2027-01-13T02:00:00+01:00"),
        (late, ["tue"], "2027-01-12 23:30", "2027-01-13T00:30:00+01:00"),  # Wednesday by now
        (late, ["wed"], "2027-01-12 23:30", "2027-01-13T23:00:00+01:00"),
        (late, ["mon"], "2027-01-11 22:00", "2027-01-11T23:00:00+01:00"),
        (window.parse("00:00-01:00"), ["tue"], "2027-01-11 22:30", "2027-01-12T00:00:00+01:00"),  # Monday in UTC
    ):
        assert opens(now, hours, days) == opening, (now, days)


def test_no_day():
    assert window.opening(NIGHT, [], BERLIN, at("2027-01-12 00:00"), 0) is None


def test_an_hour_that_does_not_exist():
    """2027-03-28 in Berlin: from 02:00 to 03:00. The window opens with the change, and lasts its length."""
    hours = window.parse("02:00-03:00")
    for now, opening in (
        ("2027-03-28 00:00", "2027-03-28T03:00:00+02:00"),
        ("2027-03-28 01:59:59", "2027-03-28T03:59:59+02:00"),
        ("2027-03-28 02:00", "2027-03-29T02:00:00+02:00"),
    ):
        assert opens(now, hours) == opening, now
    assert opens("2027-03-28 00:00", window.parse("02:30-03:00")) == "2027-03-28T03:00:00+02:00"
    assert opens("2027-03-28 01:29:59", window.parse("02:30-03:00")) == "2027-03-28T03:29:59+02:00"
    assert opens("2027-03-28 01:30", window.parse("02:30-03:00")) == "2027-03-29T02:30:00+02:00"
    assert opens("2027-03-28 00:00", window.parse("03:00-04:00")) == "2027-03-28T03:00:00+02:00"
    assert opens("2027-03-28 00:00", window.parse("01:30-03:30")) == "2027-03-28T01:30:00+01:00"
    assert opens("2027-03-28 02:29:59", window.parse("01:30-03:30")) == "2027-03-28T04:29:59+02:00"  # two hours
    assert opens("2027-03-28 02:30", window.parse("01:30-03:30")) == "2027-03-29T01:30:00+02:00"


def test_an_hour_that_comes_twice():
    """2027-10-31 in Berlin: 02:00 to 03:00. The window opens with the first one, and only then."""
    hours = window.parse("02:00-03:00")
    for now, opening in (
        ("2027-10-30 20:00", "2027-10-31T02:00:00+02:00"),
        ("2027-10-31 00:59:59", "2027-10-31T02:59:59+02:00"),
        ("2027-10-31 01:00", "2027-11-01T02:00:00+01:00"),
        ("2027-10-31 01:30", "2027-11-01T02:00:00+01:00"),
    ):
        assert opens(now, hours) == opening, now
    assert opens("2027-10-31 00:59:59") == "2027-10-31T02:59:59+02:00"
    assert opens("2027-10-31 01:00") == "2027-10-31T02:00:00+01:00"  # of 02:00-04:00 the second hour
    assert opens("2027-10-31 02:00") == "2027-11-01T02:00:00+01:00"
    assert opens("2027-10-31 00:30", window.parse("03:00-04:00")) == "2027-10-31T03:00:00+01:00"


def test_a_whole_day_of_another_length():
    """One of 23 hours has its successor's window open before its own ends; one of 25 has an hour in none."""
    hours = window.parse("00:00-24:00")
    assert opens("2027-03-28 22:30", hours) == "2027-03-29T00:30:00+02:00"
    assert opens("2027-10-31 21:59:59", hours) == "2027-10-31T22:59:59+01:00"
    assert opens("2027-10-31 22:00", hours) == "2027-11-01T00:00:00+01:00"
    hours = window.parse("23:30-23:30")
    assert opens("2027-03-28 22:15", hours, ["sat"]) == "2027-03-29T00:15:00+02:00"  # since the day before yesterday


def test_jitter():
    """Up to three quarters of the length, and the same every day; who comes later waits no more."""
    for jitter, minutes in ((0, 0), (60, 1), (5340, 89), (5400, 0), (5460, 1), (5400 * 1000 + 600, 10)):
        for day in range(12, 28):
            opening = "2027-01-%dT%02d:%02d:00+01:00" % (day, 2 + minutes // 60, minutes % 60)
            assert opens("2027-01-%d 00:00" % day, jitter=jitter) == opening
            assert opens("2027-01-%d 01:00" % day, jitter=jitter) == opening
    assert opens("2027-01-12 02:45", jitter=5399) == "2027-01-12T03:45:00+01:00"
    assert opens("2027-01-12 03:00", jitter=5399) == "2027-01-13T03:29:59+01:00"
    assert opens("2027-03-28 00:00", jitter=60) == "2027-03-28T03:01:00+02:00"
    assert opens("2027-10-31 00:00", jitter=4000) == "2027-10-31T02:06:40+01:00"  # after the first 02:00
    assert opens("2027-01-12 00:00", window.parse("02:00-02:01"), jitter=44) == "2027-01-12T02:00:44+01:00"
    assert opens("2027-01-12 00:00", window.parse("02:00-02:01"), jitter=45) == "2027-01-12T02:00:00+01:00"


def test_a_clock_that_is_set_back():
    """The same question has the same answer, whatever was asked before."""
    before = opens("2027-01-12 00:00"), opens("2027-01-12 02:00")
    assert opens("2027-01-12 05:00") > before[1]
    assert opens("2036-02-29 12:00") == "2036-03-01T02:00:00+01:00"
    assert (opens("2027-01-12 00:00"), opens("2027-01-12 02:00")) == before
    assert before == ("2027-01-12T02:00:00+01:00", "2027-01-12T03:00:00+01:00")


def test_days_of_a_year():
    """With J 60 is 1 March in each year (CPython's zoneinfo moves 59 too); without it 0 is 1 January."""
    for rule, moments in (
        ("J59/0", ("2027-02-28 00:00", "2028-02-28 00:00")),
        ("J60/0", ("2027-03-01 00:00", "2028-03-01 00:00")),
        ("J1/0", ("2027-01-01 00:00", "2028-01-01 00:00")),
        ("0/0", ("2027-01-01 00:00", "2028-01-01 00:00")),
        ("59/0", ("2027-03-01 00:00", "2028-02-29 00:00")),
        ("60/0", ("2027-03-02 00:00", "2028-03-01 00:00")),
    ):
        zone = window.zone("ABC0DEF,%s,J200" % rule)
        for moment in moments:
            assert window.offset(zone, at(moment) - 1) == 0, (rule, moment)
            assert window.offset(zone, at(moment)) == 3600, (rule, moment)


def test_summer_all_year():
    """As tzdata may write it: both changes at one moment."""
    zone = window.zone("EST5EDT,0/0,J365/25")
    for text in ("2027-12-31 23:00", "2028-01-01 04:59:59", "2028-01-01 05:00", "2028-07-01 00:00", "2028-12-31 12:00"):
        assert window.offset(zone, at(text)) == -4 * 3600, text
