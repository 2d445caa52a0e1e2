"""What a board has written down (`GET /log`): who logged in, what was sent, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.errors import BoardError
from kit.ota.answer import fits, not_ours, one_line, read, said
from kit.ota.web import Web
from kit.shown import html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHAPE = {"boot": int, "uptime": int, "event": str}
FIELDS = (*SHAPE, "time", "address")
# What else a line can have, null as well as nothing; a member that only newer firmware knows is a text or a number
KINDS = dict.fromkeys(("time", "address", "version", "slot", "step", "cause", "error"), (str,))
KINDS |= {"bytes": (int,), "seconds": (float,), "count": (int,)}
ANY = (str, float)
HEAD = ("start", "second", "clock", "event", "from", "details")
WORDS = {"cause": "{}", "exception": "{}", "error": "{}", "step": "last step {}"}
WORDS |= {"bytes": "{:,} bytes", "seconds": "{:.1f} s", "count": "{:,} more"}
EMPTY = "The board has written nothing down. Its boot files may be old: board.install() brings new ones."


@dataclass(frozen=True, repr=False)
class Entry:
    """One line of the log.

    Attributes:
        boot: number of the board's start.
        uptime: whole seconds since then.
        event: "LOGIN_SUCCESS", "UPDATE_START", …
        time: in UTC, as "2026-11-30T10:15:00Z"; None where the board knew no clock.
        address: of the client; None where there was none.
        facts: all else, texts and numbers by their names.
    """

    boot: int
    uptime: int
    event: str
    time: str | None
    address: str | None
    facts: Mapping[str, str | float | None]

    def __repr__(self) -> str:
        return " ".join(filter(None, [self.event, self.facts.get("version")]))

    @property
    def details(self) -> str:
        """The facts in words."""
        facts = {name: value for name, value in self.facts.items() if value is not None}
        return ", ".join(WORDS[n].format(v) if n in WORDS else f"{n} {v}" for n, v in facts.items())


@dataclass(frozen=True, repr=False)
class Log:
    """What a board has written down, the oldest first.

    Attributes:
        virtual: whether it is a virtual board's.
    """

    entries: tuple[Entry, ...]
    virtual: bool

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"the log of the {'virtual ' if self.virtual else ''}board"

    def __str__(self) -> str:
        lines = [" ".join(filter(None, [e.time, e.event, e.address, e.details])) for e in self.entries]
        return "\n".join(lines) or EMPTY

    def _repr_html_(self) -> str:
        rows = [(e.boot, e.uptime, e.time or "", e.event, e.address or "", e.details) for e in self.entries]
        return html_table(rows, HEAD) if rows else html_table([[EMPTY]])

    def plot(self) -> Figure:
        """Draw which versions ran, what was sent and what became of it, and failed logins, start after start."""
        from kit.figures.history import time_line

        return time_line(self)


def read_log(web: Web) -> tuple[Entry, ...]:
    """Return what the board has written down.

    Raises:
        BoardError: nobody is logged in, its firmware keeps no log, or it answers as no firmware of ours does.
    """
    answer = web.request("GET", "/log")
    if answer.status == 404:
        advice = "Update it; then board.install() brings the boot files, which write the log."
        raise BoardError("The firmware of the board keeps no log.", advice)
    if not answer.is_ok:
        read(answer)  # raises what it says
    entries = []
    for line in filter(bytes.strip, answer.body.split(b"\n")):
        found = said(line, SHAPE)
        if not found or not all(map(_is_ours, found, found.values())):
            raise not_ours(answer)
        facts = {name: value for name, value in found.items() if name not in FIELDS}
        entries.append(Entry(*map(found.get, FIELDS), facts))
    return tuple(entries)


def _is_ours(name: str, value: object) -> bool:
    return name == one_line(name) and (value is None or any(fits(value, kind) for kind in KINDS.get(name, ANY)))
