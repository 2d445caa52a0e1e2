"""What a board prints while something else goes on."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, suppress

from kit.board.port import open_port
from kit.errors import BoardError

POLL = 0.05  # s
PATIENCE = 30.0  # s; a start takes a few


class Listener(AbstractContextManager):
    """Collects what a board prints while a `with` block runs, and shows itself as this text.

    Raises:
        AddressError: the port may not be opened; it is held as long as the block runs.
    """

    def __init__(self, address: str) -> None:
        self._opening = open_port(address)
        self._data = bytearray()
        self._seen = 0  # bytes up to what was waited for
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._collect, name="listener", daemon=True)

    def __repr__(self) -> str:
        return self._data.decode("utf-8", "replace").replace("\r\n", "\n").strip()

    def lines(self, *words: str) -> list[str]:
        """Return the lines in which one of some words stands."""
        return [line for line in repr(self).splitlines() if any(word in line for word in words)]

    def wait_for(self, text: str) -> None:
        """Return once the board has printed a text, behind the one that was waited for before.

        Raises:
            BoardError: it has not done so within 30 s.
        """
        end = time.monotonic() + PATIENCE
        while (at := self._data.find(text.encode(), self._seen)) < 0:
            if time.monotonic() > end:
                advice = "Look at what it has printed: the name behind `as` shows it."
                raise BoardError(f"The board has not printed {text!r} within {PATIENCE:.0f} s.", advice)
            time.sleep(POLL)
        self._seen = at + len(text)

    def __enter__(self) -> Listener:
        self._port = self._opening.__enter__()
        self._port.timeout = POLL
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._opening.__exit__(None, None, None)

    def _collect(self) -> None:
        with suppress(OSError):  # the board is gone, which the block notices
            while not self._over.is_set() or self._port.in_waiting:
                self._data += self._port.read(max(1, self._port.in_waiting))
