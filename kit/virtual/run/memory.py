"""The board's memory: MicroPython's heap, which grows into the system's (py/gc.c, ports/esp32/gccollect.c of v1.26).

What programs hold is counted now and then (see `sizes`), not at each allocation. Simpler than on the chip: nothing is
garbage, and what MicroPython's heap has taken it gives back at a soft reset only; the chip gives
it back when by luck nothing is left in it.
"""

import gc
import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

from .interrupt import pending, raise_in
from .sizes import BLOCK, held

FIRST_AREA = 56 * 1024  # MICROPY_GC_INITIAL_HEAP_SIZE of an ESP32
AT_START = 2_336  # bytes that the interpreter holds before any program (seen on 1.25)
DENSE = 0.95  # share of the heap that can be filled before there are holes only; a guess
IN_ONE_PIECE = 0.75  # share of what is free: 38 of 51 kB, seen while our firmware serves
# idf_heap_info(HEAP_DATA) of a fresh start of 1.25: bytes, free, largest block, least ever free. The last one matters.
REGIONS = ((240, 4, 0, 4), (7288, 4, 0, 4), (16648, 4468, 4352, 4304), (85992, 11384, 11264, 11384))
REGIONS += ((15072, 14656, 14336, 14656), (113840, 112968, 110592, 112968))
# Seen with our firmware: 35 kB are free beside two areas of MicroPython's, 1,996 bytes in small blocks beside three.
WITH_WIFI = ((240, 4, 0, 4), (7288, 4, 0, 4), (16648, 992, 992, 992), (85992, 496, 480, 496), (15072, 496, 480, 496))
WIFI = 20_808  # bytes that Wi-Fi and lwIP take of the last region
FRAME = 1_600  # bytes of a received Wi-Fi frame: without a block of that size nothing is heard
TLS = 26_700  # bytes of the system's heap that mbedtls takes for a connection
PERIOD = 0.02  # s between two looks at what programs hold, if they do anything
SHARE = 10  # a look may take this part of the time that programs run
SPARE = 128 << 20  # bytes of this computer that the process may take beside what it has at first


