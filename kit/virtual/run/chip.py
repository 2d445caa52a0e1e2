"""The board module `_chip`: what the stand-in modules may ask of the chip."""

import os
import struct
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from . import frames
from .console import Console
from .errors import BoardOSError
from .interrupt import pending
from .memory import memory
from .modules import clock, start_clock, start_of

FLASH_ERROR = (-0x6001, "ESP_ERR_FLASH_OP_FAIL")
HARD_RESET, WDT_RESET, SOFT_RESET = 2, 3, 5  # machine.reset_cause(); a panic counts as hard (modmachine.c)
SECTOR = 4096
LONGEST_SLEEP = 2**40  # ms; a chip's timer ends before
# What ESP-IDF 5.4.2 says (components/esp_system/task_wdt/task_wdt.c) of MicroPython's watchdog (machine_wdt.c), with
# the milliseconds since the start, and without the addresses of a panic, which no code of a chip's has here.
WATCHDOG_BITES = """
E (%d) task_wdt: Task watchdog got triggered. The following tasks/users did not reset the watchdog in time:
E (%d) task_wdt:  - mpy_machine_wdt
E (%d) task_wdt: Tasks currently running:
E (%d) task_wdt: CPU 0: IDLE0
E (%d) task_wdt: CPU 1: mp_task
E (%d) task_wdt: Aborting.

Rebooting...
""".replace("\n", "\r\n")


