"""The board module `_chip`: what the stand-in modules may ask of the chip."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable

from . import frames
from .console import Console
from .errors import BoardOSError
from .interrupt import pending

HARD_RESET = 2  # machine.reset_cause() after a panic, too (modmachine.c)
SOFT_RESET = 5
SECTOR = 4096
FLASH_ERROR = (-0x6001, "ESP_ERR_FLASH_OP_FAIL")
BOARD_IP = "127.0.0.1"


class Chip:
    """Flash, resets, pins and timers of the chip.

    Its settings come from the parent and are its attributes: `running` (flash address of the running app),
    `reset_cause`, `mac` (6 bytes), `flash_size`, `http` (the port on this computer that stands for the board's port
    80), `ssid` and `password` (of the one network).
    """

    def __init__(self, settings: dict, console: Console) -> None:
        vars(self).update(settings, mac=bytes.fromhex(settings["mac"]))
        self.ip = BOARD_IP
        self._console = console
        self._alarms: set[threading.Timer] = set()

    def read(self, address: int, n: int) -> bytes:
        return self._request(frames.READ, struct.pack("<II", address, n))

    def write(self, address: int, data: bytes) -> None:
        self._request(frames.WRITE, struct.pack("<I", address) + data)

    def erase(self, address: int, n: int) -> None:
        with pending:  # a reset may stop a long erase between two sectors, Ctrl-C may not
            for sector in range(address, address + n, SECTOR):
                self._request(frames.ERASE, struct.pack("<II", sector, SECTOR))

    def _request(self, kind: int, payload: bytes) -> bytes:
        status, data = self._console.link.request(kind, payload)
        if status:
            raise BoardOSError(*FLASH_ERROR)
        return data

    def error(self, *args: object) -> BoardOSError:
        return BoardOSError(*args)

    def pin(self, number: int, value: int) -> None:
        self._console.link.send(frames.PIN, bytes([number, value]))

    def reset(self, cause: int) -> None:
        """Ask for a reset; the parent answers by ending this process."""
        with pending:
            self._console.link.send(frames.RESET, bytes([cause]))
            while True:
                time.sleep(60)

    def abort(self, message: str) -> None:
        self._console.print(f"\n{message}\n\nRebooting...\n")
        self.reset(HARD_RESET)

    def alarm(self, ms: int, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call` run between two steps of the program after `ms`; return a function that calls it off."""

        def due() -> None:
            if timer in self._alarms:  # not called off while it waited for its turn
                self._alarms.discard(timer)
                call()

        def call_off() -> None:
            timer.cancel()
            self._alarms.discard(timer)

        timer = threading.Timer(ms / 1000, pending.schedule, (due,))
        timer.daemon = True
        self._alarms.add(timer)
        timer.start()
        return call_off

    def stop_alarms(self) -> None:
        for timer in list(self._alarms):
            timer.cancel()
        self._alarms.clear()
