"""The updates of a board, and what became of each, put together from its log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from kit.ota.cause import CONFIRMED, INTERRUPTED, PROBATION, REFUSED, ROLLED_BACK
from kit.ota.log import Entry
from kit.shown import html_table

UNKNOWN = "unknown"
NONE = "no updates"
HEAD = ("version", "slot", "start", "clock", "seconds", "kB", "outcome", "cause")
# What an event that names version and slot makes of their update, and of which outcomes so far
TURNS = {
    "UPDATE_COMPLETE": (PROBATION, (INTERRUPTED, REFUSED)),
    "CONFIRMED": (CONFIRMED, (INTERRUPTED, PROBATION)),
    "ROLLED_BACK": (ROLLED_BACK, (INTERRUPTED, PROBATION, CONFIRMED)),
    "UPDATE_REFUSED": (INTERRUPTED, (INTERRUPTED,)),  # the board has found at its next start that it ended
}


@dataclass(frozen=True, repr=False)
class Update:
    """An update that was sent to a board.

    Attributes:
        version: None where it was refused before the board read that; slot as well.
        boot: number of the start in which it was sent; where the log has lost that, in which it ended.
        uptime: seconds since that start.
        time: in UTC, as "2026-11-30T10:15:00Z"; None where the board knew no clock.
        seconds: that it took until all was written; None where it was not, or the log has lost that.
        bytes: the length of the image; None where the log does not have it.
        outcome: "confirmed", "rolled back", "refused", "interrupted" or "on probation".
        cause: why that is so; None where all is well, or nobody knows.
    """

    version: str | None
    slot: str | None
    boot: int
    uptime: int
    time: str | None
    seconds: float | None
    bytes: int | None
    outcome: str
    cause: str | None

    def __repr__(self) -> str:
        return "  ".join(filter(None, [self.version or UNKNOWN, self.outcome, self.cause]))


@dataclass(frozen=True, repr=False)
class History:
    """The updates of a board, the oldest first.

    Attributes:
        virtual: whether it is a virtual board's.
    """

    updates: tuple[Update, ...]
    virtual: bool

    def __iter__(self) -> Iterator[Update]:
        return iter(self.updates)

    def __len__(self) -> int:
        return len(self.updates)

    def __repr__(self) -> str:
        return f"the history of the {'virtual ' if self.virtual else ''}board"

    def __str__(self) -> str:
        return "\n".join(map(repr, self.updates)) or NONE

    def _repr_html_(self) -> str:
        return html_table(map(_row, self.updates), HEAD) if self.updates else html_table([[NONE]])


def updates_in(entries: Iterable[Entry]) -> tuple[Update, ...]:
    """Return the updates of which a log tells."""
    updates: list[Update] = []
    # No updates: what confirms itself in the other slot where a confirmed version was left (its slot), and a version
    # to which somebody has asked the board to go back (with its slot).
    left = asked_for = None
    for entry in entries:
        named = entry.facts.get("version"), entry.facts.get("slot")
        if entry.event == "RESTART" and all(named):
            asked_for = named
        elif entry.event == "UPDATE_START":
            left = asked_for = None
            updates.append(_update(entry, INTERRUPTED))  # unless something follows
        elif entry.event in TURNS and all(named):
            comes_in = entry.event == "CONFIRMED" and left not in (None, named[1])
            if named != asked_for and not comes_in:
                _turn(updates, entry)
            is_left = (entry.event, entry.facts.get("step")) == ("ROLLED_BACK", "confirmed")
            left = named[1] if is_left else None
            asked_for = None if named == asked_for else asked_for
        elif entry.event == "UPDATE_REFUSED":
            updates.append(_refused(entry))
    return tuple(updates)


def _turn(updates: list[Update], entry: Entry) -> None:
    """Set what became of the last update of this version and slot; one of which the log has lost the start is new."""
    outcome, before = TURNS[entry.event]
    new = _update(entry, outcome)
    if outcome == INTERRUPTED and new.cause is None:  # the board itself has ended it
        new = replace(new, outcome=REFUSED, cause=entry.facts.get("error"))
    same = [n for n, old in enumerate(updates) if (old.version, old.slot) == (new.version, new.slot)]
    if not same:
        updates.append(new)
    elif (old := updates[same[-1]]).outcome in before:
        seconds, size = (old.seconds if new.seconds is None else new.seconds), old.bytes or new.bytes
        updates[same[-1]] = replace(old, outcome=new.outcome, cause=new.cause, seconds=seconds, bytes=size)


def _refused(entry: Entry) -> Update:
    """Return the update, or as many as the board has counted, of which the board refused to begin."""
    error, count = entry.facts.get("error"), entry.facts.get("count") or 1
    return replace(_update(entry, REFUSED), cause=f"{error}, {count:,} times" if count > 1 else error)


def _update(entry: Entry, outcome: str) -> Update:
    version, slot, seconds, size, cause = map(entry.facts.get, ("version", "slot", "seconds", "bytes", "cause"))
    return Update(version, slot, entry.boot, entry.uptime, entry.time, seconds, size, outcome, cause)


def _row(update: Update) -> tuple[object, ...]:
    seconds = "" if update.seconds is None else f"{update.seconds:.1f}"
    size = "" if update.bytes is None else f"{update.bytes / 1000:,.0f}"
    place = update.version or UNKNOWN, update.slot or "", update.boot, update.time or ""
    return (*place, seconds, size, update.outcome, update.cause or "")
