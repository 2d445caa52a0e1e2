"""What an attack tried and what came back, and which boards may be attacked."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from kit.board.board import Board
from kit.errors import BoardError, KitError
from kit.ota.answer import one_line
from kit.ota.exchange import Answer
from kit.ota.pins import pin_for
from kit.ota.web import Web, web_address
from kit.shown import Table, html_table

# Loopback (RFC 1122), private networks (RFC 1918), and what a computer gives itself (RFC 3927)
NETWORKS = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Step:
    """What was tried, and what came back; `measured` is what differs from run to run."""

    tried: str
    answer: str
    measured: str = ""


@dataclass(frozen=True, repr=False)
class Attack(Table):
    """An attack on a board, step by step; `succeeded` tells whether the attacker got what was wanted."""

    name: str
    steps: tuple[Step, ...]
    succeeded: bool

    COLUMNS = ("<54", "")

    @property
    def verdict(self) -> str:
        """The name, and what came of it."""
        return f"{self.name}: it {'succeeded' if self.succeeded else 'failed'}"

    def __repr__(self) -> str:
        return f"{self.verdict}\n{super().__repr__()}"

    def _repr_html_(self) -> str:
        head, *rows = self._cells()
        measured = [step.measured for step in self.steps]
        table = html_table([(*row, more) for row, more in zip(rows, measured, strict=True)], (*head, ""))
        return f"<p><strong>{self.verdict}</strong></p>{table}"

    def _cells(self) -> Iterator[tuple[str, str]]:
        yield "tried", "came back"
        yield from ((step.tried, step.answer) for step in self.steps)


def target(board: Board | str, confirm: bool) -> Web:
    """Return the web server of a board, by its IP address, as that of somebody who is not logged in.

    Args:
        board: the board, or the address of its web server.

    Raises:
        BoardError: the board is not virtual, or not known to be, and `confirm` is not given.
        KitError: it is neither on this computer nor in a private network.
    """
    if not (confirm or getattr(board, "is_virtual", False)):
        raise BoardError("This would attack a real board.", "If that is meant, and it is yours, add confirm=True.")
    url = urlsplit(web_address(getattr(board, "url", board)))
    port = url.port or PORTS[url.scheme]
    try:
        [ip, *_] = {place[0] for *_, place in socket.getaddrinfo(url.hostname, port, socket.AF_INET)}
    except OSError:
        raise BoardError(f"Nobody here knows the name {url.hostname!r}.", "Use the IP address of the board.") from None
    if not any(ip_address(ip) in ip_network(network) for network in NETWORKS):
        raise KitError(f"{url.hostname} is in no private network.", "Attack boards of your own, in your own network.")
    return Web(f"{url.scheme}://{ip}:{port}", pin_for(url.geturl()) if url.scheme == "https" else None)


def came_back(answer: Answer) -> str:
    """Return the status of an answer, and the name that the board gives a refusal."""
    return f"{answer.status} {one_line(answer.reason)}".strip()
