# Runs on CPython and on MicroPython.
"""A board that tells what changes. What it tells, and to whom, stands in files of a folder, which the test writes."""

import asyncio
import json
import os
import time

import broker
import clock
import link
import machine
import mqtt
import outgoing
import tell
import telling
import webhook
from errors import FetchError, HttpError

_HELD = 2000  # ms for which nothing may hold up the loop, on a busy computer

_turns = 0


def serve(port, folder, *options):
    """Tell for good. The options are texts `name=value`: seconds, in place of those of the firmware."""
    for option in options:
        name, _, value = option.partition("=")
        if name == "clock":
            machine.RTC().datetime((2027, 3, 10, 0, 4, 40, 0, 0))
        elif name == "seconds":
            link.SECONDS = float(value)
        elif name == "alive":
            mqtt.KEEP_ALIVE = int(value)
        elif name == "longest":
            broker.LONGEST = float(value)
        elif name == "pace":
            webhook.PACE = tuple([float(seconds) for seconds in value.split(",")])
    tell._LOOK = broker._LOOK = webhook._LOOK = 0.1
    asyncio.run(_tell(folder + "/"))


async def _tell(folder):
    work = _turn(), _listen(folder), tell.watch(telling.read, lambda: _snapshot(folder))
    tasks = [asyncio.create_task(each) for each in work]
    print("TELLING")
    told = None
    while not any(task.done() for task in tasks):
        problem = telling.show()["problem"]
        if problem != told:
            told = problem
            print("PROBLEM", problem, "AFTER", _turns)
        await asyncio.sleep(0.02)
    raise AssertionError("a task has ended")


async def _turn():
    """Count the turns of the loop, and say where it was held up."""
    global _turns
    last = time.ticks_ms()
    while True:
        await asyncio.sleep(0.01)
        _turns += 1
        now = time.ticks_ms()
        if time.ticks_diff(now, last) > _HELD:
            print("HELD UP", time.ticks_diff(now, last))
        last = now


async def _listen(folder):
    """PUT /tell, and a hand on the outgoing turn."""
    holder = None
    while True:
        asked = _taken(folder + "put")
        if asked is not None:
            try:
                message = telling.put(asked)
                tell.is_stale = True  # as telling.start() has it, with another task
                print("PUT", message)
            except HttpError as error:
                print("PUT", error.status, error.name, error.message, error.advice)
        wanted = _taken(folder + "turn")
        if wanted:
            await outgoing.turn.acquire()
            holder = True
            print("TURN HELD")
        elif wanted is not None and holder:
            outgoing.turn.release()
            holder = None
        await asyncio.sleep(0.02)


def _taken(path):
    """Return the JSON in a file that is there, and remove it."""
    try:
        with open(path) as file:
            text = file.read()
    except OSError:
        return None
    os.remove(path)
    return json.loads(text)


def _snapshot(folder):
    with open(folder + "state") as file:
        state = json.loads(file.read())
    if state.get("broken"):
        raise KeyError("broken")
    state["pull"] = {"phase": "idle", "now": time.ticks_ms()}
    return state


# PUT /tell and GET /tell without anybody to tell

