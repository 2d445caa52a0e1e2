"""The failure gallery: what came of each failure, written down while it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kit.board.board import Board
from kit.errors import BoardError, KitError, RollbackError, UpdateError
from kit.ota.info import Info, read_info
from kit.ota.waiting import wait_until
from kit.ota.web import Web

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REFUSED, KEPT, ROLLED_BACK = "refused", "old version kept", "rolled back"
NEW, SILENT = "new version", "does not serve"


@dataclass(frozen=True)
class Outcome:
    """What came of one failure.

    `seconds` go from the start of the upload until the board served a confirmed version again, `runs` is this version
    and its slot, and `error` is what the client was told.
    """

    name: str
    outcome: str
    error: str
    runs: str
    seconds: float


class Gallery:
    """The outcomes of failures on one board, each recorded by a `with` block around it."""

    def __init__(self, board: Board) -> None:
        self.is_virtual = board.is_virtual
        self.outcomes: dict[str, Outcome] = {}
        self._web = Web(board.url)

    def __repr__(self) -> str:
        rows = [(o.name, o.outcome, o.error, o.runs) for o in self.outcomes.values()]
        return "\n".join(f"{name:<28}{outcome:<18}{error:<26}{runs}".rstrip() for name, outcome, error, runs in rows)

    @contextmanager
    def record(self, name: str) -> Iterator[None]:
        """Write down what comes of the block, once the board serves a confirmed version again.

        An error of the block goes on to the reader.
        """
        before, start = read_info(self._web)["running"], time.monotonic()
        try:
            yield
        except KitError as error:
            self._write_down(name, before, start, error)
            raise
        self._write_down(name, before, start)

    def plot(self) -> Figure:
        """Draw what came of each failure, what ran afterwards, and how long it took."""
        if not self.outcomes:
            raise KitError("The gallery is empty.", "Record a failure first: with gallery.record('a name'): …")
        from kit.figures.failures import outcome_gallery

        rows = [(o.name, o.outcome, o.runs, o.seconds) for o in self.outcomes.values()]
        return outcome_gallery(rows, self.is_virtual)

    def _write_down(self, name: str, before: str, start: float, error: KitError | None = None) -> None:
        info = None
        with suppress(BoardError):  # nothing serves
            info, _ = wait_until(self._web, "served no confirmed version", _is_confirmed)
        if not info:
            outcome = SILENT
        elif info["running"] != before:
            outcome = NEW
        elif isinstance(error, UpdateError):
            outcome = REFUSED
        else:
            outcome = ROLLED_BACK if error is None or isinstance(error, RollbackError) else KEPT
        told = getattr(error, "error", type(error).__name__) if error else ""
        runs = f"{info['version']} in {info['running']}" if info else "nothing"
        self.outcomes[name] = Outcome(name, outcome, told, runs, time.monotonic() - start)


def _is_confirmed(info: Info, seconds: float) -> bool:
    return info.get("image_state", "NEW") not in ("NEW", "PENDING_VERIFY")
