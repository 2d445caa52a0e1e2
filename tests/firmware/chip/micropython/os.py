"""os of the unix port, with the uname of a board."""

from collections import namedtuple

import _chip
from uos import *  # noqa: F403

Uname = namedtuple("Uname", ("sysname", "machine"))


def uname():
    return Uname("esp32", _chip.machine)
