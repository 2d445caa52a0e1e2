"""What a check says."""

import re
from dataclasses import dataclass
from html import escape

RIGHT, WRONG, NOT_YET = "right", "wrong", "not yet"
COLOURS = {RIGHT: "#15803d", WRONG: "#b91c1c", NOT_YET: "#a16207"}


@dataclass(frozen=True, repr=False)
class Verdict:
    """The state of an answer, "right", "wrong" or "not yet", and a text that is the same in every run."""

    state: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        style = f"border-left: 4px solid {COLOURS[self.state]}; padding: .3em .8em; white-space: pre-line"
        text = re.sub("`([^`]+)`", r"<code>\1</code>", escape(self.text))
        return f'<div role="status" style="{style}">{text}</div>'
