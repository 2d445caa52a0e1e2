"""The names that a learner has given to things in a notebook."""

import sys


class MissingError(LookupError):
    """A name that a lesson needs has no value, or dots in its place."""


class Names:
    """The names of a notebook as attributes, of the running one where no others are given."""

    def __init__(self, names: dict[str, object] | None) -> None:
        ipython = sys.modules.get("IPython")  # never imported: there is no notebook then
        shell = ipython and ipython.get_ipython()
        vars(self)["_names"] = names if names is not None else shell.user_ns if shell else {}

    def __getattr__(self, name: str) -> object:
        """Raises MissingError."""
        if name not in self._names:
            raise MissingError(f"Not yet: `{name}` has no value. Run the cells above first, each without an error.")
        if self._names[name] is ...:
            raise MissingError(f"Not answered yet: write your answer in the place of the dots, `{name} = ...`")
        return self._names[name]

    def __setattr__(self, name: str, value: object) -> None:
        self._names[name] = value
