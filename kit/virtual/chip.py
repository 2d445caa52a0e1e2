"""The chip of the virtual board: power, reset lines, ROM, and the child process in which the app runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from functools import partial, reduce
from operator import xor
from pathlib import Path

import kit
from kit.settings import Settings
from kit.virtual.board import _appimage
from kit.virtual.bootloader import Bootloader
from kit.virtual.flash import Flash, NoPowerError
from kit.virtual.mac import MAC
from kit.virtual.names import Names
from kit.virtual.pins import PINS, Pins
from kit.virtual.ports import reserve
from kit.virtual.rom import Rom
from kit.virtual.rtc import Rtc, start_of
from kit.virtual.run import frames
from kit.virtual.run.frames import CLOCK, ERASE, MEMORY, NAME, PIN, PRESS, READ, REPLY, RESET, SERIAL, SLEEP, WRITE
from kit.virtual.uart import SPEED, Uart

# MicroPython's machine.reset_cause() (ports/esp32/modmachine.c)
POWER_ON, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET = 1, 2, 3, 4
# Ours, for resets after which no program starts: by the ROM that found no bootloader, by the bootloader without an app
ROM_WATCHDOG, BOOTLOADER_RESET = -1, -2
BOOTLOADER_OFFSET = 0x1000
# EN rises slowly: its capacitor charges through 10 kΩ, and a host that lets go of RTS before it pulls DTR still gets
# download mode (esptool's reset sequence counts on it). Generous, since a loaded computer toggles the lines late.
EN_RISE = 0.4  # s
PATIENCE = 5.0  # s for a child to set its clock, which it does at once unless it hangs in C
RETRY = 0.5  # s from a start that failed to the next one; the ROM's watchdog takes about as long

ROM_BANNER = "ets Jul 29 2019 12:21:46\r\n\r\nrst:{},boot:{}\r\n"
ROM_SETTINGS = (
    "configsip: 0, SPIWP:0xee\r\n"
    "clk_drv:0x00,q_drv:0x00,d_drv:0x00,cs0_drv:0x00,hd_drv:0x00,wp_drv:0x00\r\n"
    "mode:DIO, clock div:2\r\n"
)
RESET_NAMES = {
    POWER_ON: "0x1 (POWERON_RESET)",
    HARD_RESET: "0xc (SW_CPU_RESET)",
    DEEPSLEEP_RESET: "0x5 (DEEPSLEEP_RESET)",
    WDT_RESET: "0xc (SW_CPU_RESET)",
    ROM_WATCHDOG: "0x10 (RTCWDT_RTC_RESET)",
    BOOTLOADER_RESET: "0x3 (SW_RESET)",
}
BOOT_FLASH, BOOT_DOWNLOAD = "0x13 (SPI_FAST_FLASH_BOOT)", "0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))"


class Chip:
    """One ESP32. Events (reset lines, resets that a program asks for) are handled one after the other, in one thread.

    Args:
        flash: its flash; stays when power goes.
        wifi: name and password of the one network in its reach.
        serial, http: TCP ports of its serial port and of its port 80; 0 lets the system choose, as it does for 443.
        mac: 6 bytes, its address.
        hosts: more names by which clients ask for it.
        last: the ports that both and 443 had before, taken where they are free and no other ones are asked for.
    """

    def __init__(
        self,
        flash: Flash,
        wifi: Settings,
        serial: int = 0,
        http: int = 0,
        mac: bytes = MAC,
        hosts: Collection[str] = (),
        last: Sequence[int] = (0, 0, 0),
    ) -> None:
        self.flash, self.wifi, self.mac, self.hosts = flash, wifi, mac, hosts
        flash.on_cut = partial(self._soon, self._halt)
        self._http_reserved, self.http = reserve(http, last[1])
        self._https_reserved, self.https = reserve(0, last[2])
        self.uart = Uart(serial, self._from_host, partial(self._soon, self._follow_lines), flash.pace, last[0])
        self.pins, self.names, self.rtc = Pins(), Names(self._print), Rtc()
        self._loop = asyncio.new_event_loop()
        self._busy = threading.Lock()  # an event happens
        self._in_reset = False  # EN is low, or rises
        self._alarm: asyncio.TimerHandle | None = None  # boots without being asked
        self.child: Child | None = None  # what runs; another one after every reset
        self._rom: Rom | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="chip", daemon=True)

    def start(self) -> None:
        """Begin to serve; where the flash has power, the board starts."""
        if self.flash.powered:  # asked now: the thread may come so late that power() has asked for a start as well
            self._soon(self.boot, POWER_ON)
        self._thread.start()
        self.uart.start()

    def stop(self) -> None:
        """Cut the power for good: nothing runs after this, and the ports are free."""
        self.uart.stop()
        self._soon(self._halt)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.names.stop()
        self._http_reserved.close()
        self._https_reserved.close()

    def power(self, on: bool) -> None:
        """Cut the power, or switch it on again, and return when that is done: a command of the control side."""
        if on != self.flash.powered:
            self.flash.powered = on
            self._soon(self.boot, POWER_ON)  # without power it only ends what runs
            self._settle()

    def press(self, pin: int, held: bool) -> None:
        """Hold a pin low as a pressed button does, or let go of it: a command of the control side."""
        if not (isinstance(pin, int) and pin in range(PINS)):
            raise ValueError(f"there is no GPIO {pin}")
        with self._busy:
            (self.pins.held.add if held else self.pins.held.discard)(pin)
            if self.child:
                self.child.send(PRESS, bytes([pin, bool(held)]))

    def set_clock(self, seconds: float) -> None:
        """Let the clock show so many seconds since 2000 from now on: a command of the control side."""
        self._settle()
        with self._busy:
            if not self.flash.powered:
                raise ValueError("without power there is no clock")
            self.rtc.start = start_of(seconds)
            if self.child:
                self.child.set_clock(self.rtc.start)

    def look(self) -> list[dict]:
        """Return what there is to see at the pins: a command of the control side; see Pins.seen."""
        self._settle()
        with self._busy:
            return self.pins.seen()

    def _settle(self) -> None:
        """Return once all has happened that was asked for before."""
        done = threading.Event()
        self._soon(done.set)
        done.wait()

    def _soon(self, act: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(self._do, act, *arguments)

    def _do(self, act: Callable[..., None], *arguments: object) -> None:
        with self._busy, contextlib.suppress(NoPowerError):  # while the bootloader wrote
            act(*arguments)

    # DTR pulls GPIO0 low and RTS pulls EN low, each only while the other line is not set: two transistors on every
    # development board, and esptool's "classic reset" is made for them.

    def _follow_lines(self, dtr: bool, rts: bool) -> None:
        if rts and not dtr:
            self._halt()
            self._in_reset = True
        elif self._in_reset and dtr and not rts:
            self._download(POWER_ON)
        elif self._in_reset and dtr:
            self._boot_after(EN_RISE, POWER_ON)
        elif self._in_reset:
            self.boot(POWER_ON)

    def _boot_after(self, seconds: float, cause: int) -> None:
        self._alarm = self._alarm or self._loop.call_later(seconds, self._do, self.boot, cause)

    def _halt(self) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = self._rom = None
        self.uart.speed = SPEED
        self._in_reset = False
        if self.child:
            self.child.kill()
            self.child = None
            self.pins.reset()
            self.names.answer_to("")

    def _download(self, cause: int) -> None:
        self._halt()
        if not self.flash.powered:
            return
        if cause == POWER_ON:
            self.rtc.forget()
        self._print(ROM_BANNER.format(RESET_NAMES[cause], BOOT_DOWNLOAD) + "waiting for download\r\n")
        restart, reload = (partial(self._soon, act, HARD_RESET) for act in (self.boot, self._download))
        self._rom = Rom(self.flash, self.mac, self.uart.send_slowly, restart, reload, self._set_speed)
        self.uart.speed = None  # the ROM measures it

    def boot(self, cause: int) -> None:
        """Start from flash; the cause is machine.reset_cause() of the program, or one of ours."""
        self._halt()
        if not self.flash.powered:
            return None
        if cause == POWER_ON:
            self.pins.forget()
            self.rtc.forget()
        self._print(ROM_BANNER.format(RESET_NAMES[cause], BOOT_FLASH))
        if not self._load_bootloader():
            return self._boot_after(RETRY, ROM_WATCHDOG)
        running = Bootloader(self.flash, self._print).select()
        if running is None:
            return self._boot_after(RETRY, BOOTLOADER_RESET)
        self.child = Child(self, running, cause, self.pins.held)

    def _load_bootloader(self) -> bool:
        """Print what the ROM prints while it loads the bootloader; False where it cannot."""
        header = self.flash.read(BOOTLOADER_OFFSET, 24)
        if header[0] != _appimage.MAGIC:
            self._print(f"invalid header: 0x{int.from_bytes(header[:4], 'little'):08x}\r\n" * 3)
            return False
        self._print(ROM_SETTINGS)
        checksum, end = 0xEF, BOOTLOADER_OFFSET + 24
        try:
            segments = _appimage.segments(self.flash.read, BOOTLOADER_OFFSET, header[1])
            for number, (address, load_address, length) in enumerate(segments):
                if number == 1:
                    self._print("ho 0 tail 12 room 4\r\n")
                self._print(f"load:0x{load_address:08x},len:{length}\r\n")
                checksum, end = reduce(xor, self.flash.read(address, length), checksum), address + length
            stored = self.flash.read(end | 15, 1)[0]  # the last byte of a block of 16
        except (OSError, ValueError):  # past the end of the flash, or of no length: the ROM stops without a word
            return False
        if checksum != stored:
            self._print(f"csum err:0x{checksum:02x}!=0x{stored:02x}\r\nets_main.c 384\r\n")
            return False
        self._print(f"entry 0x{int.from_bytes(header[4:8], 'little'):08x}\r\n")
        return True

    def sleep(self, ms: int) -> None:
        """Sleep deeply: nothing runs until the timer rings, and without one until EN or the power wakes the board."""
        self._halt()
        if ms >= 0:
            self._boot_after(ms / 1000 * self.flash.pace, DEEPSLEEP_RESET)

    def child_ended(self) -> None:
        """Go on after a child that ended without being killed."""
        self._print("virtual board: the run mode ended by itself; the board starts again\r\n")
        self._boot_after(RETRY, HARD_RESET)

    def _set_speed(self, speed: int) -> None:
        self.uart.speed = speed

    def _print(self, text: str) -> None:
        self.uart.write(text.encode())

    def _from_host(self, data: bytes) -> None:
        rom, child = self._rom, self.child  # both change in the chip's own thread
        if rom:
            with contextlib.suppress(NoPowerError):
                rom.feed(data)
        elif child:
            child.send(SERIAL, data)

    def child_asks(self, child: Child, act: Callable[..., None], *arguments: object) -> None:
        """Do what a child asks for, soon; one that has been killed by then is not heard."""
        self._soon(lambda: child is self.child and act(*arguments))


class Child:
    """The process in which the app runs: one from boot to reset.

    Args:
        chip: its board.
        running: flash address of the slot that runs.
        cause: machine.reset_cause() of this boot.
        held: the pins that a button holds low.
    """

    def __init__(self, chip: Chip, running: int, cause: int, held: Collection[int]) -> None:
        self._chip = chip
        birth = {
            "running": running,
            "reset_cause": cause,
            "mac": chip.mac.hex(),
            "flash_size": chip.flash.size,
            "http": chip.http,
            "https": chip.https,
            "ssid": chip.wifi.wifi_ssid,
            "password": chip.wifi.wifi_password,
            "hosts": list(chip.hosts),
            "held": list(held),
            "start": chip.rtc.start,
            "kept": chip.rtc.memory.hex(),
        }
        self._process = subprocess.Popen(
            # -P: a learner's own random.py in the working folder must not be found instead of Python's
            [sys.executable, "-P", "-m", "kit.virtual.run", json.dumps(birth)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(Path(kit.__file__).parents[1]), "PYTHONIOENCODING": "utf-8"},
        )
        self._lock = threading.Lock()
        self._has_clock = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="child", daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """End it at once, whatever it does; returns when its last flash operation is over."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def set_clock(self, start: int) -> None:
        """Set its clock; returns when that is done, whatever its program does, or when it has ended."""
        self._has_clock.clear()
        self.send(CLOCK, struct.pack("<q", start))
        self._has_clock.wait(PATIENCE)

    def send(self, kind: int, payload: bytes) -> None:
        """Send one frame to the child."""
        with self._lock, contextlib.suppress(OSError, ValueError):  # it may end at any moment; its bytes are then lost
            frames.send(self._process.stdin, kind, payload)

    def _serve(self) -> None:
        with self._process.stdout as pipe:
            for kind, payload in frames.received(pipe):
                with contextlib.suppress(NoPowerError):  # the program gets no answer, and waits until it is ended
                    self._handle(kind, payload)
        self._has_clock.set()
        self._chip.child_asks(self, self._chip.child_ended)

    def _handle(self, kind: int, payload: bytes) -> None:
        if kind == SERIAL:
            self._chip.uart.write(payload)
        elif kind == RESET:
            self._chip.child_asks(self, self._chip.boot, payload[0])
        elif kind == SLEEP:
            self._chip.child_asks(self, self._chip.sleep, *struct.unpack("<q", payload))
        elif kind == CLOCK:
            [self._chip.rtc.start] = struct.unpack("<q", payload)
            self._has_clock.set()
        elif kind == MEMORY:
            self._chip.rtc.memory = payload
        elif kind == PIN:
            self._chip.child_asks(self, self._chip.pins.drive, *struct.unpack("<BBH", payload))
        elif kind == NAME:
            self._chip.child_asks(self, self._chip.names.answer_to, payload.decode())
        else:
            flash, address, rest = self._chip.flash, int.from_bytes(payload[:4], "little"), payload[4:]
            operation = {READ: flash.read, WRITE: flash.write, ERASE: flash.erase}[kind]
            try:
                data = operation(address, rest if kind == WRITE else int.from_bytes(rest, "little"))
                self.send(REPLY, b"\0" + (data or b""))
            except OSError:
                self.send(REPLY, b"\1")