class Chip:
    """Flash, resets, pins and timers of the chip: frames to and from the parent, which is the rest of it.

    Its settings come from the parent and are its attributes: `running` (flash address of the running app),
    `reset_cause`, `mac` (6 bytes), `flash_size`, `http` and `https` (the ports on this computer that stand for the
    board's 80 and 443), `ssid` and `password` (of the one network), `hosts` (names by which clients ask for it).
    `ports` has such ports by the board's own, `ip` is its address,
    `console` its UART, `memory` its RAM, `clock` its time, `kept` what its RTC remembers, and `error` makes what the
    board knows as OSError.
    """

    error, memory = BoardOSError, memory
    clock = staticmethod(clock)

    def __init__(self, settings: dict) -> None:
        vars(self).update(settings, mac=bytes.fromhex(settings["mac"]), ip="127.0.0.1")
        self.kept = bytes.fromhex(settings["kept"])
        start_clock(settings["start"])
        self.ports = {80: settings["http"], 443: settings["https"]}
        self.on_bind: Callable[[int], None] = lambda port: None  # called with each port that a program takes
        self._held = set(settings["held"])  # pins that a button holds low
        self._on_pin: dict[int, Callable[[int], None]] = {}  # what is called with the new level
        self._setting = threading.Lock()  # the clock is set: the chip hears of two times in the order of their coming
        self._name = self._told = ""
        self._alarms: weakref.WeakSet[threading.Event] = weakref.WeakSet()
        self._started = time.monotonic()
        self._fed = threading.Event()
        self._watchdog = threading.Thread(target=self._watch, daemon=True)
        self._input, self._output = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # a stray print of the host's libraries goes to stderr
        self._replies: SimpleQueue[bytes] = SimpleQueue()
        self.console = Console(partial(self._send, frames.SERIAL))
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        for kind, payload in frames.received(self._input):
            if kind == frames.PRESS:
                self._press(*payload)
            elif kind == frames.CLOCK:
                self._start_clock(payload)
            else:
                (self.console.receive if kind == frames.SERIAL else self._replies.put)(payload)
        os._exit(0)  # the parent has gone: so has the power

    def _press(self, number: int, held: int) -> None:
        (self._held.add if held else self._held.discard)(number)
        if call := self._on_pin.get(number):
            pending.schedule(lambda: call(1 - held))

    def _send_now(self, kind: int, payload: bytes) -> None:
        """Send one frame, whatever the program does: for threads of our own."""
        try:
            frames.send(self._output, kind, payload)
        except BrokenPipeError:
            os._exit(0)

    def _send(self, kind: int, payload: bytes) -> None:
        """Send one frame that no Ctrl-C tears: a torn one cannot be mended."""
        with pending:
            self._send_now(kind, payload)

    def _request(self, kind: int, payload: bytes) -> bytes:
        """Send a request for the flash and return the data of the reply."""
        with pending:
            self._send_now(kind, payload)
            reply = self._replies.get()
        if reply[0]:
            raise BoardOSError(*FLASH_ERROR)
        return reply[1:]

    def read(self, address: int, n: int) -> bytes:
        return self._request(frames.READ, struct.pack("<II", address, n))

    def read_into(self, address: int, view: memoryview) -> None:
        view[:] = self.read(address, len(view))

    def write(self, address: int, data: bytes) -> None:
        self._request(frames.WRITE, struct.pack("<I", address) + data)

    def erase(self, address: int, n: int) -> None:
        with pending:  # a reset may stop a long erase between two sectors, Ctrl-C may not
            for sector in range(address, address + n, SECTOR):
                self._request(frames.ERASE, struct.pack("<II", sector, SECTOR))

    def pin(self, number: int, level: int, mode: int) -> None:
        self._send(frames.PIN, struct.pack("<BBH", number, mode & 7, level))

    def set_clock(self, parts: tuple) -> None:
        """Set the clock to year, month, day, hour, minute, second, also for the starts that follow."""
        with pending:
            self._start_clock(struct.pack("<q", start_of(parts)))

    def _start_clock(self, start: bytes) -> None:
        with self._setting:
            start_clock(*struct.unpack("<q", start))
            self._send_now(frames.CLOCK, start)

    def keep(self, data: bytes) -> None:
        """Keep what machine.RTC.memory() is given."""
        self.kept = data
        self._send(frames.MEMORY, data)

    def is_held(self, number: int) -> bool:
        """Tell whether a button holds the pin low."""
        return number in self._held

    def watch_pin(self, number: int, call: Callable[[int], None] | None) -> None:
        """Have `call` run between two steps of the program whenever a button changes the pin, with its level."""
        self._on_pin[number] = call

    def reset(self, cause: int) -> None:
        """Ask for a reset; the parent answers by ending this process."""
        with pending:
            self._send(frames.RESET, bytes([cause]))
            threading.Event().wait()

    def sleep(self, ms: int) -> None:
        """Ask for deep sleep, which ends with a boot after `ms`; where that is negative with none."""
        with pending:
            self._send(frames.SLEEP, struct.pack("<q", max(-1, min(ms, LONGEST_SLEEP))))
            threading.Event().wait()

    def abort(self, message: str) -> None:
        self.console.print(f"\n{message}\n\nRebooting...\n")
        self.reset(HARD_RESET)

    def is_online(self) -> bool:
        """Tell whether the board is on the Wi-Fi network."""
        network = sys.modules.get("network")
        return network is not None and network.WLAN().isconnected()

    def named(self, hostname: str, is_online: bool) -> None:
        """Say which name answers mDNS queries: that of the first connection, until the next reset (network_wlan.c)."""
        if is_online:
            memory.use_wifi()
        self._name = self._name or (hostname if is_online else "")
        name = self._name if is_online else ""
        if name != self._told:
            self._told = name
            self._send(frames.NAME, name.encode())

    def watch(self, ms: int) -> None:
        """Reset the chip in `ms`, unless this is called again by then: whatever the program does, and for good."""
        self._patience = ms / 1000
        self._fed.set()
        if self._watchdog.ident is None:
            self._watchdog.start()

    def _watch(self) -> None:
        while self._fed.wait(self._patience):
            self._fed.clear()
        ms = int((time.monotonic() - self._started) * 1000)
        self._send_now(frames.SERIAL, WATCHDOG_BITES.replace("%d", str(ms)).encode())
        self._send_now(frames.RESET, bytes([WDT_RESET]))

    def alarm(self, ms: float, again: bool, call: Callable[[], None]) -> Callable[[], None]:
        """Have `call` run between two steps of the program after `ms`, or every `ms`; return what puts an end to it."""
        off = threading.Event()

        def count() -> None:
            while not off.wait(ms / 1000):
                pending.schedule(lambda: off.is_set() or call())  # it may be stopped once it is due
                if not again:
                    break

        self._alarms.add(off)
        threading.Thread(target=count, daemon=True).start()
        return off.set

    def stop_alarms(self) -> None:
        self._on_pin.clear()
        for off in self._alarms:
            off.set()
