# Runs on MicroPython.
"""How much memory telling takes. Words are twice as large here as on a board."""

import asyncio
import gc

import pair  # noqa: F401 - as the application has it
import seldom
import tell

_NOBODY, _WEBHOOK, _BROKER = 2_500, 5_000, 15_000  # bytes at most, the latter two on top of the first
_LEFT = 1_000  # of them, when nobody is told any more

_state = {"hostname": "esp32-ota-0110", "turn": 0}
_places = {"mqtt": None, "webhook": None}


def weigh(dead, port):
    for name in ("webhook", "broker", "fetch", "ntp"):
        _load(name)
    asyncio.run(_weigh(int(dead), int(port)))


# The names in them stay for good, whoever loads them first.
def _load(name):
    seldom.load(name)


async def _weigh(dead, port):
    before = _used()
    tell._LOOK = 0.1
    tell._task = asyncio.create_task(tell.watch(lambda: _places, lambda: dict(_state)))
    await _until(lambda: not tell.is_stale)
    nobody = _used()
    assert nobody - before < _NOBODY, nobody - before
    for _ in range(2):
        await _set("webhook", {"url": "http://127.0.0.1:%d/" % dead, "key": "k" * 16, "certificate": None})
        await _until(lambda: "takes no connection" in tell.problems.get("webhook", ""))
        assert _used() - nobody < _WEBHOOK, _used() - nobody
        await _set("webhook", None)
        place = {"host": "127.0.0.1", "port": port, "tls": False, "certificate": None}
        place.update({"user": None, "password": None, "prefix": "esp32-ota"})
        await _set("mqtt", place)
        tell.problems["mqtt"] = "the change is not told yet"
        _state["turn"] += 1
        await _until(lambda: not tell.problems)
        assert _used() - nobody < _BROKER, _used() - nobody
        await _set("mqtt", None)
        assert _used() - nobody < _LEFT, _used() - nobody


async def _set(way, place):
    _places[way] = place
    tell.is_stale = True
    await _until(lambda: not tell.is_stale)
    await asyncio.sleep(0.2)  # a task that is cancelled goes at the next turns of the loop


async def _until(is_so):
    while not is_so():
        await asyncio.sleep(0.05)


def _used():
    for _ in range(3):
        gc.collect()
    return gc.mem_alloc()
