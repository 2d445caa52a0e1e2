"""The board module `_chip`: what the stand-in modules may ask of the chip."""

import struct
import sys
import threading
import weakref
from collections.abc import Callable

from . import frames
from .console import Console
from .errors import BoardOSError
from .interrupt import pending

HARD_RESET, WDT_RESET, SOFT_RESET = 2, 3, 5  # machine.reset_cause(); a panic counts as hard (modmachine.c)
SECTOR = 4096
# the beginning of what ESP-IDF 5.4.2 says: components/esp_system/task_wdt/task_wdt.c
WATCHDOG_BITES = b"\r\nE task_wdt: Task watchdog got triggered.\r\n"


class Chip:
    """Flash, resets, pins and timers of the chip.

    Its settings come from the parent and are its attributes: `running` (flash address of the running app),
    `reset_cause`, `mac` (6 bytes), `flash_size`, `http` (the port on this computer that stands for the board's port
    80), `ssid` and `password` (of the one network), `held` (pins that a button holds low). `ports` has such ports by
    the board's own, `ip` is its address, and `error` makes what the board knows as OSError.
    """

    error = BoardOSError

    def __init__(self, settings: dict, console: Console) -> None:
        vars(self).update(settings, mac=bytes.fromhex(settings["mac"]), ip="127.0.0.1", ports={80: settings["http"]})
        self._console, self._link = console, console.link
        self._name = self._told = ""
        self._link.held.update(settings["held"])
        self._alarms: weakref.WeakSet[threading.Event] = weakref.WeakSet()
        self._fed = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, daemon=True)

    def read(self, address: int, n: int) -> bytes:
        return self._link.request(frames.READ, struct.pack("<II", address, n))

    def write(self, address: int, data: bytes) -> None:
        self._link.request(frames.WRITE, struct.pack("<I", address) + data)

    def erase(self, address: int, n: int) -> None:
        with pending:  # a reset may stop a long erase between two sectors, Ctrl-C may not
            for sector in range(address, address + n, SECTOR):
                self._link.request(frames.ERASE, struct.pack("<II", sector, SECTOR))

    def pin(self, number: int, level: int, mode: int) -> None:
        with pending:
            self._link.send(frames.PIN, struct.pack("<BBH", number, mode & 7, level))

    def is_held(self, number: int) -> bool:
        """Tell whether a button holds the pin low."""
        return number in self._link.held

    def reset(self, cause: int) -> None:
        """Ask for a reset; the parent answers by ending this process."""
        with pending:
            self._link.send(frames.RESET, bytes([cause]))
            threading.Event().wait()

    def abort(self, message: str) -> None:
        self._console.print(f"\n{message}\n\nRebooting...\n")
        self.reset(HARD_RESET)

    def is_online(self) -> bool:
        """Tell whether the board is on the Wi-Fi network."""
        network = sys.modules.get("network")
        return network is not None and network.WLAN().isconnected()

    def named(self, hostname: str, is_online: bool) -> None:
        """Say which name answers mDNS queries: that of the first connection, until the next reset (network_wlan.c)."""
        self._name = self._name or (hostname if is_online else "")
        name = self._name if is_online else ""
        if name != self._told:
            self._told = name
            with pending:
                self._link.send(frames.NAME, name.encode())

    def watch(self, ms: int) -> None:
        """Reset the chip in `ms`, unless this is called again by then: whatever the program does, and for good."""
        self._patience = ms / 1000
        self._fed.set()
        if self._watchdog.ident is None:
            self._watchdog.start()

    def _watch(self) -> None:
        while self._fed.wait(self._patience):
            self._fed.clear()
        self._link.send(frames.SERIAL, WATCHDOG_BITES)
        self._link.send(frames.RESET, bytes([WDT_RESET]))

    def alarm(self, ms: float, again: bool, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call` run between two steps of the program after `ms`, or every `ms`; return what puts an end to it."""
        off = threading.Event()

        def due() -> None:
            if not off.is_set():  # since it came to be due
                call()

        def count() -> None:
            while not off.wait(ms / 1000):
                pending.schedule(due)
                if not again:
                    break

        self._alarms.add(off)
        threading.Thread(target=count, daemon=True).start()
        return off.set

    def stop_alarms(self) -> None:
        for off in self._alarms:
            off.set()
