"""`python -m kit`: update images, and what is needed to flash them by hand, from the command line."""

import argparse
import sys

from kit.errors import KitError
from kit.image.file import save
from kit.image.release import base_image
from kit.image.update_image import build

EXAMPLES = """examples:
  python -m kit build 1.1.0 --app my_app -o update-1.1.0.bin
  python -m kit base -o base.bin"""


def main() -> None:
    """Run one command; an error names its cause on stderr, and the exit status is 1."""
    parser = argparse.ArgumentParser("python -m kit", epilog=EXAMPLES, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    update = commands.add_parser("build", help="build an update image; by cable it goes to a slot, such as 0x10000")
    update.add_argument("version", metavar="VERSION", help="for instance 1.1.0")
    update.add_argument("--app", metavar="DIR", help="folder of the application (default: the kit's own)")
    base = commands.add_parser("base", help="write what stands before the slots; by cable it goes to 0x1000")
    for command in (update, base):
        command.add_argument("-o", "--output", metavar="FILE", required=True, help="where to write it")
    try:
        print(_run(parser.parse_args()))
    except KitError as error:
        sys.exit(str(error))


def _run(arguments: argparse.Namespace) -> str:
    if arguments.command == "build":
        image = build(arguments.version, app=arguments.app)
        image.save(arguments.output)
        return repr(image)
    base = base_image()
    save(arguments.output, base.before_slots())
    return f"bootloader and partition table of {base.name}"


if __name__ == "__main__":
    main()
