"""One progress bar for a notebook, a terminal, or nobody."""

import sys
import time
from types import TracebackType
from typing import Self

BAR = 30  # characters of the bar on a terminal
LINE = 79  # one character less than the narrowest terminal, so that no line wraps


class Progress:
    """A bar that shows how many of `total_bytes` are done, and the phase that the work is in.

    Use it as a context manager. It is a widget in Jupyter, one line of stderr on a terminal, and silent elsewhere;
    nothing goes to stdout. Left without an exception the bar is full, else it stays where it was and turns red.
    """

    def __init__(self, label: str, total_bytes: int) -> None:
        self._total = total_bytes
        self._done = 0
        self._phase = ""
        self._started = time.monotonic()
        self._view = _view(label)

    def __enter__(self) -> Self:
        return self

    def update(self, done: int, phase: str | None = None) -> None:
        """Show `done` bytes, and from now on `phase`, if one is given."""
        self._done = min(done, self._total)
        self._phase = self._phase if phase is None else phase
        fraction = self._done / self._total if self._total else 1.0
        seconds = time.monotonic() - self._started
        parts = [self._phase, f"{fraction:.0%}", f"{self._done:,} of {self._total:,} bytes", f"{seconds:.0f} s"]
        self._view.show(fraction, " · ".join(filter(None, parts)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.update(self._total if kind is None else self._done)
        self._view.close(ok=kind is None)


class _Silent:
    def show(self, fraction: float, text: str) -> None:
        pass

    def close(self, ok: bool) -> None:
        pass


class _Widget:
    # Shown empty, and with a fraction instead of bytes: the text form that nbval compares is the same in every run.
    def __init__(self, label: str) -> None:
        from IPython.display import display
        from ipywidgets import FloatProgress, HBox, Label

        self._bar = FloatProgress(value=0.0, max=1.0)
        self._text = Label("")
        display(HBox([Label(label), self._bar, self._text]))

    def show(self, fraction: float, text: str) -> None:
        self._bar.value = fraction
        self._text.value = text

    def close(self, ok: bool) -> None:
        self._bar.bar_style = "success" if ok else "danger"


class _Terminal:
    def __init__(self, label: str) -> None:
        self._label = label

    def show(self, fraction: float, text: str) -> None:
        full = round(fraction * BAR)
        line = f"{self._label} [{'#' * full}{'.' * (BAR - full)}] {text}"
        print("\r" + line[:LINE].ljust(LINE), end="", file=sys.stderr, flush=True)

    def close(self, ok: bool) -> None:
        print(file=sys.stderr)


def _view(label: str) -> _Silent | _Widget | _Terminal:
    if _in_kernel():
        return _Widget(label)
    return _Terminal(label) if sys.stderr and sys.stderr.isatty() else _Silent()


def _in_kernel() -> bool:
    ipython = sys.modules.get("IPython")  # never imported: there is no kernel
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None
