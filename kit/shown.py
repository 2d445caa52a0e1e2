"""How results show themselves in a notebook."""

import os
from collections.abc import Iterable
from html import escape
from urllib.parse import urlsplit

GREEN, RED, TRACK = "#388e3c", "#d32f2f", "#bdbdbd"  # seen on JupyterLab's white and on its black
LOOPBACK = ("127.0.0.1", "localhost")
BAR = (
    '<div style="display: flex; flex-wrap: wrap; align-items: center"><div>{label}</div><div role="progressbar" '
    'aria-label="{label}" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent:.0f}" '
    'style="width: 200px; height: 16px; margin: 4px 8px; background-color: {track}">'
    '<div style="width: {percent:.2f}%; height: 16px; background-color: {colour}"></div></div><div>{text}</div></div>'
)


class Table:
    """A result that shows itself as a table, in text and in HTML.

    A subclass gives its `_cells`, the head first, and in `COLUMNS` how each column of the text is aligned.
    """

    def __repr__(self) -> str:
        return "\n".join("  ".join(map(format, row, self.COLUMNS)).rstrip() for row in self._cells())

    def _repr_html_(self) -> str:
        head, *rows = self._cells()
        return html_table(rows, head)


def html_table(rows: Iterable[Iterable[object]], head: Iterable[str] = ()) -> str:
    """Return rows, each named by its first cell, as an HTML table; aligned left, as Jupyter's style is for numbers."""
    lines = [[_cell("th", cell) for cell in head]] if head else []
    lines += [[_cell("td" if column else "th", cell) for column, cell in enumerate(row)] for row in rows]
    return "<table>" + "".join(f"<tr>{''.join(line)}</tr>" for line in lines) + "</table>"


def html_link(url: str, text: str) -> str:
    """Return a link to a web server, which a new tab opens.

    On a hub a server on loopback is reached through jupyter-server-proxy. KIT_PROXY says where else that is: what
    stands before the port, such as /proxy, or https://example.org/proxy.
    """
    hub = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    proxy = os.environ.get("KIT_PROXY") or (hub and f"{hub.rstrip('/')}/proxy")
    parts = urlsplit(url)
    if proxy and parts.hostname in LOOPBACK:
        url = f"{proxy.rstrip('/')}/{parts.port or 80}/"
    return f'<a href="{escape(url)}" target="_blank">{escape(text, quote=False)}</a>'


def html_bar(label: str, fraction: float, text: str, *, is_good: bool) -> str:
    """Return a progress bar that moves no more: one of HTML outlives the kernel of its widget."""
    colour = GREEN if is_good else RED
    return BAR.format(label=escape(label), percent=100 * fraction, text=escape(text), track=TRACK, colour=colour)


def _cell(tag: str, cell: object) -> str:
    html = cell._repr_html_() if hasattr(cell, "_repr_html_") else escape(str(cell))
    return f'<{tag} style="text-align: left">{html}</{tag}>'
