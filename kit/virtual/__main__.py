"""`python -m kit.virtual`: a board without a board. It prints its addresses and runs until it is ended."""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NoReturn

from kit.peers import say_where_unchecked
from kit.settings import DEMO
from kit.virtual.chip import Chip
from kit.virtual.control import Control, register, register_path
from kit.virtual.flash import Flash, FlashInUseError
from kit.virtual.mac import OWN_FILE, mac_of
from kit.virtual.ports import HOST, keep_ports, last_ports

IN_USE = 3  # exit code; kit.connect reads it
LOOK = 1.0  # s; Python handles a signal in this thread only, which may sleep while another one has taken it
SLOWEST = 100  # times a chip's waits


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line: kit.connect shows it to learners."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message}\n")


def arguments() -> argparse.Namespace:
    parser = Parser(prog="python -m kit.virtual", description="A virtual ESP32 on this computer.")
    parser.add_argument(
        "--flash",
        type=lambda text: Path(text).expanduser(),
        default=os.environ.get("KIT_FLASH") or None,
        help="flash file, kept (default: KIT_FLASH, else a blank one, not kept)",
    )
    parser.add_argument("--serial", type=int, default=0, metavar="PORT", help="TCP port of the serial port")
    parser.add_argument("--http", type=int, default=0, metavar="PORT", help="TCP port of the board's port 80")
    parser.add_argument(
        "--pace",
        type=pace,
        default=os.environ.get("KIT_PACE") or "1",
        help="1: as slow as a chip's flash, 0: no waits (default: KIT_PACE, else 1)",
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which clients ask for the board, such as that of a proxy (several: once more)",
    )
    parser.add_argument("--leased", action="store_true", help=argparse.SUPPRESS)  # ends with the last kernel
    return parser.parse_args()


def pace(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= SLOWEST:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no pace. Set KIT_PACE to a number from 0 to {SLOWEST}, such as 1.")


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="virtual-board-") as folder:
        run(options, options.flash or Path(folder, "flash.bin"))


def run(options: argparse.Namespace, flash_file: Path) -> None:
    os.umask(0o077)  # what the board makes, and the folder of its flash, are for this user only
    try:
        flash = Flash(flash_file, options.pace)
    except FlashInUseError:
        print(f"{flash_file} is in use by another virtual board. End that one, or name another file.", file=sys.stderr)
        sys.exit(IN_USE)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        sys.exit(f"{flash_file} cannot be a flash: {reason}. Name another file (KIT_FLASH).")
    keep_private(flash_file)
    say_where_unchecked()
    last = [0 if port in (options.serial, options.http) else port for port in last_ports(flash_file)]
    try:
        chip = Chip(flash, DEMO, options.serial, options.http, mac_of(flash_file), options.host, (*last[:2], last[3]))
    except (OSError, OverflowError) as error:
        sys.exit(f"A port cannot be used: {error}. Leave --serial and --http out, or choose others.")
    ended = SimpleQueue()  # a signal handler may put something in at any moment; an Event could hold its own lock then
    commands = {
        "power": chip.power,
        "powered": lambda: flash.powered,
        "fault": flash.plant,
        "pins": chip.look,
        "press": chip.press,
        "clock": chip.set_clock,
    }
    control = Control(lambda: options.leased and ended.put(True), commands, last[2])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.put(True))
    chip.start()
    addresses = {
        "serial": f"rfc2217://{HOST}:{chip.uart.port}",
        "http": f"http://{HOST}:{chip.http}",
        "control": control.url,
    }
    try:
        register(flash_file, addresses)
    except OSError as error:
        control.stop()
        chip.stop()
        flash.close()
        sys.exit(f"{register_path(flash_file)} cannot be written: {error.strerror}. Make room there.")
    keep_ports(flash_file, chip.uart.port, chip.http, control.server_port, chip.https)
    for name, address in addresses.items():
        print(f"{name}: {address}")
    sys.stdout.flush()
    while True:
        with contextlib.suppress(Empty):
            ended.get(timeout=LOOK)
            break
    register_path(flash_file).unlink(missing_ok=True)
    control.stop()
    chip.stop()
    flash.close()  # last: the next board may start now, and finds its ports free


def keep_private(flash_file: Path) -> None:
    """Close to other users what was made before, or by somebody else's hand; a folder only if it is the kit's own."""
    with contextlib.suppress(OSError):
        flash_file.chmod(0o600)
        if flash_file == OWN_FILE:
            flash_file.parent.chmod(0o700)


if __name__ == "__main__":
    main()