class Memory:
    """MicroPython's heap and the system's, of the one board of this process; sizes are bytes."""

    def __init__(self) -> None:
        self._regions, self._free = REGIONS[:-1], REGIONS[-1][1]
        self._least = self._free
        self._looked, self._cost = 0.0, PERIOD
        self._areas: list[int] = []
        self._apart: dict[int, object] = {}  # by id
        self.begin(list)

    def start(self) -> None:
        """Begin to look at what programs hold, and bound what they can take of this computer."""
        pending.on_look = self._look_again
        threading.Thread(target=self._watch, daemon=True).start()
        with suppress(ImportError, OSError, ValueError):  # on Linux only
            import resource

            # Not ru_maxrss, which begins with that of the process that started this one.
            status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            taken = int(status["VmData"].split()[0]) * 1024
            resource.setrlimit(resource.RLIMIT_DATA, (taken + SPARE, resource.getrlimit(resource.RLIMIT_DATA)[1]))

    def begin(self, roots: Callable[[], Iterable[object]]) -> None:
        """Begin a life of the interpreter, in which `roots` yields what holds all that programs hold."""
        gc.freeze()  # what is there so far is no program's
        self._apart.clear()
        self.is_serving = False  # asyncio runs
        self._free += sum(self._areas[1:])
        self._roots = roots
        self._areas = [FIRST_AREA]
        self._held, self._more = AT_START, 0

    def set_apart(self, things: Iterable[object]) -> None:
        """Count these as no program's; before asyncio runs also what else there is so far, which is then too little.

        What is frozen stays for good, and so must not be what a program has loaded for a while.
        """
        if not self.is_serving:
            gc.freeze()
        else:
            self._apart.update((id(thing), thing) for thing in (self._apart, *things) if _is_container(thing))

    def _usable(self) -> int:
        return sum(self._areas) * 125 // 128  # the rest is the tables of its blocks

    @property
    def largest(self) -> int:
        """The largest block that the system's heap can give, rounded down as TLSF does (16 sizes to a power of 2)."""
        step = max(1, 1 << self._free.bit_length() >> 5)
        return self._free // step * step

    @property
    def is_deaf(self) -> bool:
        return max(self.largest, *(region[2] for region in self._regions)) < FRAME

    def use_wifi(self) -> None:
        """Take what Wi-Fi needs once there is a connection; it is not given back."""
        if self._regions is not WITH_WIFI:
            self._regions = WITH_WIFI
            self.take(WIFI)

    def take(self, n: int) -> None:
        """Take memory of the system; MemoryError where it has too little."""
        if n > self.largest:
            raise MemoryError
        self._free -= n
        self._least = min(self._least, self._free)

    def give(self, n: int) -> None:
        self._free += n

    def info(self) -> list[tuple[int, int, int, int]]:
        """Return of each region its size, what is free, the largest block and what was least ever free."""
        return [*self._regions, (REGIONS[-1][0], self._free, self.largest, self._least)]

    def alloc(self) -> int:
        """Return what gc.mem_alloc() does."""
        self.look()
        return self._held

    def free(self) -> int:
        """Return what gc.mem_free() does: the heap could grow by the system's largest block."""
        self.look()
        return max(0, self._usable() - self._held) + self.largest

    def allocate(self, n: int) -> None:
        """Have room for n bytes in one piece, or raise a MemoryError."""
        room = self._usable() - self._held - self._more
        self._more += max(0, n)
        if n > room * IN_ONE_PIECE:
            self.look(n)

    def look(self, n: int = 0) -> None:
        """Count what is held and have room for it and for n bytes more, or raise a MemoryError."""
        before = time.process_time()
        self._count()
        if not self._has_room(n):
            gc.collect()
            self._count()
        self._more = n
        self._looked = time.process_time()
        self._cost = self._looked - before
        while not self._has_room(n):
            self._grow(n)

    def _count(self) -> None:
        with pending:
            enough = self._usable() + self.largest
            # found before there is another list, which would be one
            containers = [thing for thing in gc.get_objects() if _is_container(thing) and id(thing) not in self._apart]
            self._held = AT_START + held([*containers, *self._roots(), *_locals()], pending.names, enough)

    def _has_room(self, n: int) -> bool:
        room = self._usable() * DENSE - self._held
        return n <= room * IN_ONE_PIECE if n else room >= 0

    def _grow(self, n: int) -> None:
        """Add an area to MicroPython's heap (gc_try_add_heap): as large as all before, or what the system has."""
        needed = n + max(2048, n * 13 // 512)
        if self.largest < needed:
            raise MemoryError(f"memory allocation failed, allocating {n or BLOCK} bytes")
        area = min(self.largest, max(sum(self._areas), needed))
        self._areas.append(area)
        self.take(area)

    def _look_again(self, frame: FrameType) -> None:
        """Look while a program runs, and let it fail where it may: in its own code."""
        try:
            self.look()
        except MemoryError as error:
            if frame.f_builtins is pending.names:
                raise_in(frame, error.with_traceback(None))

    def _watch(self) -> None:
        while True:
            time.sleep(PERIOD)
            if time.process_time() - self._looked > max(PERIOD / 10, SHARE * self._cost):
                pending.look()


def _is_container(thing: object) -> bool:
    """Tell what a running function may hold without a name: a list that is being made."""
    return type(thing) in (list, dict, set)


def _locals() -> Iterator[object]:
    """Yield what the running functions of a program hold."""
    frame = sys._getframe()
    while frame := frame.f_back:
        if frame.f_builtins is pending.names:
            variables = frame.f_locals
            yield from list(variables.values())
            if frame.f_code.co_flags & inspect.CO_OPTIMIZED and type(variables) is dict:
                variables.clear()  # a copy, which would keep them alive


memory = Memory()
