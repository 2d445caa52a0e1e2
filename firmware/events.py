"""What the audit log will get. Events wait here until the application's loop writes them, so that no request waits for
the flash; what repeats itself is counted. A power cut loses the last second. audit.py writes."""

import starts
from micropython import const

_WINDOW = const(600)  # seconds in which an event that repeats itself is counted
_KINDS = const(16)  # that are counted at a time: what comes on top of them is counted without its address
_MOST = const(32)  # events that wait

_waiting = []  # uptime, event, address, facts
_counted = {}  # by event, address and facts: end of the window, times since it began


def add(uptime, event, address=None, facts=()):
    """Take an event, or count it; what names a version is never counted.

    Args:
        uptime: whole seconds since the start.
        address: of the client, None without.
        facts: pairs of a name and a text or number, none of them a secret or a client's own words.
    """
    kind = (event, address, facts)
    if "version" not in [name for name, _ in facts]:
        if kind not in _counted and len(_counted) >= _KINDS:
            kind = (event, None, ())
        if kind in _counted:
            _counted[kind][1] += 1
            return
        _counted[kind] = [uptime + _WINDOW, 0]
    if len(_waiting) < _MOST:
        _waiting.append((uptime,) + kind)


def flush(uptime, everything=False):
    """Write what waits, and how often that came which is counted, where its window is over or `everything` is asked."""
    for kind in [kind for kind in _counted if everything or _counted[kind][0] <= uptime]:
        count = _counted.pop(kind)[1]
        if count:
            event, address, facts = kind
            _waiting.append((uptime, event, address, facts + (("count", count),)))
    if _waiting:
        waiting = list(_waiting)
        _waiting.clear()
        starts.quietly("audit", "write", waiting, uptime)
