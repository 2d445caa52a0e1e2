"""A stay in download mode, where esptool reads and writes the flash.

esptool 5.6 is bent here: its logger, which prints, is replaced for the length of a verb by one that only moves a
progress bar (its documented TemplateLogger); a second `set_logger` is refused as long as the first logger stands in
`EspLog.instance`, so that is put back.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import serial
from esp_pylib.logger import EspLog
from esptool import cmds
from esptool.logger import TemplateLogger, log
from esptool.util import FatalError, flash_size_bytes

from kit.board.port import has_reset_lines
from kit.errors import BoardError

CHIP = "ESP32"
ERASE_PIECE = 0x40000  # bytes; a chip takes about a second for as many
ATTEMPTS = 3  # esptool's own default is 7, which is half a minute of dots when nothing is plugged in
DATA_CABLE, NO_LINES = "Is the cable made for data, not only for charging? Else", "This port cannot bring it there:"
BY_HAND = "hold the BOOT button, press EN, let go of both, and run the cell again."

OnProgress = Callable[[int], None]


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


class Loader:
    """The chip in download mode, with esptool's stub running on it.

    `chip` is what it calls itself by its eFuses, `flash_size` the bytes that its flash chip names.
    """

    def __init__(self, esp: cmds.ESPLoader, log: QuietLog) -> None:
        self._esp, self._log = esp, log
        self.chip = esp.get_chip_description()
        self.flash_size = flash_size_bytes(cmds.detect_flash_size(esp) or "16MB")  # as many as an ESP32 can address

    def write(self, files: list[tuple[int, bytes]]) -> None:
        """Write each (address, data) and have the chip's MD5 of it compared."""
        for address, data in files:
            self._log.size = len(data)
            # "keep": esptool must not change flash size and mode in the bootloader's header, which the release chose
            cmds.write_flash(self._esp, [(address, data)], flash_mode="keep", flash_freq="keep", flash_size="keep")
            self._log.before += len(data)

    def read(self, address: int, length: int) -> bytes:
        """Return `length` bytes of flash."""
        if address + length > self.flash_size:  # past its end a flash chip begins anew
            raise BoardError(f"The flash ends at 0x{self.flash_size:x}.", "Read less, or from further ahead.")
        return self._esp.read_flash(address, length)

    def erase(self, on_progress: OnProgress = lambda done: None) -> None:
        """Erase the whole flash, piece by piece: the command for all of it tells nothing until it is over."""
        for start in range(0, self.flash_size, ERASE_PIECE):
            self._esp.erase_region(start, ERASE_PIECE)
            on_progress(start + ERASE_PIECE)


@contextmanager
def download_mode(port: serial.SerialBase, on_progress: OnProgress = lambda done: None) -> Iterator[Loader]:
    """Put the chip on an open port into download mode; the caller resets it afterwards.

    Args:
        on_progress: called with the number of bytes written so far, over all files.

    Raises:
        BoardError: no chip answers, it is another chip than an ESP32, or the flash does not take the data.
    """
    before, quiet = EspLog.instance, QuietLog(on_progress)
    log.set_logger(quiet)
    try:
        yield Loader(_connected(port), quiet)
    except FatalError as error:
        raise BoardError(
            f"esptool: {str(error).rstrip('.')}.", "Check the cable and the power, and run the cell again."
        ) from None
    finally:
        EspLog.instance = before


def _connected(port: serial.SerialBase) -> cmds.ESPLoader:
    mode, advice = ("default-reset", DATA_CABLE) if has_reset_lines(port) else ("no-reset", NO_LINES)
    try:
        esp = cmds.detect_chip(port, connect_mode=mode, connect_attempts=ATTEMPTS)
    except FatalError:
        raise BoardError(f"No ESP32 answers at {port.port} in download mode.", f"{advice} {BY_HAND}") from None
    if esp.CHIP_NAME != CHIP:
        raise BoardError(f"The chip at {port.port} is an {esp.CHIP_NAME}.", f"The kit speaks to the {CHIP} only.")
    esp = cmds.run_stub(esp)
    cmds.attach_flash(esp)
    return esp
