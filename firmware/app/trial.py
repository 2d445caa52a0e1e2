"""New settings that can shut out the owner, `allow` and `https`: who shows the password or a token confirms them.

The board's own requests show neither. Loaded while they are on trial.
"""

import asyncio

import auth
import clock
from seldom import load


def watch(number, seconds):
    """Confirm the set of settings with this number when somebody comes, from now on.

    Returns what is to be awaited once the board serves: after so many seconds it undoes the set, and resets.
    """

    def confirm():
        load("config").end(number)
        auth.greet = bool

    auth.greet = confirm
    return _wait(number, seconds, confirm)


async def _wait(number, seconds, confirm):
    end = clock.seconds() + seconds
    while auth.greet is confirm:
        if clock.seconds() >= end:
            load("config").end(number, f"nobody logged in within {seconds} s")
        await asyncio.sleep(0.2)
