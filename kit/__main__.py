"""`python -m kit`: update images, what is needed to flash them by hand, and the lessons, from the command line."""

import argparse
import sys

import kit
from kit.errors import KitError
from kit.image.file import save
from kit.lesson.folder import lay_out

EXAMPLES = """examples:
  python -m kit build 1.1.0 --app my_app -o update-1.1.0.bin
  python -m kit base -o base.bin
  python -m kit lessons my_lessons
  python -m kit offline room"""


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
    lessons = commands.add_parser("lessons", help="lay out the lessons in a folder, or bring them up to date there")
    lessons.add_argument("folder", metavar="DIR", help="your folder; what you changed in it stays")
    lessons.add_argument("--solved", action="store_true", help="the solutions too")
    offline = commands.add_parser("offline", help="gather all that a room without the internet needs, in a folder")
    offline.add_argument("folder", metavar="DIR", help="where; about 100 MB")
    try:
        print(_run(parser.parse_args()))
    except KitError as error:
        sys.exit(str(error))


def _run(arguments: argparse.Namespace) -> str:
    if arguments.command == "lessons":
        return str(lay_out(arguments.folder, arguments.solved))
    if arguments.command == "offline":
        from kit.lesson.offline import gather  # `lessons` works without what this one needs

        return gather(arguments.folder)
    if arguments.command == "build":
        image = kit.build(arguments.version, app=arguments.app)
        image.save(arguments.output)
        return repr(image)
    base = kit.base_image()
    save(arguments.output, base.before_slots())
    return f"bootloader and partition table of {base.name}"


if __name__ == "__main__":
    main()
