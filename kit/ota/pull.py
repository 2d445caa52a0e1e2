"""Waiting for a board that looks for an update and installs it by itself."""

from __future__ import annotations

import time

from kit.errors import BoardError
from kit.ota.cause import ROLLED_BACK, last_update
from kit.ota.fetching import IDLE, Fetching, State, fetching_in
from kit.ota.info import SHAPE, Info
from kit.ota.waiting import LOOK_TIMEOUT, PROGRESS, await_confirmation, given_up, started_within, wait_until
from kit.ota.web import Web
from kit.progress import Progress

LOOK = 1.0  # seconds between two looks
SOON = 0.2  # while a look of the board's may begin, which can be over within a second
SILENCE = 60.0  # seconds without an answer: while the board fetches by TLS it has memory for little else
INSTALLED = "installed"
FAILURES = ("failed", "refused")
SIZED = PROGRESS | {"size": int}


def follow(web: Web, old: Info, bar: Progress) -> Fetching | None:
    """Watch a board that has been asked to look for an update; return what came of it, None once it has a new version.

    Args:
        old: what it said of itself before.

    Raises:
        RollbackError: the new version was given up.
        BoardError: it fell silent, restarted before it had all, or did not confirm the new version.
    """
    return _follow(web, old, bar, time.monotonic())


def follow_next(web: Web, old: Info, bar: Progress, state: State, seconds: float) -> Fetching | None:
    """Do as `follow` once a board has begun to look by itself.

    Args:
        state: what it said of its looks before.
        seconds: within which it has to begin, else it is a BoardError.
    """
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        found = fetching_in(web.look("/pull", seconds=LOOK_TIMEOUT) or {})
        has_begun = found and (found.state.phase != IDLE or found.state.tried != state.tried)
        if has_begun or (not found and _has_restarted(web, start)):
            return _follow(web, old, bar, start)
        time.sleep(SOON)
    raise BoardError(f"The board has not looked within {seconds:g} s.", "ota.fetching() shows when it will.")


def _follow(web: Web, old: Info, bar: Progress, start: float) -> Fetching | None:
    found = _watch(web, start, bar)
    if found:
        if found.state.outcome in FAILURES:
            bar.stop()
        return found
    _await_version(web, old, start)
    bar.update(0, "confirmed")
    return None


def _watch(web: Web, start: float, bar: Progress) -> Fetching | None:
    """Return what came of the look; None where there is a new version, or the board has restarted."""
    heard = time.monotonic()
    while time.monotonic() - heard < SILENCE:
        time.sleep(LOOK)
        update = web.look("/progress", SIZED, seconds=LOOK_TIMEOUT)
        if update and update["phase"] != IDLE:  # nothing else is asked: a board that writes is short of memory
            heard = time.monotonic()
            bar.update(update["written"], update["phase"], update["size"])
        elif found := fetching_in(web.look("/pull", seconds=LOOK_TIMEOUT) or {}):
            heard = time.monotonic()
            bar.update(0, found.state.phase)
            if found.state.phase == IDLE:
                return None if found.state.outcome == INSTALLED else found
        elif _has_restarted(web, start):
            return None
    raise BoardError(
        f"The board has not answered for {SILENCE:.0f} s while it fetched.", "board.reset() shows what it does."
    )


def _has_restarted(web: Web, start: float) -> bool:
    info = Info(web.look("/info", SHAPE, seconds=LOOK_TIMEOUT) or {})
    return started_within(info, time.monotonic() - start - 1)


def _await_version(web: Web, old: Info, start: float) -> None:
    """Return once the board has restarted after `start` and confirmed what it fetched."""

    def has_restarted(info: Info, seconds: float) -> bool:
        return started_within(info, time.monotonic() - start - 1)

    info, _ = wait_until(web, "did not come back", has_restarted)
    slot, last = str(old.get("next")), last_update(info) or {}
    if info.get("running") == slot:
        await_confirmation(web, info["version"], slot)
    elif last != last_update(old) and last.get("outcome") == ROLLED_BACK:
        raise given_up(info, last["version"], slot)
    else:
        raise BoardError(
            "The board restarted while it fetched.", "`ota.login()`, then `ota.pull()`: it goes on with what it lacks."
        )
