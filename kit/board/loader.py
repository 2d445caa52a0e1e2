"""A stay in download mode, where esptool reads and writes the flash.

esptool 5.6 is bent here: its logger, which prints, is replaced for the length of a verb by one that only moves a
progress bar (its documented TemplateLogger); a second `set_logger` is refused as long as the first logger stands in
`EspLog.instance`, so that is put back. And its HexFormatter, meant to be lazy, writes out every packet three times for
a trace that nobody asked for, which is nine tenths of its time: for the length of a verb a lazier one stands there.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from operator import methodcaller
from typing import TypeVar

import serial
from esp_pylib.logger import EspLog
from esptool import cmds, loader
from esptool.logger import TemplateLogger, log
from esptool.util import FatalError, flash_size_bytes

from kit.board.port import BAUD_RATE, has_reset_lines
from kit.errors import BoardError

CHIP = "ESP32"
RATES = (921600, 460800, BAUD_RATE)  # baud; not every adapter and cable can do the first ones
PROBE = 4096  # bytes; some that arrive say little about a rate
PIECE = 0x10000  # bytes; a flash chip erases such a block in a fraction of the time of its sectors
# esptool must not change flash size and mode in the bootloader's header, which the release chose.
KEEP = dict.fromkeys(("flash_mode", "flash_freq", "flash_size"), "keep")
ERASE_PIECE = 0x40000  # bytes; a chip takes about a second for as many
ATTEMPTS = 3  # esptool's own default is 7, which is half a minute of dots when nothing is plugged in
# What a chip in download mode answers; see "Initial Synchronization" in esptool's "Serial Protocol".
SYNC = b"\xc0\x00\x08\x24\x00\x00\x00\x00\x00\x07\x07\x12\x20" + b"\x55" * 32 + b"\xc0"
SYNC_REPLY, SYNC_PATIENCE = b"\xc0\x01\x08", 0.2  # s
DATA_CABLE, NO_LINES = "Is the cable made for data, not only for charging? Else", "This port cannot bring it there:"
BY_HAND = "hold the BOOT button, press EN, let go of both, and run the cell again."

OnProgress = Callable[[int], None]
Result = TypeVar("Result")


class QuietLog(TemplateLogger):
    """Says nothing, and tells how many bytes are done: those of the files `before`, and of the one of `size` now.

    esptool counts each file anew, in compressed bytes.
    """

    def __init__(self, on_progress: OnProgress) -> None:
        self.before = self.size = 0
        self._on_progress = on_progress

    def print(self, *args: object, **_: object) -> None:
        pass

    note = warning = error = stage = set_verbosity = print

    def progress_bar(self, cur_iter: int, total_iters: int, *_: object, **__: object) -> None:
        self._on_progress(self.before + self.size * cur_iter // total_iters)


class Untraced(loader.HexFormatter):
    """Nothing, in the place of a packet."""

    def __str__(self) -> str:
        return ""


class Loader:
    """The chip in download mode, with esptool's stub running on it, at the highest rate that the line bears.

    `chip` is what it calls itself by its eFuses, `flash_size` the bytes that its flash chip names.
    """

    def __init__(self, port: serial.SerialBase, log: QuietLog) -> None:
        self._port, self._log = port, log
        # What cannot be reset cannot be brought back from a rate either, and beyond a socket nobody sets one.
        self._rates = RATES if has_reset_lines(port) else (BAUD_RATE,)
        self._esp: cmds.ESPLoader | None = None
        self.chip = self._do(methodcaller("get_chip_description"))
        self.flash_size = flash_size_bytes(self._do(cmds.detect_flash_size) or "16MB")  # as many as it can address

    def write(self, files: list[tuple[int, bytes]]) -> None:
        """Write each (address, data), but what is there already, and have the chip's MD5 of it compared."""
        self._log.before = 0
        for address, data in files:
            self._write(address, data)

    def _write(self, address: int, data: bytes) -> None:
        def is_there(place: int) -> bool:
            piece = data[place : place + PIECE]
            found = self._do(methodcaller("flash_md5sum", address + place, len(piece)))
            return found == hashlib.md5(piece).hexdigest()

        for there, run in groupby(range(0, len(data), PIECE), is_there):
            start, *rest = run
            changed = data[start : start + PIECE * (1 + len(rest))]
            self._log.size = len(changed)
            if not there:
                self._do(partial(cmds.write_flash, addr_data=[(address + start, changed)], **KEEP))
            self._log.before += len(changed)

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes of flash."""
        if address + length > self.flash_size:  # past its end a flash chip begins anew
            raise BoardError(f"The flash ends at 0x{self.flash_size:x}.", "Read less, or from further ahead.")
        return self._do(methodcaller("read_flash", address, length))

    def erase(self, on_progress: OnProgress = lambda done: None) -> None:
        """Erase the whole flash, piece by piece: the command for all of it tells nothing until it is over."""
        for start in range(0, self.flash_size, ERASE_PIECE):
            self._do(methodcaller("erase_region", start, ERASE_PIECE))
            on_progress(start + ERASE_PIECE)

    def _do(self, work: Callable[[cmds.ESPLoader], Result]) -> Result:
        """Have the chip do something; where the line fails, reset the chip and have it done again at the next rate."""
        while True:
            try:
                self._esp = self._esp or _connected(self._port, self._rates[0])
                return work(self._esp)
            except (FatalError, ValueError):  # ValueError: pyserial's, of a rate that the driver does not know
                if len(self._rates) == 1:
                    raise
                self._esp, self._rates = None, self._rates[1:]


@contextmanager
def download_mode(port: serial.SerialBase, on_progress: OnProgress = lambda done: None) -> Iterator[Loader]:
    """Put the chip on an open port into download mode; the caller resets it afterwards.

    Args:
        on_progress: called with the number of bytes written so far, over all files.

    Raises:
        BoardError: no chip answers, it is another chip than an ESP32, or the flash does not take the data.
    """
    before, quiet = (EspLog.instance, loader.HexFormatter), QuietLog(on_progress)
    log.set_logger(quiet)
    loader.HexFormatter = Untraced
    try:
        yield Loader(port, quiet)
        port.baudrate = BAUD_RATE  # a reset brings the chip back to it
    except FatalError as error:
        raise BoardError(
            f"esptool: {str(error).rstrip('.')}.", "Check the cable and the power, and run the cell again."
        ) from None
    finally:
        EspLog.instance, loader.HexFormatter = before


def _connected(port: serial.SerialBase, rate: int) -> cmds.ESPLoader:
    """Reset the chip into download mode, where lines do that, and start the stub on it, which then speaks at a rate."""
    mode, advice = ("default-reset", DATA_CABLE) if has_reset_lines(port) else ("no-reset", NO_LINES)
    try:
        if mode == "no-reset" and not _answers(port):
            raise FatalError("it runs its program")
        esp = cmds.detect_chip(port, BAUD_RATE, mode, connect_attempts=ATTEMPTS)
    except FatalError:
        raise BoardError(f"No ESP32 answers at {port.port} in download mode.", f"{advice} {BY_HAND}") from None
    if esp.CHIP_NAME != CHIP:
        raise BoardError(f"The chip at {port.port} is an {esp.CHIP_NAME}.", f"The kit speaks to the {CHIP} only.")
    esp = cmds.run_stub(esp)
    if rate != BAUD_RATE:
        esp.change_baud(rate)
    cmds.attach_flash(esp)
    if rate != BAUD_RATE:
        esp.read_flash(0, PROBE)
    return esp


def _answers(port: serial.SerialBase) -> bool:
    """Tell whether the chip is in download mode, with so few bytes that the console of a program has room for them.

    It has 260 (MicroPython 1.26, ports/esp32/mphalport.c). esptool sends more, and then Ctrl-A, by which the program
    could be started again, is lost.
    """
    port.timeout = SYNC_PATIENCE
    for _ in range(ATTEMPTS):
        port.write(SYNC)
        if port.read_until(SYNC_REPLY).endswith(SYNC_REPLY):
            return True
    return False
