"""The state of the board at an MQTT broker, retained: <prefix>/<hostname>/state, and …/online. Loaded where it is set.

A plain connection stays, and the broker says when it has gone. A TLS session takes too much memory for that: it ends as
soon as the state is told, and nothing is said of being online.
"""

import asyncio
import json
import random

import clock
import mqtt
import outgoing
import tell

_LOOK = 1  # seconds between two looks at what is new
FIRST, LONGEST = 1, 300  # seconds until the next try, twice as many after each that failed


async def _tell(place, client):
    """Tell the newest state, and return it."""
    state = tell.state
    await client.publish(_topic(place, "state"), json.dumps(state).encode())
    tell.problems.pop("mqtt", None)
    return state


def _topic(place, name):
    return "{}/{}/{}".format(place["prefix"], tell.state["hostname"], name).encode()


async def _visit(place):
    """Tell over TLS whatever is new."""
    while True:
        async with outgoing.turn:
            client = mqtt.Client()
            try:
                await client.connect(place, tell.state["hostname"])
                told = await _tell(place, client)
                await client.disconnect()
            finally:
                client.close()
        while told is tell.state:
            await asyncio.sleep(_LOOK)


async def _stay(place):
    """Tell whatever is new until the connection breaks."""
    client = mqtt.Client()
    try:
        online = _topic(place, "online")
        await client.connect(place, tell.state["hostname"], (online, b"false"))
        await client.publish(online, b"true")
        told, last = None, clock.seconds()
        while True:
            if told is not tell.state:
                told, last = await _tell(place, client), clock.seconds()
            elif client.is_gone():
                raise OSError("The broker has closed the connection.")
            elif clock.seconds() - last >= mqtt.KEEP_ALIVE // 2:
                await client.ping()
                last = clock.seconds()
            await asyncio.sleep(_LOOK)
    finally:
        client.close()


async def run(place):
    """Connect again and again, ever more slowly; a connection that did not last has failed, too."""
    wait = 0
    while True:
        began = clock.seconds()
        try:
            await (_visit if place["tls"] else _stay)(place)
        except Exception as error:
            lasted = clock.seconds() - began >= mqtt.KEEP_ALIVE and "mqtt" not in tell.problems
            wait = FIRST if lasted else max(FIRST, min(2 * wait, LONGEST))
            tell.note("mqtt", error)
        await asyncio.sleep(wait * (128 + random.getrandbits(7)) / 256)  # boards of one room do not come at once
