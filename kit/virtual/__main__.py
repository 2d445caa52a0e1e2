"""`python -m kit.virtual`: a board without a board. It prints its addresses and runs until it is ended."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from kit.settings import DEMO
from kit.virtual.chip import Chip
from kit.virtual.control import Control, register, register_path
from kit.virtual.flash import Flash, FlashInUseError
from kit.virtual.ports import HOST

IN_USE = 3  # exit code; kit.connect reads it


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m kit.virtual", description="A virtual ESP32 on this computer.")
    parser.add_argument("--flash", type=Path, help="flash file, kept (default: KIT_FLASH, else a blank one, not kept)")
    parser.add_argument("--serial", type=int, default=0, metavar="PORT", help="TCP port of the serial port")
    parser.add_argument("--http", type=int, default=0, metavar="PORT", help="TCP port of the board's port 80")
    parser.add_argument(
        "--pace", type=float, help="1 waits as long as a chip's flash, 0 not (default: KIT_PACE, else 1)"
    )
    parser.add_argument("--leased", action="store_true", help=argparse.SUPPRESS)  # ends with the last kernel
    options = parser.parse_args()
    options.flash = options.flash or (Path(os.environ["KIT_FLASH"]) if os.environ.get("KIT_FLASH") else None)
    if options.pace is None:
        options.pace = pace_from_environment(parser)
    if options.pace < 0:
        parser.error("--pace is 0 or more")
    return options


def pace_from_environment(parser: argparse.ArgumentParser) -> float:
    try:
        return float(os.environ.get("KIT_PACE") or 1)
    except ValueError:
        parser.error(f"KIT_PACE is {os.environ['KIT_PACE']!r}: it must be a number, such as 1 or 0")


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="virtual-board-") as folder:
        return run(options, options.flash or Path(folder, "flash.bin"))


def run(options: argparse.Namespace, flash_file: Path) -> int:
    ended = threading.Event()
    try:
        flash = Flash(flash_file, options.pace)
        chip = Chip(flash, DEMO, options.serial, options.http)
    except FlashInUseError:
        print(f"{flash_file} is in use by another virtual board. End that one, or name another file.", file=sys.stderr)
        return IN_USE
    except (OSError, ValueError) as error:
        print(f"The virtual board cannot start: {error}.", file=sys.stderr)
        return 1
    control = Control(ended.set if options.leased else lambda: None)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    chip.start()
    addresses = {
        "serial": f"rfc2217://{HOST}:{chip.uart.port}",
        "http": f"http://{HOST}:{chip.http}",
        "control": control.url,
    }
    register(flash_file, addresses)
    for name, address in addresses.items():
        print(f"{name}: {address}")
    sys.stdout.flush()
    ended.wait()
    register_path(flash_file).unlink(missing_ok=True)
    chip.stop()
    flash.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
