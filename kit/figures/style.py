"""What every figure has: colours, a title, words for who cannot see it, and whose numbers they are."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from io import BytesIO

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, PURPLE, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#7F7F7F"
PALE = "#BBBBBB"
STYLE = {"font.size": 12, "axes.spines.top": False, "axes.spines.right": False}
KB, MB = 1000, 1000 * 1000  # as speed is counted
WIDTH = 10.0  # inches


class Picture(Figure):
    """A figure that also says what it shows, in a sentence that is the same in every run."""

    alt = ""

    def __repr__(self) -> str:
        return self.alt

    def _repr_html_(self) -> str:
        file = BytesIO()
        self.savefig(file, format="png", bbox_inches="tight")
        data = base64.b64encode(file.getvalue()).decode()
        return f'<img alt="{escape(self.alt)}" src="data:image/png;base64,{data}">'


@contextmanager
def titled_figure(title: str, alt: str, virtual: bool, height: float) -> Iterator[Figure]:
    """A figure with its title, to be drawn in our style; `alt` says what it shows, without measured numbers."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(WIDTH, height), FigureClass=Picture)
        figure.alt = alt + (" The numbers are a virtual board's." if virtual else "")
        figure.text(0.01, 0.98, title, va="top", fontsize=15, fontweight="bold")
        if virtual:
            figure.text(0.99, 0.98, "virtual board", va="top", ha="right", fontsize=13, color="#8A4B00", style="italic")
        yield figure
    plt.close(figure)  # a notebook shows what the cell returns, once


def seconds_text(time: float) -> str:
    return f"{time:.1f} s" if time >= 10 else f"{time:.2g} s"


def size_text(size: int) -> str:
    return f"{size / MB:,.1f} MB" if size >= MB / 10 else f"{size / KB:,.0f} kB"