_BROKER = {"host": "broker.example.org"}
_HOOK = {"url": "https://example.org/hook", "key": "k" * 16}
_WRONG = (
    (None, "body"),
    ({}, "body"),
    ([], "body"),
    ({"email": {}}, "email"),
    ({"a\nb": {}}, "setting"),
    ({"mqtt": 1}, "mqtt"),
    ({"mqtt": {}}, "mqtt.host"),
    ({"mqtt": {"host": None}}, "mqtt.host"),
    ({"mqtt": {"host": ""}}, "mqtt.host"),
    ({"mqtt": {"host": "a b"}}, "mqtt.host"),
    ({"mqtt": {"host": "mqtt://a"}}, "mqtt.host"),
    ({"mqtt": {"host": "a" * 65}}, "mqtt.host"),
    ({"mqtt": {"host": "a", "port": 0}}, "mqtt.port"),
    ({"mqtt": {"host": "a", "port": 65536}}, "mqtt.port"),
    ({"mqtt": {"host": "a", "port": True}}, "mqtt.port"),
    ({"mqtt": {"host": "a", "port": "1883"}}, "mqtt.port"),
    ({"mqtt": {"host": "a", "tls": 1}}, "mqtt.tls"),
    ({"mqtt": {"host": "a", "tls": True, "certificate": "ab"}}, "mqtt.certificate"),
    ({"mqtt": {"host": "a", "tls": True, "certificate": "g" * 64}}, "mqtt.certificate"),
    ({"mqtt": {"host": "a", "certificate": "a" * 64}}, "mqtt.certificate"),
    ({"mqtt": {"host": "a", "user": ""}}, "mqtt.user"),
    ({"mqtt": {"host": "a", "user": "a\nb"}}, "mqtt.user"),
    ({"mqtt": {"host": "a", "password": "secret"}}, "mqtt.password"),
    ({"mqtt": {"host": "a", "user": "u", "password": "p" * 65}}, "mqtt.password"),
    ({"mqtt": {"host": "a", "prefix": "a/#"}}, "mqtt.prefix"),
    ({"mqtt": {"host": "a", "prefix": "+"}}, "mqtt.prefix"),
    ({"mqtt": {"host": "a", "prefix": "/a"}}, "mqtt.prefix"),
    ({"mqtt": {"host": "a", "topic": "a"}}, "mqtt.topic"),
    ({"webhook": {}}, "webhook.url"),
    ({"webhook": {"url": "https://example.org"}}, "webhook.key"),
    ({"webhook": {"url": "https://example.org", "key": "k" * 15}}, "webhook.key"),
    ({"webhook": {"url": "ftp://example.org", "key": "k" * 16}}, "webhook.url"),
    ({"webhook": {"url": "https://", "key": "k" * 16}}, "webhook.url"),
    ({"webhook": {"url": "", "key": "k" * 16}}, "webhook.url"),
    ({"webhook": {"url": "https://u:p@example.org/", "key": "k" * 16}}, "webhook.url"),
    ({"webhook": {"url": "https://example.org/ a", "key": "k" * 16}}, "webhook.url"),
    ({"webhook": {"url": "https://example.org/\u00fc", "key": "k" * 16}}, "webhook.url"),
    ({"webhook": {"url": "https://example.org/" + 200 * "a", "key": "k" * 16}}, "webhook.url"),
    ({"webhook": {"url": "http://example.org", "key": "k" * 16, "certificate": "a" * 64}}, "webhook.certificate"),
)


def _refused(asked):
    try:
        telling.put(asked)
    except HttpError as error:
        return error
    raise AssertionError(asked)


def test_at_first():
    assert telling.show() == {"mqtt": None, "webhook": None, "problem": None}


def test_refusals():
    telling.put({"mqtt": _BROKER, "webhook": _HOOK})
    before = telling.read()
    for asked, name in _WRONG:
        telling.put({"mqtt": None, "webhook": None})
        error = _refused(asked)
        assert (error.status, error.name) == (400, "BAD_SETTING"), asked
        assert error.message == f"The board cannot take this {name}.", (asked, error.message)
        assert error.advice.endswith("."), asked
        assert telling.read() == {"mqtt": None, "webhook": None}
    telling.put({"mqtt": _BROKER, "webhook": _HOOK})
    assert telling.read() == before


