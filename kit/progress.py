"""One progress bar for a notebook, a terminal, or nobody."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from kit.shown import html_bar

BAR = 30  # characters of the bar on a terminal
LINE = 79  # one character less than the narrowest terminal, so that no line wraps

View = Callable[[float, str, str], None]  # shows a fraction, a text, and how it ended: "success", "danger", else ""


class Progress(AbstractContextManager):
    """A bar that shows how many of `total` bytes, or other things, are done, and the phase that the work is in.

    Use it as a context manager. It is a widget in Jupyter, and HTML from its end on; one line of stderr on a terminal;
    and silent elsewhere. Nothing goes to stdout. Left without an exception the bar is full, else it stays where it was
    and turns red.
    """

    def __init__(self, label: str, total: int, unit: str = "bytes") -> None:
        self._total, self._unit = total, unit
        self._done = 0
        self._phase = ""
        self._is_stopped = False
        self._started = time.monotonic()
        self._view = _view(label)

    def update(self, done: int, phase: str | None = None, total: int | None = None) -> None:
        """Show how many are `done`, and from now on `phase`, and of another `total`, if they are given."""
        self._total = self._total if total is None else total
        self._done = min(done, self._total)
        self._phase = phase or self._phase
        self._show("")

    def stop(self) -> None:
        """Have it end as after an exception: it stays where it is, and turns red."""
        self._is_stopped = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        is_good = not (kind or self._is_stopped)
        self._done = self._total if is_good else self._done
        self._show("success" if is_good else "danger")

    def _show(self, end: str) -> None:
        fraction = self._done / self._total if self._total else float(bool(end))
        seconds = time.monotonic() - self._started
        parts = [self._phase, f"{fraction:.0%}", f"{self._done:,} of {self._total:,} {self._unit}", f"{seconds:.0f} s"]
        self._view(fraction, " · ".join(filter(None, parts)), end)


def _view(label: str) -> View:
    ipython = sys.modules.get("IPython")  # never imported: there is no kernel
    if ipython and getattr(ipython.get_ipython(), "kernel", None):
        return _widget(label)
    return _terminal(label) if sys.stderr and sys.stderr.isatty() else lambda *_: None


def _widget(label: str) -> View:
    from IPython.display import display
    from ipywidgets import FloatProgress, HBox, Label

    class Text:
        """The text form, which a notebook keeps, is the same in every run, and of the widget and of its end."""

        def __repr__(self) -> str:
            return f"[progress bar: {label}]"

    class Row(Text, HBox): ...

    class End(Text):
        """Of a widget a notebook that is opened again shows nothing: its kernel is gone."""

        def __init__(self, html: str) -> None:
            self._html = html

        def _repr_html_(self) -> str:
            return self._html

    bar, note = FloatProgress(value=0.0, max=1.0), Label("")
    row = Row([Label(label), bar, note], layout={"flex_flow": "row wrap"})  # in a narrow window labels are cut
    handle = display(row, display_id=True)

    def show(fraction: float, text: str, end: str) -> None:
        bar.value, note.value = fraction, text
        if end:
            handle.update(End(html_bar(label, fraction, text, is_good=end == "success")))

    return show


def _terminal(label: str) -> View:
    def show(fraction: float, text: str, end: str) -> None:
        full = round(fraction * BAR)
        line = f"{label} [{'#' * full}{'.' * (BAR - full)}] {text}"
        print("\r" + line[:LINE].ljust(LINE), end="\n" if end else "", file=sys.stderr, flush=True)

    return show
