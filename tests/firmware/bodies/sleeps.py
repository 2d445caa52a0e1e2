# Runs on CPython and on MicroPython.
"""Deep sleep that waits until it does no harm. What the waiting is for happens in the loop's turns."""

import asyncio

import _chip
import _otadata
import audit
import boot_files
import sleep
import web
from esp32 import Partition

OTADATA, SECTOR = 0xD000, 4096
RECORDS = (_otadata.NEW, _otadata.PENDING_VERIFY)
slept = []


class Asleep(SystemExit):
    pass


def fall_asleep(ms):
    slept.append(ms)
    raise Asleep


_chip.sleep = fall_asleep


class Turns:
    """In place of asyncio: in each turn of the loop something happens, and in the last one the wait ends."""

    def __init__(self, happenings):
        self.happenings = happenings
        self.number = 0

    async def sleep(self, seconds):
        assert 0 < seconds <= 1
        self.number += 1
        self.happenings[self.number - 1]()


def deep(seconds, *happenings):
    """Return for how many ms the board slept; all of it has to happen before."""
    del slept[:]
    sleep.asyncio = turns = Turns(happenings)
    try:
        asyncio.run(sleep.deep(seconds))
    except Asleep:
        pass
    assert turns.number == len(happenings), turns.number
    assert len(slept) == 1
    return slept[0]


def nothing():
    pass


def confirm():
    Partition.mark_app_valid_cancel_rollback()


def phase(name):
    return lambda: web.ota.progress.update({"phase": name})


def set_record(state):
    _chip.erase(OTADATA, SECTOR)
    _chip.write(OTADATA, _otadata.pack(1, state))


def test_at_once():
    for seconds, ms in ((1, 1000), (0.25, 250), (3600, 3_600_000), (0, 0)):
        assert deep(seconds) == ms
    assert isinstance(slept[0], int)


def test_on_probation():
    """As long as it lasts."""
    for state in RECORDS:
        set_record(state)
        assert deep(1, *[nothing] * 50, confirm) == 1000


def test_an_update_that_runs():
    phase("check")()
    later = [phase(name) for name in ("write", "verify", "commit", "idle")]
    assert deep(1, nothing, nothing, *later) == 1000


def test_an_update_after_probation():
    """Whichever ends last."""
    set_record(_otadata.PENDING_VERIFY)
    assert deep(1, phase("check"), confirm, nothing, phase("idle")) == 1000
    set_record(_otadata.PENDING_VERIFY)
    assert deep(1, phase("check"), phase("idle"), nothing, confirm) == 1000


def test_before_a_restart():
    """The board restarts into the new version, and does not sleep before that."""
    phase("restart")()

    def restart():
        raise _chip.Reset

    try:
        deep(1, nothing, nothing, restart)
    except _chip.Reset:
        assert not slept
    else:
        raise AssertionError


def test_nothing_of_the_log_is_lost():
    """What waits for the loop, and what is only counted."""
    for _ in range(3):
        boot_files.log("LOGIN_FAILED", "192.168.1.7")
    boot_files.log("RESTART")
    assert audit.Log().seek(0, 2) == 0

    def look(ms):
        text = audit.Log().read(10_000)
        assert text.count(b"LOGIN_FAILED") == 2, text
        assert b'"count": 2' in text
        assert text.count(b"RESTART") == 1
        fall_asleep(ms)

    _chip.sleep = look
    assert deep(1) == 1000
