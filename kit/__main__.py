"""`python -m kit`: update images, and what is needed to flash them by hand, from the command line."""

from __future__ import annotations

import argparse
import sys

from kit.base import base_image
from kit.errors import KitError
from kit.update_image import build, save


def main() -> int:
    """Run one command; return the exit status, 1 after an error that names its cause on stderr."""
    parser = argparse.ArgumentParser(prog="python -m kit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("build", help="build an update image; by cable it goes to a slot, such as 0x10000")
    command.add_argument("version", metavar="VERSION", help="for instance 1.1.0")
    command.add_argument("--app", metavar="DIR", help="folder of the application (default: the kit's own)")
    command.set_defaults(run=_build)
    output(command)
    command = commands.add_parser("base", help="write what stands before the slots; by cable it goes to 0x1000")
    command.set_defaults(run=_base)
    output(command)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except KitError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def output(command: argparse.ArgumentParser) -> None:
    command.add_argument("-o", "--output", metavar="FILE", required=True, help="where to write it")


def _build(arguments: argparse.Namespace) -> None:
    image = build(arguments.version, app=arguments.app)
    image.save(arguments.output)
    print(image)


def _base(arguments: argparse.Namespace) -> None:
    base = base_image()
    save(arguments.output, base.before_slots())
    print(f"bootloader and partition table of {base.name}")


if __name__ == "__main__":
    sys.exit(main())
