"""The errors of the kit: one family, each naming a cause and the next step."""


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
