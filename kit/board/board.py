"""A board at an address, and what one does with it over the cable."""

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from kit.board.boot_log import CORRUPT, NO_PROGRAM, BootLog, known_urls, restarted
from kit.board.button import Press
from kit.board.cable import disturbed, refuse_under_upload
from kit.board.contents import Files, read_contents
from kit.board.control import ask
from kit.board.installation import HOSTNAMES, store_certificate, store_settings, store_signers
from kit.board.listener import Listener
from kit.board.loader import download_mode
from kit.board.moment import seconds_since_2000
from kit.board.pins import Pin, Pins
from kit.board.port import open_port
from kit.board.readiness import make_ready
from kit.board.records import Records, read_records
from kit.board.repl import NOT_FLASHED, Repl, raw_repl
from kit.errors import BoardError, ImageError, interruptible
from kit.image.application import firmware_dir
from kit.image.schemes import FLASH_SIZE
from kit.image.table import FLASH_BASE, PartitionTable
from kit.image.table import OFFSET as TABLE_OFFSET
from kit.image.update_image import UpdateImage
from kit.ota.pins import keep_pin
from kit.progress import Progress
from kit.security.certificate import Certificate, read_certificate
from kit.security.keys import Key
from kit.uploads import meet


@interruptible
class Board:
    """An ESP32 at a serial address. The port is open only while a verb runs.

    Args:
        address: a serial port or any pyserial URL.
        url: where its web server is reached, when the boot log cannot know.
        control: where the control side of a virtual board is reached; a real one has none.
    """

    def __init__(self, address: str, *, url: str | None = None, control: str | None = None) -> None:
        self.address = address
        self.control = control
        self._url = url
        if url:
            meet(url, address)

    def __repr__(self) -> str:
        return f"{'virtual board' if self.is_virtual else 'board'} at {self.address}"

    def __dir__(self) -> list[str]:
        """Return what TAB offers: what the lessons use; `control` is for the kit itself."""
        return [name for name in super().__dir__() if name != "control"]

    @property
    def is_virtual(self) -> bool:
        """Tell whether it is the stand-in on this computer."""
        return self.control is not None

    @property
    def url(self) -> str:
        """Where the board's web server is reached.

        Raises:
            BoardError: the board has not said it yet.
        """
        if known := self._url or known_urls.get(self.address):
            return known
        raise BoardError("The board has not said its address yet.", "Run board.reset(): the boot log names it.")

    def flash(self, image: UpdateImage, *, erase: bool = False, confirm: bool = False, force: bool = False) -> None:
        """Write bootloader, partition table, ota_0 and blank otadata over the cable, and start the board.

        NVS (settings) and vfs (files) survive. What is there already is left alone.

        Args:
            image: what kit.build made.
            erase: erase the whole flash first, settings and files with it.
            confirm: needed to erase a real board; a virtual one does without.
            force: break off an update that comes through the air.

        Raises:
            ImageError: no update image, or a stand-in for a real board; nothing was written.
            TableError: the bootloader would refuse its partition table; nothing was written.
            BoardError: the board is not there, does not take the data, or is being updated.
        """
        self._check(image, erase, confirm)
        table = image.base.table
        files = [
            (FLASH_BASE, image.base.bootloader),
            (TABLE_OFFSET, table.to_bytes()),
            (table.otadata.offset, b"\xff" * table.otadata.size),
            (table.slots[0].offset, image.data),
        ]
        with (
            disturbed(self.address, force) as port,
            Progress("flash", sum(len(data) for _, data in files)) as progress,
            download_mode(port, progress.update) as loader,
        ):
            if erase:
                loader.erase()
            loader.write(files)

    def _check(self, image: UpdateImage, erase: bool, confirm: bool) -> None:
        if not isinstance(image, UpdateImage):
            raise ImageError(
                f"This is not an update image but of the type {type(image).__name__}.",
                'Build one: kit.build("1.0.0", board=board); with base=kit.base_image(file=…) from a file.',
            )
        image.base.table.check(FLASH_SIZE)
        if image.is_stand_in and not self.is_virtual:
            raise ImageError("A stand-in does not run on a real chip.", "Build the image with board=board.")
        self._check_erase(erase, confirm)

    def _check_erase(self, erase: bool, confirm: bool) -> None:
        if erase and not (confirm or self.is_virtual):
            raise BoardError("This would erase all that is on a real board.", "If that is meant, add confirm=True.")

    def erase(self, *, confirm: bool = False, force: bool = False) -> None:
        """Erase the whole flash: programs, settings and files.

        Afterwards the chip finds nothing to start, and its ROM says so again and again: board.reset() shows it.

        Args:
            confirm: needed to erase a real board; a virtual one does without.
            force: break off an update that comes through the air.

        Raises:
            BoardError: the board is not there, is being updated, or is a real one and confirm is not given; nothing was
                erased.
        """
        self._check_erase(True, confirm)
        with (
            disturbed(self.address, force) as port,
            download_mode(port) as loader,
            Progress("erase", loader.flash_size) as progress,
        ):
            loader.erase(progress.update)

    def partitions(self) -> PartitionTable:
        """Read the partition table, and how much of each slot is in use; the board restarts afterwards."""
        with disturbed(self.address) as port, download_mode(port) as loader:
            return read_contents(loader.read, loader.flash_size, self.is_virtual)

    def otadata(self) -> Records:
        """Read the two records by which the bootloader picks a slot; the board restarts afterwards.

        A version that has not confirmed itself yet loses its place by this restart, as by any other.
        """
        with disturbed(self.address) as port, download_mode(port) as loader:
            return read_records(loader.read)

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes of flash from `offset`; the board restarts afterwards.

        Raises:
            BoardError: no such place in the flash, or the board is not there.
        """
        if not all(isinstance(value, int) and value >= 0 for value in (offset, size)):
            raise BoardError(f"({offset!r}, {size!r}) is no place in the flash.", "Give two whole numbers from 0 up.")
        with disturbed(self.address) as port, download_mode(port) as loader:
            return loader.read(offset, size)

    def files(self) -> Files:
        """List the files on the partition vfs; the board restarts afterwards.

        What is mounted into other folders, such as the application at /app, is not on vfs and is left out.

        Raises:
            BoardError: MicroPython does not answer, or cannot read vfs.
        """
        with self.repl() as repl:
            mounted = repl.eval("[path for _, path in __import__('vfs').mount()]")
            return Files(dict(repl.sizes("/", mounted)))

    def install(
        self,
        *,
        signers: Sequence[Key | str | Path] | None = None,
        certificate: Certificate | str | Path | None = None,
        force: bool = False,
    ) -> None:
        """Copy the boot files to the board, and Wi-Fi and OTA passwords into its NVS; then start it.

        Args:
            signers: keys, or files of them, of which one has to sign what the board takes through the air; an empty
                list: it takes what nobody signed again. Without it this stays as it is.
            certificate: what `kit.new_certificate` made, or a file of it, for HTTPS, which `ota.configure(https=True)`
                switches on. This computer keeps its pin. Without one the board keeps the certificate that it has.
            force: break off an update that comes through the air.

        Raises:
            SettingsError: a setting for a real board is missing, or the OTA password is no good one.
            SecurityError: a key or the certificate cannot be used, or the certificate names another board; nothing was
                written.
            BoardError: MicroPython does not answer, or cannot write to vfs.
        """
        store = store_settings(self.is_virtual) + ("" if signers is None else store_signers(signers))
        if certificate is not None:
            certificate = read_certificate(certificate)
            store += store_certificate(certificate)
        files = {path.name: path.read_bytes() for path in sorted(firmware_dir().glob("*.py"))}
        with self.repl(force=force) as repl, Progress("install", sum(map(len, files.values()))) as progress:
            if certificate is not None:
                repl.exec(HOSTNAMES)
                places = [urlsplit(url).hostname for url in [known_urls.get(self.address)] if url]
                certificate.check_names(*repl.eval("names"), *places)
            done = 0
            for name, data in files.items():
                repl.fs_writefile(name, data, chunk_size=1024)
                progress.update(done := done + len(data))
            repl.exec(store)
        if certificate is not None:
            keep_pin(certificate.pin, *certificate.names)

    @contextmanager
    def repl(self, *, force: bool = False) -> Iterator[Repl]:
        """Give the raw REPL of a board that was restarted; the board restarts again afterwards.

        Args:
            force: break off an update that comes through the air.

        Raises:
            BoardError: MicroPython does not answer, or vfs is not its own.
        """
        log = self.reset(force=force)
        if CORRUPT in log:
            raise BoardError(
                "The partition vfs holds data that are not MicroPython's, as after another project.",
                "Erase the flash: board.flash(image, erase=True), on a real board with confirm=True too.",
            )
        if re.search(NO_PROGRAM, log):
            raise BoardError("There is no program on the board.", NOT_FLASHED)
        with disturbed(self.address, force) as port, raw_repl(port) as repl:
            yield repl

    def ready(self, lesson: int) -> None:
        """Bring the board, whatever runs on it, to where a lesson starts.

        Lesson 01 starts with any board; the following ones with version 1.0.0 running and confirmed.

        Raises:
            KitError: as flash and install do.
        """
        make_ready(self, lesson)

    def reset(self, *, force: bool = False) -> BootLog:
        """Restart the board as its EN button does, and return what it prints until it is up.

        Over a port without reset lines MicroPython is asked to restart; where it does not answer, press EN.

        Args:
            force: break off an update that comes through the air.

        Raises:
            BoardError: it prints nothing, or is being updated.
        """
        refuse_under_upload(self.address, force)
        with open_port(self.address) as port:
            log = restarted(self.address, port)
        if not log:
            raise BoardError(f"The board at {self.address} prints nothing.", "Check its power, or press its EN button.")
        return log

    def console(self, seconds: float = 10) -> None:
        """Print what the board says, for some seconds; interrupt the cell to stop earlier."""
        if not (isinstance(seconds, int | float) and seconds >= 0):
            raise BoardError(f"{seconds!r} is no number of seconds.", "Give one, as in board.console(10).")
        with suppress(KeyboardInterrupt), open_port(self.address) as port:
            deadline = time.monotonic() + seconds
            while (left := deadline - time.monotonic()) > 0:
                port.timeout = min(left, 0.1)
                sys.stdout.write(port.read(max(1, port.in_waiting)).decode("utf-8", "replace").replace("\r\n", "\n"))
                sys.stdout.flush()

    def listening(self) -> Listener:
        """Collect what the board prints while a `with` block runs; what it gives shows itself as this text."""
        return Listener(self.address)

    def pins(self) -> Pins:
        """Return what can be seen of the pins of a virtual board: its LEDs and buttons.

        Raises:
            BoardError: it is a real board, or it does not answer.
        """
        if not self.is_virtual:
            raise BoardError("Only a virtual board can show its pins.", "Look at the LED of the real one.")
        return Pins(Pin(**pin | {"history": tuple(map(tuple, pin["history"]))}) for pin in ask(self.control, "pins"))

    def press(self, pin: int) -> Press:
        """Hold the button on a pin of a virtual board down, at once and through resets too.

        A `with` block lets go of it at its end: `with board.press(18): board.reset()`. Without one, `.release()` does.

        Raises:
            BoardError: it is a real board, or there is no such pin.
        """
        if not self.is_virtual:
            raise BoardError("The kit cannot press a button of a real board.", f"Hold the one on GPIO {pin} yourself.")
        return Press(self.control, pin)

    def set_time(self, when: datetime | str) -> None:
        """Set the clock of a virtual board, at once, whatever runs on it. The clock goes on from there.

        The time outlives every reset but that by power or EN, as a chip's does: after board.reset() it is 2000 again.

        Args:
            when: a datetime, or a text such as "2027-03-14T02:13:00+01:00", from 2000 to 2099; UTC where it has no
                offset.

        Raises:
            BoardError: it is a real board, there is no such time, or the board has no power.
        """
        if not self.is_virtual:
            raise BoardError("The kit cannot set the clock of a real board.", "It asks a time server by itself (NTP).")
        ask(self.control, "clock", seconds=seconds_since_2000(when))
