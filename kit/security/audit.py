"""The tutorial's checklist and clauses 5.1 to 5.5 of ETSI EN 303 645, as a board meets them when it is tried out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.errors import KitError, interruptible
from kit.shown import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kit.board.board import Board

MET, OPEN, NOT_APPLICABLE = "met", "open", "not applicable"


@dataclass(frozen=True)
class Finding:
    """What was found out of one thing: its state, and what was tried and came back."""

    state: str
    tried: str


# What no probe of a board can find out
MAKER = Finding(NOT_APPLICABLE, "its maker's part, not to be seen on a board: docs/security.md")
HABIT = Finding(NOT_APPLICABLE, "a habit of its owner: ota.log()")
SHARED = Finding(NOT_APPLICABLE, "a board comes with none of its own")
UNUSED = Finding(NOT_APPLICABLE, "none is used to prove anything")
UPDATED = Finding(NOT_APPLICABLE, "the board can be updated")
THIS = Finding(MET, "this audit; kit.attacks has more")
CABLE = Finding(OPEN, "boot files and bootloader are replaced by cable only")
MICROPYTHON = Finding(NOT_APPLICABLE, "Mbed TLS, which comes and is replaced with MicroPython")
ONE = Finding(NOT_APPLICABLE, "one board alone cannot show it")

# Number, what it asks for in our words, and the probes of kit/attacks/probes.py whose findings decide
CHECKLIST = (
    ("box 1", "the default password is changed", "default_password"),
    ("box 2", "HTTPS", "https"),
    ("box 3", "signed firmware", "signature"),
    ("box 4", "failed logins are limited", "guesses"),
    ("box 5", "secrets are stored safely", "stored", "hardcoded"),
    ("box 6", "a log of what happens", "log"),
    ("box 7", "tokens instead of the password", "token", "restarted"),
    ("box 8", "a list of addresses that may come", "allow"),
    ("box 9", "updates come by themselves", "pull"),
    ("box 10", "somebody is told of attacks", "watch"),
    ("box 11", "the log is read", HABIT),
    ("box 12", "tested by attacks", THIS),
)
# ETSI EN 303 645 V2.1.1 (2020-06)
CLAUSES = (
    ("5.1-1", "passwords are the owner's own", "default_password"),
    ("5.1-2", "pre-installed passwords are random", SHARED),
    ("5.1-3", "logins are protected by good cryptography", "https", "hashed"),
    ("5.1-4", "the password can be changed", "change"),
    ("5.1-5", "guessing gets nowhere", "guesses"),
    ("5.2-1…3", "weaknesses can be reported, and are mended", MAKER),
    ("5.3-1", "all software can be updated", CABLE),
    ("5.3-2", "updates are installed safely", "signature", "version"),
    ("5.3-3", "updating is simple", "page"),
    ("5.3-4…6", "updates come by themselves", "pull"),
    ("5.3-7", "updates are protected by good cryptography", "signature"),
    ("5.3-8", "updates come in time", MAKER),
    ("5.3-9, 10", "whom an update comes from is checked", "signature"),
    ("5.3-11", "the owner hears of updates", MAKER),
    ("5.3-12", "the owner is told that it restarts", "page"),
    ("5.3-13", "how long updates will come is published", MAKER),
    ("5.3-14, 15", "boards without updates can be replaced", UPDATED),
    ("5.3-16", "the model can be read off it", MAKER),
    ("5.4-1", "secrets are stored safely", "stored"),
    ("5.4-2", "identities in hardware resist tampering", UNUSED),
    ("5.4-3", "no secret stands in the program", "hardcoded", "default_password"),
    ("5.4-4", "each board has secrets of its own", ONE),
    ("5.5-1", "good cryptography on the way", "https"),
    ("5.5-2, 3", "it is a reviewed one, and can be replaced", MICROPYTHON),
    ("5.5-4", "nothing without a login", "token", "origin"),
    ("5.5-5", "no settings without a login", "configuration", "origin"),
    ("5.5-6, 7", "secrets are encrypted on the way", "https"),
    ("5.5-8", "keys are kept well", MAKER),
)


@dataclass(frozen=True)
class Row:
    """One box or clause: its number, what it asks for, its state, and what was tried to find out."""

    number: str
    item: str
    state: str
    tried: str


@dataclass(frozen=True, repr=False)
class Audit(Table):
    """The boxes of the checklist, and the clauses, each met, open or not applicable.

    Attributes:
        virtual: whether it is a virtual board's.
    """

    rows: tuple[Row, ...]
    virtual: bool

    COLUMNS = ("<10", "<43", "<14", "")

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def _cells(self) -> Iterator[tuple[str, ...]]:
        yield "", "asked for", "state", "what was tried"
        yield from ((row.number, row.item, row.state, row.tried) for row in self.rows)

    def plot(self, before: Audit | None = None) -> Figure:
        """Draw the states, beside those of an audit before.

        Raises:
            KitError: the other one is no audit.
        """
        from kit.figures.checklist import checklist

        if not isinstance(before, Audit | None):
            raise KitError(f"A {type(before).__name__} is no audit.", "Keep one: before = kit.audit(board).")
        return checklist([audit for audit in (before, self) if audit])


@interruptible
def audit(board: Board) -> Audit:
    """Try out what a board does for its security, by attacks that do no harm, and by reading its flash.

    It believes no setting. The board restarts twice; whoever tries to log in meanwhile may be locked out until then.

    Raises:
        KitError: the board does not serve, is being updated, or is in no private network.
    """
    from kit.attacks.probes import find_out

    found = find_out(board)
    return Audit(tuple(_row(found, *row) for row in (*CHECKLIST, *CLAUSES)), board.is_virtual)


def _row(found: Mapping[str, Finding], number: str, item: str, *asked: str | Finding) -> Row:
    """Return a row, which is open if one of its findings is; then that one is told."""
    findings = [found[name] if isinstance(name, str) else name for name in asked]
    told = [finding for finding in findings if finding.state == OPEN] or findings
    return Row(number, item, told[0].state, "; ".join(finding.tried for finding in told))
