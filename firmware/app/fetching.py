"""When this board looks for an update by itself. Loaded on a board that has settings for it; look.py fetches."""

import asyncio
import sys
import time

import boot_files
import clock
import outgoing
import web
from micropython import const
from seldom import load

_EPOCH = 946684800 if time.gmtime(0)[0] == 1970 else 0  # s; a board counts from 2000 on
_SET = const(820540800)  # 2026-01-01: the clock of a board that nobody has set starts at 2000
_JUMP = const(90)  # s between two turns of the loop, after which somebody has set the clock
_AGAIN, _DAILY = const(60), const(86400)  # s after which what failed is tried once more, and the clock is set


def utc():
    """Return the seconds since 2000, None where nobody has set the clock."""
    now = int(time.time()) - _EPOCH
    return now if now >= _SET else None


class Fetching:
    """`phase` is what GET /pull shows: idle, looking or fetching. `outcome` is what became of the last look."""

    utc = staticmethod(utc)

    def __init__(self):
        self.phase = "idle"
        self.is_asked = False  # POST /pull
        self.looked = None, None  # the last look of this start: by utc() and by clock.seconds()
        self._due = None  # clock.seconds() at which it looks; None: it does not
        self._again = None  # clock.seconds() at which it plans anew, since that has failed
        self._server = None  # that is asked for the time
        self._clock_at = 0  # clock.seconds() at which it is asked
        self._trouble = None  # what has become of that, where it failed
        self.outcome = {}
        self._before = utc() or 0
        self.plan()

    def plan(self):
        """Find out once more when to look, as after new settings and after a look; where that fails, in a minute."""
        self._due = self._again = None
        try:
            seconds, server, self.outcome = load("pull").plan(utc(), self.looked)
            if server != self._server:
                self._server, self._clock_at = server, 0
            self._due = None if seconds is None else clock.seconds() + seconds
        except Exception as error:  # no memory, or settings that no version of ours stores
            sys.print_exception(error)
            self._again = clock.seconds() + _AGAIN

    def heed_clock(self):
        """Plan anew where somebody has set the clock."""
        now = utc() or 0
        if not 0 <= now - self._before <= _JUMP:
            self.plan()
        self._before = now

    def left(self):
        """Return the seconds until it looks, None where it does not."""
        return None if self._due is None else max(0, self._due - clock.seconds())

    async def watch(self):
        """Look when it is time, for ever."""
        while True:
            await asyncio.sleep(1)
            try:
                await self._turn()
            except Exception as error:  # whatever it is, the next turn comes
                sys.print_exception(error)

    async def _turn(self):
        if self._server and clock.seconds() >= self._clock_at:
            await self._set_clock()
        self.heed_clock()
        if self._again is not None and clock.seconds() >= self._again:
            self.plan()
        if (self.is_asked or self.left() == 0) and not web.ota.is_busy():
            await self._look()

    async def _look(self):
        self.is_asked, self.phase = False, "looking"
        try:
            await load("look").look()
        except Exception as error:  # whatever it is, the board serves on
            sys.print_exception(error)
        self.phase, self.looked = "idle", (utc(), clock.seconds())
        self.plan()

    # A network may let no question for the time out: that is logged once, not each minute.
    async def _set_clock(self):
        """Ask the time server, and settle when it is asked again."""
        self._clock_at = clock.seconds() + _AGAIN
        try:
            async with outgoing.turn:
                await load("ntp").ask(self._server)
            self._clock_at, self._trouble = clock.seconds() + _DAILY, None
        except (OSError, MemoryError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                boot_files.log("CLOCK", error=self._trouble)


def start():
    """Begin to watch, or to plan anew where it does already."""
    if web.fetching:
        return web.fetching.plan()
    web.fetching = Fetching()
    web.fetching.watching = asyncio.create_task(web.fetching.watch())
