"""Who updates which board through the air, so that no cable disturbs it: locks that are good for all processes."""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import platformdirs

from kit.lock import lock_file

DEFAULT_PORTS = {"http": 80, "https": 443}
LOCKED = 4096  # the byte that is locked, where Windows would let nobody read what stands in front
_ports: dict[str, str] = {}  # by host and port of a web server: the serial port of the same board


def meet(url: str, address: str) -> None:
    """Remember that a web server and a serial port belong to the same board."""
    with suppress(TypeError, ValueError):  # no URL: whoever uses it will say so
        _ports[_place(url)] = address


@contextmanager
def uploading(url: str, ip: object) -> Iterator[None]:
    """Name this process, while a block runs, as the one that updates a board.

    Where that cannot be noted, or somebody else is noted, the block runs all the same: a board takes one at a time.

    Args:
        url: where the board's web server is reached.
        ip: what the board says it is.
    """
    place = _place(url)
    places = {place, f"{ip}:{place.rpartition(':')[2]}"}
    with ExitStack() as locks:
        for name in places | {_ports[place] for place in places & _ports.keys()}:
            with suppress(OSError):
                file = locks.enter_context(_opened(name))
                lock_file(file.fileno())
                file.truncate(0)
                file.seek(0)
                file.write(_myself().encode(errors="replace"))
                file.flush()
        yield


def uploader(address: str) -> str:
    """Return who updates the board at a serial port, empty where nobody does."""
    for name in (address, *(place for place, port in _ports.items() if port == address)):
        with suppress(OSError), _opened(name) as file:
            try:
                lock_file(file.fileno())
            except BlockingIOError:
                file.seek(0)
                return file.read(LOCKED).decode("utf-8", "replace") or "another program"
    return ""


def _place(url: str) -> str:
    parts = urlsplit(url if "//" in url else f"//{url}")
    return f"{parts.hostname}:{parts.port or DEFAULT_PORTS.get(parts.scheme, 80)}"


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    folder = platformdirs.user_data_path("esp32-ota-kit") / "uploads"
    folder.mkdir(0o700, parents=True, exist_ok=True)
    path = folder / hashlib.sha256(name.encode(errors="replace")).hexdigest()[:16]
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        file.seek(LOCKED)
        yield file


def _myself() -> str:
    """Return what a reader knows this process by: Jupyter tells a kernel of its notebook."""
    notebook = os.environ.get("JPY_SESSION_NAME")
    return f"{Path(notebook or sys.argv[0]).name or 'Python'}, process {os.getpid()}"
