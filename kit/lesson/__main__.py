"""`python -m kit.lesson notebooks/`: execute the solved lessons, and write and execute the students' edition."""

import argparse
import sys
from pathlib import Path

from kit.errors import KitError
from kit.lesson.editions import write_editions


def main() -> None:
    """Write all editions; an error names its cause on stderr, and the exit status is 1."""
    parser = argparse.ArgumentParser("python -m kit.lesson", description=__doc__.partition(": ")[2])
    parser.add_argument("folder", metavar="NOTEBOOKS", type=Path, help="folder with solutions/")
    try:
        write_editions(parser.parse_args().folder)
    except KitError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
