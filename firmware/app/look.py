"""A look for an update: what the source has, whether it is taken, and what came of it. Loaded when it is time.

What is fetched goes the way of any other update, see updater.py; a board that knows no signers fetches nothing.
"""

import asyncio
import gc
import sys

import boot_files
import outgoing
import web
from errors import FetchError, UpdateError
from micropython import const
from seldom import load

MOST_SECONDS = 1200  # for a look with all that it fetches: others wait for their turn, and HTTPS for its memory
_LONGEST = const(120)  # characters of a cause
_DIGEST = const(16)  # hex digits by which a bad file is known again
# What is wrong with a file of the announced digest, so that it is not fetched once more
_BAD = const(("SIGN", "ACTIVATE", "SPACE"))


class _Held(Exception):  # noqa: N818  there is no mistake
    """Nothing is taken: for which reason, None where there is nothing newer."""


# What a coroutine has had on its stack stays in memory as long as it runs, modules and finished coroutines too. So this
# one does nothing itself.
async def look():
    """Look, take what there is, and keep what came of it."""
    chosen, state = _begin()
    await _try(chosen, state)
    _end(state)


def _begin():
    pull = load("pull")
    chosen, state = pull.settings(), pull.outcome()
    state["begun"] += 1
    pull.keep(state)
    return chosen, state


async def _try(chosen, state):
    try:
        async with outgoing.turn:
            await asyncio.wait_for(_with_room(chosen, state), MOST_SECONDS)
        state["outcome"], state["cause"], state["taken"] = "installed", None, state["version"]
        web.restart_soon()
    except _Held as held:
        state["outcome"], state["cause"] = "held" if held.args[0] else "up to date", held.args[0]
    except FetchError as error:
        state["outcome"], state["cause"] = "failed", error.args[0]
    except UpdateError as error:
        state["outcome"], state["cause"] = "refused", error.message
        boot_files.log("UPDATE_REFUSED", state.get("host"), error=error.name, **error.update)
        if error.name.partition("UPDATE_ERROR_")[2] in _BAD:
            state["bad"] = state["digest"]
    except asyncio.TimeoutError:  # noqa: UP041  MicroPython has no other one
        state["outcome"], state["cause"] = "failed", "The server takes longer than the 20 minutes that it has for all."
    except MemoryError:
        state["outcome"], state["cause"] = "failed", "There was not enough memory."
    except Exception as error:  # whatever it is, the board serves on, and tries again at its pace
        sys.print_exception(error)
        state["outcome"], state["cause"] = "failed", "The board has made a mistake: look at the serial port."


def _end(state):
    state.pop("digest", None)
    host = state.pop("host", None)
    is_failure = state["outcome"] in ("failed", "refused")
    state["tried"], state["begun"] = web.fetching.utc(), 0
    state["failures"] = state["failures"] + 1 if is_failure else 0
    state["cause"] = state["cause"] and state["cause"][:_LONGEST]
    load("pull").keep(state)
    print("Fetching: {}".format(state["cause"] or state["outcome"]))
    boot_files.log("PULL", host, outcome=state["outcome"])


def _check_signers():
    if not load("signature").signers():
        raise _Held(load("pull").NO_SIGNERS)


# Meanwhile the server has places for two clients; a TLS session takes 27 kB, and leaves none for one by HTTPS.
async def _with_room(chosen, state):
    app, is_tls = web.app, chosen["url"].startswith("https:")
    places = app.places, app.newcomers
    try:
        _tell().hush()
        await asyncio.sleep(0.1)  # until its tasks have ended
        gc.collect()
        app.places, app.newcomers = 2, 1
        if is_tls and app.tls:
            await app.tls.pause()
        await _look(chosen, state)
    finally:
        app.places, app.newcomers = places
        _tell().is_quiet = False
        if is_tls and app.tls:
            app.tls.is_paused = False


async def _look(chosen, state):
    _check_signers()
    found = await _find(chosen, state)
    gc.collect()
    web.fetching.phase = "fetching"
    if not web.ota.is_busy():  # else an upload has come meanwhile, and this is refused
        web.ota.address = state["host"]
    # What it names itself: a manifest can name a version that no later one would be newer than.
    state["version"] = await load("take").take(*found)


class _NoTelling:
    """In place of tell.py, where nobody is told anything."""

    def hush(self):
        pass


# With a connection to a broker beside it, what a fetch takes of the memory leaves Wi-Fi none: nobody is told meanwhile.
def _tell():
    return sys.modules.get("tell") or _NoTelling()


# What finds an image is gone before it is fetched: nothing that is returned leads to it.
async def _find(chosen, state):
    source = load("source").Source(chosen["url"], chosen["token"], chosen["certificate"])
    state["host"] = source.host
    found = await source.find(chosen["version"])
    state["digest"] = found.sha256[:_DIGEST]
    _judge(chosen, state, found.version)
    if state["digest"] == state["bad"]:
        raise _Held(f"This file of version {found.version} was refused before.")
    state["version"] = found.version
    crcs = await source.sectors(found)
    return source.place(found.path), found.size, found.sha256, crcs, chosen["certificate"], chosen["token"]


def _judge(chosen, state, version):
    """Raise Held where this version is not to be fetched."""
    if chosen["version"] not in (None, version):
        raise _Held("The server has version {}, and the board waits for {}.".format(version, chosen["version"]))
    if not _is_newer(version, web.about["version"]):
        raise _Held(None)
    last = web.ota.last
    for gone in (last["version"] if last and last["outcome"] == load("pull").GIVEN_UP else None, state["taken"]):
        if gone and not _is_newer(version, gone):
            raise _Held(f"Version {gone} was here, and did not stay. The board waits for a newer one.")


def _is_newer(version, other):
    try:
        load("judge").check_version(version, other)
        return True
    except UpdateError:
        return False
