"""The state of the board as POST to a web server, signed by HMAC as others sign webhooks. Loaded where it is set."""

import asyncio
import binascii
import json

import hmac256
import outgoing
import tell
from micropython import const
from seldom import load

_LOOK = 1  # seconds between two looks at what is new
PACE = (60, 300, 1800)  # seconds until the next try; the last one from then on
_MOST = const(86400)  # s that a receiver may want to have in between; asyncio cannot sleep for more than six days
_EPOCH = const(946684800)  # 2000-01-01 in Unix time


async def run(place):
    """Tell whatever is new; where that fails the newest state later, and never a queue of them."""
    told, failed = None, 0
    while True:
        state = tell.state
        wait = 0 if state is told else await _try(place, state, failed)
        if wait:
            failed += 1
        else:
            told, failed = state, 0
        await asyncio.sleep(wait or _LOOK)


# Not in `run`: as long as that waited it would hold the error, and with it all that fetch.py has loaded.
async def _try(place, state, failed):
    """Tell a state, and return 0, or where that fails the seconds until the next time."""
    try:
        await _post(place, state)
        tell.problems.pop("webhook", None)
        return 0
    except Exception as error:
        tell.note("webhook", error)
        pace = PACE[-1 if getattr(error, "is_final", False) else min(failed, len(PACE) - 1)]
        return min(max(pace, getattr(error, "wait", None) or 0), _MOST)


async def _post(place, state):
    now = load("ntp").now()
    event = {"event": "state", "hostname": state["hostname"], "state": state, "time": now and now + _EPOCH}
    body = json.dumps(event).encode()
    signature = binascii.hexlify(hmac256.digest(place["key"].encode(), body)).decode()
    headers = {"Content-Type": "application/json", "X-Signature-256": "sha256=" + signature}
    async with outgoing.turn:
        (await load("fetch").post(place["url"], body, headers, place["certificate"])).close()
