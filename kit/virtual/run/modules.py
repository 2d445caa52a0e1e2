"""Small built-in modules: MicroPython's names and behaviour over this computer's libraries."""

import binascii
import calendar
import collections
import gc
import hashlib
import importlib
import json
import operator
import os
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterable

from .errors import ERRNO, NAMES, board_error
from .interrupt import pending
from .memory import memory
from .streams import Stream, as_bytes

VERSION = (1, 26, 0)
RELEASE = "v1.26.0 on 2025-08-09"
MACHINE = f"virtual board (CPython {sys.version_info.major}.{sys.version_info.minor}, no Xtensa code runs) with ESP32"
EPOCH = 946684800  # 2000-01-01 in seconds since 1970: where the ESP32's clock starts
PIECE = 512  # bytes that are decompressed at a time
TICKS = 1 << 30  # MICROPY_PY_TIME_TICKS_PERIOD

# modules that differ from this computer's only in having fewer names
SUBSETS = {
    "array": "array",
    "heapq": "heapify heappop heappush",
    "math": "acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh degrees e erf erfc exp expm1 fabs floor "
    "fmod frexp gamma inf isclose isfinite isinf isnan ldexp lgamma log log10 log2 modf nan pi pow radians sin sinh "
    "sqrt tan tanh tau trunc",
    "random": "choice getrandbits randint random randrange seed uniform",
    "re": "compile match search sub",
}
OF_BINASCII = "a2b_base64 b2a_base64 crc32 hexlify unhexlify"
OF_STRUCT = "calcsize pack pack_into unpack unpack_from"

_born = time.monotonic()
_start = time.monotonic_ns()  # when the clock would have shown 2000-01-01 00:00:00


def attrtuple(**fields: object) -> tuple:
    """A tuple with named fields, printed as MicroPython prints os.uname() (py/objattrtuple.c)."""
    members = {name: property(operator.itemgetter(index)) for index, name in enumerate(fields)}
    text = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    return type("attrtuple", (tuple,), {**members, "__repr__": lambda self: f"({text})"})(fields.values())


def _of_buffers(function: Callable) -> Callable:
    """A function that takes a str for a buffer, and whose errors are plain ValueErrors."""

    def call(*args: object, **kwargs: object) -> object:
        try:
            return function(*map(as_bytes, args), **kwargs)
        except (struct.error, binascii.Error) as error:
            raise ValueError(str(error)) from None

    return call


