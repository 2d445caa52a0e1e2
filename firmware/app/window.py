"""When it suits: hours of the day in the time of a place. Moments are whole seconds since 2000 in UTC.

Nothing here asks a clock or keeps anything.
"""

import re

from micropython import const

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_DAY = const(86_400)  # s
_BEFORE_2000 = const(730_425)  # days from 0000-03-01 to 2000-01-01
_LONGEST = const(64)  # characters; the longest of tzdata has 44
_HOURS = const("Hours are written as 02:00-04:00.")
_ZONE = const("A time zone is written as POSIX has it: CET-1CEST,M3.5.0,M10.5.0/3, or UTC0.")
_NAME = const("(?:[A-Za-z][A-Za-z][A-Za-z]+|<[A-Za-z0-9+-]+>)")


def parse(text):
    """Return start and length in minutes of hours like "02:00-04:00"; equal ends are a whole day. Or ValueError."""
    found = _match("([0-9][0-9]):([0-5][0-9])-([0-9][0-9]):([0-5][0-9])", text, _HOURS)
    hour, minute, end_hour, end_minute = [int(found.group(n)) for n in (1, 2, 3, 4)]
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if start >= 1440 or end > 1440:
        raise ValueError(_HOURS)
    return start, (end - start) % 1440 or 1440


def zone(text):
    """Return what a POSIX TZ says: standard offset, that of summer, and the rules of both changes. Or ValueError.

    Times of a change may lie days before and after, as tzdata has them (RFC 9636, 3.3).
    """
    summer = "(?:" + _NAME + "([0-9:+-]*),([^,]+),([^,]+))?"
    found = _match(_NAME + "([0-9:+-]+)" + summer, text, _ZONE)
    standard = -_seconds(found.group(1), 24)
    if not found.group(3):
        return standard, standard, None, None
    saving = -_seconds(found.group(2), 24) if found.group(2) else standard + 3600
    return standard, saving, _rule(found.group(3)), _rule(found.group(4))


def offset(zone, now):
    """Return the seconds to add to UTC."""
    return [change[2] for change in _changes(zone, now) if change[0] <= now][-1]


def opening(window, days, zone, now, jitter):
    """Return the first moment from `now` on that lies in a window, `jitter` seconds after that opens.

    A window belongs to the day on which it opens, and lasts its length, whatever the clocks do meanwhile. Where they
    skip its start, it opens with their change; where its start comes twice, with the first one. None where `days` names
    no day.

    Args:
        window: start and length in minutes, from parse().
        days: list of names from DAYS, None for all of them.
        zone: from zone().
        jitter: seconds, taken modulo three quarters of the length: so some time is left.
    """
    start, length = window[0] * 60, window[1] * 60
    changes = _changes(zone, now)
    today = (now + offset(zone, now)) // _DAY
    for number in range(today - 2, today + 9):  # one of two days ago may be open: 24 hours, and one that was skipped
        if days is None or DAYS[(number + 5) % 7] in days:
            opens = _first(changes, number * _DAY + start)
            if now < opens + length:
                return max(now, opens + jitter % (length * 3 // 4))


def iso(zone, now):
    """Return a moment as "2027-03-14T02:13:00+01:00"."""
    shift = offset(zone, now)
    ahead = abs(shift) // 60
    text = "%04d-%02d-%02dT%02d:%02d:%02d" % date(now + shift)
    return text + "%s%02d:%02d" % ("-" if shift < 0 else "+", ahead // 60, ahead % 60)


def date(now):
    """Return year, month, day, hour, minute and second."""
    days, rest = divmod(now, _DAY)
    year = 2000 + days // 366
    while day(year + 1, 1, 1) <= days:
        year += 1
    month = 1
    while day(year, month + 1, 1) <= days:
        month += 1
    return year, month, days - day(year, month, 1) + 1, rest // 3600, rest // 60 % 60, rest % 60


def day(year, month, day):
    """Return the days from 2000-01-01 to a date; month 13 is the next January.

    A year begins in March here, so that the leap day is its last; five months in turn have 153 days.
    """
    if month < 3:
        year, month = year - 1, month + 12
    return year * 365 + year // 4 - year // 100 + year // 400 + (month * 153 - 457) // 5 + day - 1 - _BEFORE_2000


def _changes(zone, now):
    """Return, in order, the changes of three years around a moment: from when on, whether to summer, offset."""
    standard, saving, start, end = zone
    changes = [(-1 << 40, 0, standard)]
    if start:
        this = date(now)[0]
        for year in range(this - 1, this + 2):
            changes.append((_moment(start, year) - standard, 1, saving))
            changes.append((_moment(end, year) - saving, 0, standard))
        changes.sort()
    return changes


def _first(changes, local):
    """Return the first moment at which clocks show a local time or a later one."""
    for number, (start, _, shift) in enumerate(changes):
        moment = max(start, local - shift)
        if number + 1 == len(changes) or moment < changes[number + 1][0]:
            return moment


def _moment(rule, year):
    """Return the local time of a change, counted as a moment is."""
    month, n, weekday, seconds = rule
    if month:  # the n-th weekday of a month, Sunday is 0; 5 is the last one
        first = day(year, month, 1)
        days = first + (weekday - first - 6) % 7 + n * 7 - 7
        if days >= day(year, month + 1, 1):
            days -= 7
    elif weekday and n > 59:  # of a year without a leap day
        days = day(year, 3, 1) + n - 60
    else:
        days = day(year, 1, 1) + n - weekday
    return days * _DAY + seconds


def _rule(text):
    """Return month, week, weekday and seconds; or 0, day, 1 if days count from 1 and skip the leap day, and seconds."""
    text, slash, time = text.partition("/")
    seconds = _seconds(time, 167) if slash else 7200
    if text[:1] == "M":
        found = _match("M(1?[0-9])[.]([1-5])[.]([0-6])", text, _ZONE)
        month, n, weekday = [int(found.group(n)) for n in (1, 2, 3)]
        is_good = 1 <= month <= 12
    else:
        found = _match("(J?)([0-9]+)", text, _ZONE)
        month, n, weekday = 0, int(found.group(2)), len(found.group(1))
        is_good = weekday <= n <= 365
    if not is_good:
        raise ValueError(_ZONE)
    return month, n, weekday, seconds


def _seconds(text, most):
    """Return the seconds of "[+|-]hours[:minutes[:seconds]]", of at most so many hours."""
    found = _match("([+-]?)([0-9]+)(?::([0-5][0-9]))?(?::([0-5][0-9]))?", text, _ZONE)
    hours = int(found.group(2))
    if hours > most:
        raise ValueError(_ZONE)
    seconds = hours * 3600 + int(found.group(3) or 0) * 60 + int(found.group(4) or 0)
    return -seconds if found.group(1) == "-" else seconds


def _match(pattern, text, message):
    """Return the match of a whole text, or raise ValueError."""
    found = isinstance(text, str) and len(text) <= _LONGEST and re.match(pattern + "$", text)
    if not found or found.group(0) != text:
        raise ValueError(message)
    return found
