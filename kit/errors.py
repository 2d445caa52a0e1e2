"""The errors of the kit: one family, each naming a cause and the next step; and what an interrupt looks like."""

import functools
from collections.abc import Callable
from inspect import isfunction


class KitError(Exception):
    """Something that a learner or a board can get wrong.

    Args:
        cause: what is wrong, as one sentence.
        advice: what to do next, as one sentence.
    """

    def __init__(self, cause: str, advice: str) -> None:
        super().__init__(cause, advice)
        self.cause = cause
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.cause} {self.advice}"

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython shows in place of a traceback, which would only show the inside of the kit."""
        return [f"{type(self).__name__}: {self}"]


class AddressError(KitError):
    """No board can be at this address."""


class SettingsError(KitError):
    """A setting, such as the Wi-Fi password, is missing or unusable."""


class ImageError(KitError):
    """An app image, a base image or an application that cannot be used."""


class SecurityError(KitError):
    """A key, a certificate or a signature that cannot be used."""


class ReleaseError(KitError):
    """A release that cannot be laid out, or a folder of releases that cannot be served."""


class LessonError(KitError):
    """A lesson, or a folder of lessons, that cannot be used."""


class TableError(KitError):
    """A partition table that the bootloader would refuse."""


class BoardError(KitError):
    """The board does not answer, or does not do what it was told."""


class RollbackError(BoardError):
    """The board took an update, gave it up, and went back to the version before."""


class UpdateError(KitError):
    """The board refused an update.

    Args:
        error: the board's name for it, "UPDATE_ERROR_…".
        status: the HTTP status of the answer.
    """

    def __init__(self, error: str, cause: str, advice: str, status: int) -> None:
        super().__init__(cause, advice)
        self.error = error
        self.status = status

    def __str__(self) -> str:
        return f"{self.error}: {self.cause} {self.advice}"


class Interrupted(KeyboardInterrupt):
    """The reader has interrupted a verb.

    Args:
        verb: its name.
        outcome: what came of it, as one sentence; empty where nobody knows.
    """

    def __init__(self, verb: str = "", outcome: str = "") -> None:
        super().__init__(outcome or f"{verb} has not come to its end.")
        self.outcome = outcome

    def _render_traceback_(self) -> list[str]:
        return [f"Interrupted: {self}"]


def interruptible(verb: Callable | type) -> Callable | type:
    """Make an interrupt of a function, or of the public methods of a class, one line without the inside of the kit."""
    if isinstance(verb, type):
        for name, method in list(vars(verb).items()):
            if isfunction(method) and not name.startswith("_"):
                setattr(verb, name, interruptible(method))
        return verb

    @functools.wraps(verb)
    def wrapped(*args, **kwargs):
        try:
            return verb(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            outcome = getattr(interrupt, "outcome", "")
        raise Interrupted(verb.__name__, outcome)  # without the context and the frames of the first

    return wrapped
