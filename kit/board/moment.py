"""A moment as somebody writes it, for the clock of a board, which counts from 2000 on."""

from contextlib import suppress
from datetime import UTC, datetime

from kit.errors import BoardError

EPOCH, END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


def seconds_since_2000(when: datetime | str) -> float:
    """Return how long a moment is after 2000 began in UTC; without an offset it is one in UTC.

    Raises:
        BoardError: it is none, or not from 2000 to 2099.
    """
    with suppress(ValueError, TypeError):
        moment = when if isinstance(when, datetime) else datetime.fromisoformat(when)
        moment = moment.replace(tzinfo=UTC) if moment.utcoffset() is None else moment
        if EPOCH <= moment < END:
            return (moment - EPOCH).total_seconds()
    raise BoardError(
        f"{when!r} is no time from 2000 to 2099.",
        'Give a datetime, or a text such as "2027-03-14T02:13:00+01:00"; without an offset it is UTC.',
    )
