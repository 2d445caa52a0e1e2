"""New settings that can shut out the owner, `allow` and `https`: who shows the password or a token confirms them.

The board's own requests show neither. Loaded while they are on trial.
"""

import asyncio

import auth
import clock
import machine
from seldom import load


async def watch(number, seconds):
    """Confirm the set of settings with this number when somebody comes; undo it, and reset, after so many seconds."""

    def confirm():
        load("config").end(number)
        auth.greet = bool

    auth.greet = confirm
    end = clock.seconds() + seconds
    while auth.greet is confirm:
        if clock.seconds() >= end:
            load("config").end(number, f"nobody logged in within {seconds} s")
            machine.reset()
        await asyncio.sleep(0.2)
