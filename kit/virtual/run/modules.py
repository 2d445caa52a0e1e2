"""Small built-in modules: MicroPython's names and behaviour over this computer's libraries."""

from __future__ import annotations

import calendar
import importlib
import operator
import os
import struct
import sys
import time
from collections.abc import Callable
from types import ModuleType

from .errors import ERRNO, NAMES
from .interrupt import pending

VERSION = (1, 26, 0)
RELEASE = "v1.26.0 on 2025-08-09"
MACHINE = f"virtual board (CPython {sys.version_info.major}.{sys.version_info.minor}, no Xtensa code runs) with ESP32"
EPOCH = 946684800  # 2000-01-01 in seconds since 1970: where the ESP32's clock starts
TICKS = 1 << 30  # MICROPY_PY_TIME_TICKS_PERIOD
# Modelled, not measured: what an ESP32 with Wi-Fi and a web server has left of its MicroPython heap.
HEAP_FREE, HEAP_USED = 130_000, 36_000

# modules that differ from this computer's only in having fewer names
SUBSETS = {
    "array": "array",
    "binascii": "a2b_base64 b2a_base64 crc32 hexlify unhexlify",
    "collections": "OrderedDict deque namedtuple",
    "heapq": "heapify heappop heappush",
    "math": "acos acosh asin asinh atan atan2 atanh ceil copysign cos cosh degrees e erf erfc exp expm1 fabs floor "
    "fmod frexp gamma inf isclose isfinite isinf isnan ldexp lgamma log log10 log2 modf nan pi pow radians sin sinh "
    "sqrt tan tanh tau trunc",
    "random": "choice getrandbits randint random randrange seed uniform",
    "re": "compile match search sub",
}

_start = time.monotonic()


def module(name: str, **names: object) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(names)
    return made


def attrtuple(**fields: object) -> tuple:
    """A tuple with named fields, printed as MicroPython prints os.uname() (py/objattrtuple.c)."""
    members = {name: property(operator.itemgetter(index)) for index, name in enumerate(fields)}
    text = ", ".join(f"{name}={value!r}" for name, value in fields.items())
    return type("attrtuple", (tuple,), {**members, "__repr__": lambda self: f"({text})"})(fields.values())


def _subset(name: str) -> ModuleType:
    host = importlib.import_module(name)
    return module(name, **{item: getattr(host, item) for item in SUBSETS[name].split()})


def _errno() -> ModuleType:
    return module("errno", **ERRNO, errorcode=dict(NAMES))


def _gc() -> ModuleType:
    import gc

    return module(
        "gc",
        collect=gc.collect,
        threshold=lambda amount=-1: -1,
        mem_free=lambda: HEAP_FREE,
        mem_alloc=lambda: HEAP_USED,
    )


def _value_errors(function: Callable) -> Callable:
    """struct.error is a plain ValueError on the chip."""

    def call(*args: object, **kwargs: object) -> object:
        try:
            return function(*args, **kwargs)
        except struct.error as error:
            raise ValueError(str(error)) from None

    return call


def _struct() -> ModuleType:
    names = ("calcsize", "pack", "pack_into", "unpack", "unpack_from")
    return module("struct", **{name: _value_errors(getattr(struct, name)) for name in names})


def _json() -> ModuleType:
    import json

    def loads(text: str | bytes) -> object:
        try:
            return json.loads(text)
        except ValueError:
            raise ValueError("syntax error in JSON") from None

    def dumps(value: object, separators: tuple | None = None) -> str:
        return json.dumps(value, separators=separators, ensure_ascii=False)

    return module(
        "json",
        loads=loads,
        load=lambda stream: loads(stream.read()),
        dumps=dumps,
        dump=lambda value, stream, separators=None: stream.write(dumps(value, separators)) and None,
    )


def _hashlib() -> ModuleType:
    import hashlib

    class Hash:
        """A digest can be asked for once, then the hash is final (extmod/modhashlib.c)."""

        def __init__(self, data: bytes = b"") -> None:
            self._hash = hashlib.new(type(self).__name__, data)

        def update(self, data: bytes) -> None:
            self._open().update(data)

        def digest(self) -> bytes:
            digest = self._open().digest()
            self._hash = None
            return digest

        def _open(self) -> object:
            if self._hash is None:
                raise ValueError("hash is final")
            return self._hash

    return module("hashlib", **{name: type(name, (Hash,), {}) for name in ("md5", "sha1", "sha256")})


def _platform() -> ModuleType:
    version = ".".join(map(str, VERSION))
    return module("platform", platform=lambda: f"MicroPython-{version}-virtual-with-CPython")


def _time() -> ModuleType:
    def seconds() -> int:
        return int(time.monotonic() - _start)

    def gmtime(when: int | None = None) -> tuple:
        parts = time.gmtime((seconds() if when is None else when) + EPOCH)
        return (*parts[:6], parts.tm_wday, parts.tm_yday)

    def ticks(per_second: int) -> Callable[[], int]:
        return lambda: int((time.monotonic() - _start) * per_second) % TICKS

    return module(
        "time",
        time=seconds,
        time_ns=lambda: int((time.monotonic() - _start) * 1e9),
        gmtime=gmtime,
        localtime=gmtime,
        mktime=lambda parts: calendar.timegm((*parts[:6], 0, 0, 0)) - EPOCH,
        sleep=lambda seconds: time.sleep(max(0, seconds)),
        sleep_ms=lambda ms: time.sleep(max(0, ms) / 1e3),
        sleep_us=lambda us: time.sleep(max(0, us) / 1e6),
        ticks_ms=ticks(1_000),
        ticks_us=ticks(1_000_000),
        ticks_cpu=ticks(1_000_000),
        ticks_add=lambda start, delta: (start + delta) % TICKS,
        ticks_diff=lambda end, start: (end - start + TICKS // 2) % TICKS - TICKS // 2,
    )


def _micropython() -> ModuleType:
    def kbd_intr(char: int) -> None:
        pending.char = char

    return module(
        "micropython",
        const=lambda value: value,
        kbd_intr=kbd_intr,
        mem_info=lambda verbose=False: None,
        opt_level=lambda level=0: None,
        schedule=lambda function, argument: pending.schedule(lambda: function(argument)),
    )


PLAIN = {
    "errno": _errno,
    "gc": _gc,
    "hashlib": _hashlib,
    "json": _json,
    "micropython": _micropython,
    "platform": _platform,
    "struct": _struct,
    "time": _time,
}


def plain_module(name: str) -> ModuleType | None:
    """Make a module that needs nothing of the board."""
    if name in SUBSETS:
        return _subset(name)
    return PLAIN[name]() if name in PLAIN else None


def io_module(open_file: Callable) -> ModuleType:
    import io

    class IOBase:
        """Base of streams written in Python."""

    return module("io", open=open_file, IOBase=IOBase, StringIO=io.StringIO, BytesIO=io.BytesIO)


def os_module(mounts: object, vfs: dict) -> ModuleType:
    names = ("chdir", "getcwd", "ilistdir", "listdir", "mkdir", "remove", "rename", "rmdir", "stat", "statvfs")
    version = ".".join(map(str, VERSION))
    uname = attrtuple(sysname="esp32", nodename="esp32", release=version, version=RELEASE, machine=MACHINE)
    return module(
        "os",
        **{name: getattr(mounts, name) for name in names},
        **vfs,
        unlink=mounts.remove,
        sync=lambda: None,
        urandom=os.urandom,
        uname=lambda: uname,
    )
