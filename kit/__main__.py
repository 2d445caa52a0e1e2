"""`python -m kit`: update images, what is needed to flash them by hand, and the lessons, from the command line."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path

import kit
from kit.errors import KitError
from kit.image.file import save
from kit.lesson.folder import lay_out

EXAMPLES = """examples:
  python -m kit build 1.1.0 --app my_app --sign team.pem -o update-1.1.0.bin
  python -m kit base -o base.bin
  python -m kit release update-1.1.0.bin staging
  python -m kit lessons my_lessons
  python -m kit offline room
  python -m kit notify --host 192.168.1.10"""


def main() -> None:
    """Run one command; an error names its cause on stderr, and the exit status is 1."""
    try:
        print(_run(parser().parse_args()))
    except KitError as error:
        sys.exit(str(error))


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = argparse.ArgumentParser("python -m kit", epilog=EXAMPLES, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    update = commands.add_parser("build", help="build an update image; by cable it goes to a slot, such as 0x10000")
    update.add_argument("version", metavar="VERSION", help="for instance 1.1.0")
    update.add_argument("--app", metavar="DIR", help="folder of the application (default: the kit's own)")
    help_of_sign = "sign it with the key in a file; without one, with the one in the variable KIT_SIGNING_KEY"
    update.add_argument("--sign", metavar="KEYFILE", nargs="?", const="", help=help_of_sign)
    base = commands.add_parser("base", help="write what stands before the slots; by cable it goes to 0x1000")
    for command in (update, base):
        command.add_argument("-o", "--output", metavar="FILE", required=True, help="where to write it")
    release = commands.add_parser("release", help="lay out a signed image in a folder, for boards to fetch")
    release.add_argument("image", metavar="IMAGE", help="what build wrote, or the .bin file of another release folder")
    release.add_argument("folder", metavar="DIR", help="where; the versions before it stay")
    help_of_notes = "what is new, as a file or a changelog (default: CHANGELOG.md, if there is one here)"
    release.add_argument("--notes", metavar="FILE", type=Path, help=help_of_notes)
    lessons = commands.add_parser("lessons", help="lay out the lessons in a folder, or bring them up to date there")
    lessons.add_argument("folder", metavar="DIR", help="your folder; what you changed in it stays")
    lessons.add_argument("--solved", action="store_true", help="the solutions too")
    offline = commands.add_parser("offline", help="gather all that a room without the internet needs, in a folder")
    offline.add_argument("folder", metavar="DIR", help="where; about 100 MB")
    notify = commands.add_parser("notify", help="take what boards tell, show it, and pass it on by apprise")
    notify.add_argument("--host", default="127.0.0.1", help="address of this computer at which boards reach it")
    notify.add_argument("--port", type=int, default=0, help="where to listen (default: any free port)")
    return parser


def _run(arguments: argparse.Namespace) -> str:
    if arguments.command == "lessons":
        return str(lay_out(arguments.folder, arguments.solved))
    if arguments.command == "offline":
        from kit.lesson.offline import gather  # `lessons` works without what this one needs

        return gather(arguments.folder)
    if arguments.command == "notify":
        return _show_events(arguments.host, arguments.port)
    if arguments.command == "build":
        return _build(arguments)
    if arguments.command == "release":
        return repr(kit.release(arguments.image, arguments.folder, arguments.notes))
    base = kit.base_image()
    save(arguments.output, base.before_slots())
    return f"bootloader and partition table of {base.name}"


def _build(arguments: argparse.Namespace) -> str:
    from kit.security.keys import key_from_environment, read_key

    keys = []  # looked at before the work begins
    if arguments.sign is not None:
        keys.append(read_key(arguments.sign) if arguments.sign else key_from_environment())
    image = kit.build(arguments.version, app=arguments.app)
    if keys:
        image = image.sign(*keys)
    image.save(arguments.output)
    return repr(image)


def _show_events(host: str, port: int) -> str:
    """Print each event as it comes, and on stderr why it was not passed on, until Ctrl-C."""
    with kit.receive_events(host=host, port=port) as receiver, suppress(KeyboardInterrupt):
        print(f"ota.tell(webhook={receiver.url!r})", flush=True)
        for event in receiver.follow():
            print(event, flush=True)
            if receiver.problem:
                print(receiver.problem, file=sys.stderr, flush=True)
    return repr(receiver.events)


if __name__ == "__main__":
    main()
