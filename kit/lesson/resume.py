"""`kit.resume`: the beginning of a part of a lesson."""

import importlib

from kit.errors import KitError, interruptible
from kit.lesson.check import LESSONS
from kit.lesson.names import Names


@interruptible
def resume(lesson: int, part: int = 1, names: dict[str, object] | None = None) -> None:
    """Bring the board and the names of the notebook to where a part of a lesson starts.

    What it prints is the same whether there was something to do or not.

    Args:
        names: where the names are put; without it, into the notebook.

    Raises:
        KitError: there is no such lesson or part, or as connect, flash, install and upload do.
    """
    if type(lesson) is not int or not 1 <= lesson <= LESSONS:
        raise KitError(
            f"There is no lesson {lesson!r}.", f"Give its number, from 1 to {LESSONS}: kit.resume(2, part=1)"
        )
    parts = importlib.import_module(f"kit.lesson.lesson_{lesson:02}").PARTS
    if type(part) is not int or not 1 <= part <= len(parts):
        advice = f"Give one from 1 to {len(parts)}: kit.resume({lesson}, part=1)"
        raise KitError(f"Lesson {lesson:02} has no part {part!r}.", advice)
    parts[part - 1](Names(names))
    print(f"Part {part} of lesson {lesson:02} can begin.")
