"""The board tells what becomes of it: to an MQTT broker (broker.py) and to a webhook (webhook.py), as telling.py says.

Each way is a task of its own, loaded where it is set. None of them ever ends or holds up the server.
"""

import asyncio

from seldom import load

_LOOK = 1  # seconds between two looks at what is new
_WAYS = (("mqtt", "broker"), ("webhook", "webhook"))  # setting, and the module that does it
_CHANGING = ("now",)  # at every look, and so no news

is_stale = True  # the settings were changed
is_quiet = False  # an update is fetched, which needs the memory
state = None  # what there is to tell; another object where it has changed
_tasks = []
watching = None  # the task
problems = {}  # by setting: what went wrong last, as long as it has not worked since


async def watch(settings, snapshot):
    """Tell what changes, for good.

    Args:
        settings: function that returns what telling.py has stored.
        snapshot: function that returns the state of the board: a dict with at least "hostname".
    """
    while True:
        try:
            if is_quiet:
                pass
            elif is_stale:
                _renew(settings(), snapshot)
            elif _tasks:
                _look(snapshot())
        except Exception as error:  # whatever it is, the server goes on
            note("tell", error)
        await asyncio.sleep(_LOOK)


def hush():
    """Tell nobody anything before `is_quiet` is False again."""
    global is_quiet, is_stale
    is_quiet = is_stale = True
    while _tasks:
        _tasks.pop().cancel()


# Not in `watch`, which never ends, and so would hold for good what it had last.
def _renew(places, snapshot):
    """Begin anew, with those who are told now."""
    global is_stale, state
    while _tasks:
        _tasks.pop().cancel()
    problems.clear()
    state = _lasting(snapshot()) if any(places.values()) else None
    for name, module in _WAYS:
        if places[name]:
            _tasks.append(asyncio.create_task(load(module).run(places[name])))
    is_stale = False


def _look(found):
    global state
    found = _lasting(found)
    if found != state:
        state = found


def _lasting(found):
    """Return a dict, and those in it, without what always changes."""
    kept = [(name, value) for name, value in found.items() if name not in _CHANGING]
    return {name: _lasting(value) if isinstance(value, dict) else value for name, value in kept}


def note(way, error):
    """Keep in one text what went wrong."""
    problems[way] = str(error.args[0] if error.args else type(error).__name__)
