"""What MicroPython has and CPython has not."""

import asyncio
import gc
import os
import sys
import time
import traceback
from collections import namedtuple
from types import ModuleType

import _chip

Uname = namedtuple("Uname", ("sysname", "machine"))

micropython = ModuleType("micropython")
micropython.const = lambda value: value
sys.modules["micropython"] = micropython

vfs = ModuleType("vfs")  # only a MicroPython can mount
sys.modules["vfs"] = vfs

os.uname = lambda: Uname("esp32", _chip.machine)
gc.threshold = lambda amount: None
gc.mem_free = gc.mem_alloc = lambda: 100_000
sys.print_exception = lambda error: traceback.print_exception(error, file=sys.stdout)


async def readinto(self, view):
    data = await self.read(len(view))
    view[: len(data)] = data
    return len(data)


async def wait_closed(self):
    """On MicroPython nothing can go wrong here any more."""


asyncio.StreamReader.readinto = readinto
asyncio.StreamWriter.wait_closed = wait_closed
time.ticks_ms = lambda: time.monotonic_ns() // 1_000_000
time.ticks_diff = lambda end, start: end - start