def test_what_is_absent_stays():
    telling.put({"mqtt": _BROKER})
    shown = telling.show()
    assert shown["webhook"] is None
    assert shown["mqtt"] == {
        "host": "broker.example.org",
        "port": 1883,
        "tls": False,
        "certificate": None,
        "user": None,
        "has_password": False,
        "prefix": "esp32-ota",
    }
    telling.put({"webhook": _HOOK})
    assert telling.show()["mqtt"] == shown["mqtt"]
    telling.put({"mqtt": {"prefix": "lab/room 1"}})
    assert telling.show()["mqtt"]["prefix"] == "lab/room 1"
    assert telling.show()["mqtt"]["host"] == "broker.example.org"
    telling.put({"mqtt": {"prefix": None}})
    assert telling.show()["mqtt"] == shown["mqtt"]
    assert telling.put({"mqtt": None, "webhook": None}) == "The board tells nobody."
    assert telling.show() == {"mqtt": None, "webhook": None, "problem": None}


def test_tls_has_a_port_of_its_own():
    telling.put({"mqtt": {"host": "a", "tls": True}})
    assert telling.show()["mqtt"]["port"] == 8883
    telling.put({"mqtt": {"tls": False, "port": None}})
    assert telling.show()["mqtt"]["port"] == 1883


def test_secrets_are_kept_and_not_shown():
    telling.put({"mqtt": {"host": "a", "user": "u", "password": "mqtt-secret"}, "webhook": _HOOK})
    telling.put({"mqtt": {"prefix": "b"}, "webhook": {"url": "http://example.org/2"}})
    shown = telling.show()
    assert shown["mqtt"]["has_password"] and shown["webhook"]["has_key"]
    assert "secret" not in json.dumps(shown) and "kkkk" not in json.dumps(shown)
    assert telling.read()["mqtt"]["password"] == "mqtt-secret"
    assert telling.read()["webhook"]["key"] == "k" * 16
    telling.put({"mqtt": {"password": None}})
    assert not telling.show()["mqtt"]["has_password"]


def test_the_password_goes_nowhere_else():
    for change in ({"host": "b"}, {"port": 1884}, {"tls": True}):
        telling.put({"mqtt": {"host": "a", "port": 1883, "tls": False, "user": "u", "password": "secret"}})
        telling.put({"mqtt": change})
        assert telling.read()["mqtt"]["password"] is None, change


def test_too_much():
    texts = {"host": "h" * 64, "user": "u" * 64, "password": "p" * 64, "prefix": "x" * 64}
    hook = {"url": "https://example.org/" + "a" * 180, "key": "k" * 64}
    telling.put({"mqtt": texts})
    error = _refused({"webhook": hook})
    assert error.message == "The board cannot take this body."
    assert telling.show()["webhook"] is None


def test_a_flash_that_takes_nothing():
    import pair

    def write(name, data):
        raise OSError(1)

    telling.put({"mqtt": _BROKER})
    pair.write = write
    tell.is_stale = False
    error = _refused({"mqtt": None})
    assert (error.status, error.name) == (500, "NOT_STORED")
    assert telling.show()["mqtt"]["host"] == "broker.example.org"
    assert not tell.is_stale


def test_a_receiver_that_wants_weeks():
    async def post(place, state):
        raise FetchError("example.org answers with status 429.", False, 999_999)

    webhook._post = post
    assert asyncio.run(webhook._try(_HOOK, {}, 0)) == 86400


class Slept(BaseException):
    """Enough was slept."""


def test_a_broker_that_throws_out_who_has_come():
    """As one does where another board has the same name: its tries get rarer until a connection lasts."""
    now, lasting, slept = [0], [0], []
    clock.seconds = lambda: now[0]
    tell.problems.clear()

    async def stay(place):
        tell.problems.pop("mqtt", None)  # its state was told
        now[0] += lasting[0]
        raise OSError("The broker has closed the connection.")

    class Dice:
        def getrandbits(self, bits):
            return 128

    class Time:
        async def sleep(self, seconds):
            slept.append(seconds)
            lasting[0] = 70 if len(slept) == 11 else 0
            if len(slept) == 13:
                raise Slept

    broker._stay, broker.random, broker.asyncio = stay, Dice(), Time()
    try:
        asyncio.run(broker.run({"tls": False}))
    except Slept:
        pass
    assert slept == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 1, 2], slept
