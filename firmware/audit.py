"""The audit log: one line of JSON for each event, in small files of /log, oldest first. `starts.quietly` calls this.

What names a version has a ring of files of its own, so that no flood of anything else pushes it out. littlefs takes
what is written at a time whole or not at all, wherever the power goes.

16 kB of lines in eight files, which take a sector each, of the 240 of the file system. To write once takes one erased
sector and 1 kB of programming (measured on the virtual board). Whatever strangers do, events.py lets 34 lines pass in
ten minutes at most, and of one stranger four: 600 sectors a day, which littlefs spreads over all that are free.
"""

import json
import os
import time

import slot
import starts
from esp32 import NVS
from micropython import const

_UPDATES, _OTHERS = "u", "v"  # the two rings: first letters of their files, eight digits follow
_SIZE, _FILES = const(2048), const(4)  # bytes of a file at most, files of a ring
_NAME = const(9)  # characters
_FIRST_YEAR = const(2025)  # a clock that was never set begins at 2000


def write(events, now):
    """Write events: of each the uptime, its name, the address it came from, and facts, as events.py has them."""
    try:
        os.mkdir(slot.LOG[:-1])
    except OSError:
        pass  # it is there
    boot = _boots()
    for ring in (_UPDATES, _OTHERS):
        lines = [_line(boot, now, *event) for event in events if _has_version(event[3]) == (ring == _UPDATES)]
        while lines:
            name, room = _file_for(ring, len(lines[0]))
            with open(slot.LOG + name, "a") as file:
                while lines and len(lines[0]) <= room:
                    room -= len(lines[0])
                    file.write(lines.pop(0))


def _has_version(facts):
    return "version" in [name for name, _ in facts]


def _line(boot, now, uptime, event, address, facts):
    pairs = [("boot", boot), ("uptime", uptime)]
    when = time.gmtime(time.time() - (now - uptime))
    if when[0] >= _FIRST_YEAR:
        pairs.append(("time", "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*when)))
    pairs += [("event", event)] + [("address", address)] * (address is not None) + list(facts)
    return "{" + ", ".join([json.dumps(name) + ": " + json.dumps(value) for name, value in pairs]) + "}\n"


def _files(ring):
    """Return the names of a ring's files, the oldest first."""
    try:
        return sorted([name for name in os.listdir(slot.LOG[:-1]) if name[:1] == ring and len(name) == _NAME])
    except OSError:
        return []  # there is no folder yet


def _file_for(ring, length):
    """Return the name of the file that a line goes to, and the bytes it may take; the oldest one goes for a new one."""
    names = _files(ring)
    newest = names[-1] if names else ring + "00000000"
    size = os.stat(slot.LOG + newest)[6] if names else 0
    if size + length > _SIZE:
        newest, size = f"{ring}{int(newest[1:]) + 1:08}", 0
        for old in names[: 1 - _FILES]:
            os.remove(slot.LOG + old)
    return newest, max(_SIZE - size, length)


def _boots():
    """Return the number of this start, which probation.py counts."""
    try:
        return NVS("kit").get_i32(starts.STEP) >> 12
    except OSError:
        return 0


class Log:
    """All lines, the oldest first, as an open file of which the length is known before."""

    def __init__(self):
        self._length = sum([os.stat(slot.LOG + name)[6] for ring in (_UPDATES, _OTHERS) for name in _files(ring)])
        self._lines = _merged()
        self._rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def seek(self, offset, whence=0):
        return self._length if whence == 2 else 0

    def read(self, n):
        while len(self._rest) < n:
            line = next(self._lines, None)
            if line is None:
                break
            self._rest += line
        piece = (self._rest + b"\n" * n)[: min(n, self._length)]  # a file may have gone meanwhile
        self._rest = self._rest[len(piece) :]
        self._length -= len(piece)
        return piece


def _merged():
    """Give the lines of both rings, the oldest first."""
    rings = [_lines(_OTHERS), _lines(_UPDATES)]
    heads = [next(ring, None) for ring in rings]
    while heads[0] or heads[1]:
        first = 0 if heads[0] and (not heads[1] or heads[0][0] <= heads[1][0]) else 1
        yield heads[first][1]
        heads[first] = next(rings[first], None)


def _lines(ring):
    """Give boot number and uptime, and the line."""
    for name in _files(ring):
        try:
            with open(slot.LOG + name, "rb") as file:
                for line in file:
                    found = json.loads(line)
                    yield (found["boot"], found["uptime"]), line
        except (OSError, ValueError, KeyError):
            pass  # the oldest file has just gone