def _loads(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("syntax error in JSON") from None


def _dumps(value: object, separators: tuple | None = None) -> str:
    return json.dumps(value, separators=separators, ensure_ascii=False, default=_plain)


def _plain(thing: object) -> str:
    """What MicroPython makes of a thing that JSON does not know: what print would (py/obj.c, PRINT_JSON)."""
    return thing.decode("latin-1") if isinstance(thing, bytes | bytearray) else str(thing)


class Hash:
    """A digest can be asked for once, then the hash is final (extmod/modhashlib.c)."""

    def __init__(self, data: bytes = b"") -> None:
        self._hash = hashlib.new(type(self).__name__, as_bytes(data))

    def update(self, data: bytes) -> None:
        self._open().update(as_bytes(data))

    def digest(self) -> bytes:
        final, self._hash = self._open(), None
        return final.digest()

    def _open(self) -> object:
        if self._hash is None:
            raise ValueError("hash is final")
        return self._hash


class DeflateIO(Stream):
    """A stream of what another one holds compressed; the ESP32's builds only decompress (extmod/moddeflate.c)."""

    FORMATS = (47, -15, 15, 31)  # zlib's wbits for AUTO, RAW, ZLIB, GZIP

    def __init__(self, stream: object, format: int = 0, wbits: int = 0, close: bool = False) -> None:
        self._stream, self._closes, self._data = stream, close, b""
        self._inflate = zlib.decompressobj(self.FORMATS[format])

    def receive(self, view: memoryview) -> int:
        # It takes no byte more than it needs; whoever closes the stream with it cannot tell.
        piece = bytearray(PIECE if self._closes else 1)
        try:
            while not self._data and not self._inflate.eof:
                if not (n := self._stream.readinto(piece)):
                    raise EOFError
                self._data = self._inflate.decompress(piece[:n])
        except zlib.error:
            raise board_error("EINVAL") from None
        n = min(len(view), len(self._data))
        view[:n], self._data = self._data[:n], self._data[n:]
        return n

    def write(self, data: bytes) -> int:
        raise board_error("EINVAL")

    def close(self) -> None:
        if self._closes:
            self._stream.close()


class IOBase:
    """Base of streams written in Python."""


def _elapsed(per_second: int) -> int:
    return int((time.monotonic() - _born) * per_second)


def _now(per_second: int = 1) -> int:
    return (time.monotonic_ns() - _start) * per_second // 10**9


def _gmtime(when: int | None = None) -> tuple:
    parts = time.gmtime((_now() if when is None else when) + EPOCH)
    return (*parts[:6], parts.tm_wday, parts.tm_yday)


def _mktime(parts: tuple) -> int:
    return calendar.timegm((*parts[:6], 0, 0, 0)) - EPOCH


def clock() -> tuple:
    """Return what RTC.datetime() does."""
    year, month, day, *time_of_day, weekday, _ = _gmtime()
    return (year, month, day, weekday, *time_of_day, _now(1_000_000) % 1_000_000)


def start_clock(start: int) -> None:
    """Let the clock show what it does where it showed 2000-01-01 at `start`; ticks do not follow."""
    global _start
    _start = start


def start_of(parts: tuple) -> int:
    """Return the start of a clock that shows year, month, day, hour, minute, second now."""
    return time.monotonic_ns() - _mktime(parts) * 10**9


def _kbd_intr(char: int) -> None:
    pending.char = char


def _subset(name: str, items: str) -> dict[str, object]:
    return {item: getattr(importlib.import_module(name), item) for item in items.split()}


def _deque(iterable: Iterable, maxlen: int) -> collections.deque:
    """Neither argument may be missing on the chip (py/objdeque.c)."""
    return collections.deque(iterable, maxlen)


UNAME = attrtuple(sysname="esp32", nodename="esp32", release="1.26.0", version=RELEASE, machine=MACHINE)

# names in the modules that need nothing of the board
PLAIN = {
    **{name: _subset(name, items) for name, items in SUBSETS.items()},
    "binascii": {name: _of_buffers(getattr(binascii, name)) for name in OF_BINASCII.split()},
    "collections": {**_subset("collections", "OrderedDict namedtuple"), "deque": _deque},
    "deflate": {"DeflateIO": DeflateIO, "AUTO": 0, "RAW": 1, "ZLIB": 2, "GZIP": 3},
    "errno": {**ERRNO, "errorcode": NAMES},
    "gc": {
        "collect": gc.collect,
        "threshold": lambda amount=-1: -1,
        "mem_free": memory.free,
        "mem_alloc": memory.alloc,
    },
    "hashlib": {name: type(name, (Hash,), {}) for name in ("md5", "sha1", "sha256")},
    "json": {
        "loads": _loads,
        "load": lambda stream: _loads(stream.read()),
        "dumps": _dumps,
        "dump": lambda value, stream, separators=None: stream.write(_dumps(value, separators)) and None,
    },
    "micropython": {
        "const": lambda value: value,
        "kbd_intr": _kbd_intr,
        "mem_info": lambda verbose=False: None,
        "schedule": lambda function, argument: pending.schedule(lambda: function(argument)),
    },
    "os": {"sync": lambda: None, "urandom": os.urandom, "uname": lambda: UNAME},
    "platform": {"platform": lambda: f"MicroPython-{'.'.join(map(str, VERSION))}-virtual-with-CPython"},
    "struct": {name: _of_buffers(getattr(struct, name)) for name in OF_STRUCT.split()},
    "time": {
        "time": _now,
        "time_ns": lambda: _now(1_000_000_000),
        "gmtime": _gmtime,
        "localtime": _gmtime,
        "mktime": _mktime,
        "sleep": lambda seconds: time.sleep(max(0, seconds)),
        "sleep_ms": lambda ms: time.sleep(max(0, ms) / 1e3),
        "sleep_us": lambda us: time.sleep(max(0, us) / 1e6),
        "ticks_ms": lambda: _elapsed(1_000) % TICKS,
        "ticks_us": lambda: _elapsed(1_000_000) % TICKS,
        "ticks_cpu": lambda: _elapsed(1_000_000) % TICKS,
        "ticks_add": lambda start, delta: (start + delta) % TICKS,
        "ticks_diff": lambda end, start: (end - start + TICKS // 2) % TICKS - TICKS // 2,
    },
}
