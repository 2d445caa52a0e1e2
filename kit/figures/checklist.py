"""What a board meets of a checklist, before and after something was done for its security."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from kit.figures.style import GREEN, PALE, RED, titled_figure

if TYPE_CHECKING:
    from kit.security.audit import Audit

COLORS = {"met": GREEN, "open": RED, "not applicable": PALE}
LINE = 0.26  # inches


def checklist(audits: Sequence[Audit]) -> Figure:
    """Draw a row for each box and clause, and in it the state by each audit of one or two, the older one first."""
    last = audits[-1]
    counts = [Counter(row.state for row in audit) for audit in audits]
    names = ("before", "after") if len(audits) > 1 else ("state",)
    names = [f"{name}: {count['open']} open" for name, count in zip(names, counts, strict=True)]
    told = [", ".join(f"{count[state]} {state}" for state in COLORS) for count in counts]
    alt = f"Each box of the checklist and each clause of EN 303 645, coloured by its state: {'; then '.join(told)}."
    height = 1.3 + LINE * len(last)
    with titled_figure("What the board meets", alt, last.virtual, height) as figure:
        place = {"left": 0.55, "right": 0.98, "top": 1 - 0.9 / height, "bottom": 0.1 / height}
        axes = figure.subplots(gridspec_kw=place)
        for column, audit in enumerate(audits):
            for line, row in enumerate(audit):
                axes.barh(line, 0.97, left=column, height=0.9, color=COLORS[row.state], alpha=0.5)
                axes.text(column + 0.03, line, row.state, va="center", fontsize=10)
        axes.set_yticks(range(len(last)), [f"{row.item}   {row.number}" for row in last], fontsize=10)
        axes.set_xticks([column + 0.48 for column in range(len(audits))], names, fontweight="bold")
        axes.xaxis.tick_top()
        axes.set(xlim=(0, len(audits)), ylim=(len(last) - 0.4, -0.6))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure
