"""What somebody on the way between a client and a board can read."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from kit.attacks.attack import target
from kit.board.board import Board
from kit.board.installation import DEFAULT_PASSWORD
from kit.faults.link import Conversation, Link
from kit.ota.answer import said
from kit.settings import DEMO
from kit.shown import Table

TOKEN = "token"
KINDS = {"password": "password", "new": "password", "wifi_password": "Wi-Fi password"}  # by field of a form
MARK = "device mark"  # masked as well, and not listed: it opens nothing
KINDS |= {"token": TOKEN, "device": MARK}
PUBLISHED = (DEMO.password, DEMO.wifi_password, DEFAULT_PASSWORD)
FORM = 2048  # bytes of the longest body that is looked at: an image is none
DOTS = "••••••"
LONGEST = 90  # characters of a line that is shown
TLS = b"\x16\x03"  # a handshake, of TLS 1.x: RFC 8446, 5.1


@dataclass(frozen=True)
class Secret:
    """A secret that passed: of which kind, in which message, and the line of it with every secret masked."""

    kind: str
    message: str
    line: str
    value: str = field(repr=False)


class Capture(Table):
    """What passed between clients and a board while a sniffer was there; clients use its `url`."""

    COLUMNS = ("<16", "<24", "")

    def __init__(self, url: str, record: list[Conversation]) -> None:
        self.url = url
        self._record = record

    def __contains__(self, secret: str) -> bool:
        """Tell whether a text stands in what passed, as it is."""
        return any(secret.encode() in data for conversation in self._record for data in conversation)

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The passwords and tokens that passed, each where it was seen first."""
        found: dict[tuple[str, str], Secret] = {}
        for title, line in _lines(self._record):
            shown, values = _read(line)
            for kind, value in values:
                found.setdefault((kind, value), Secret(kind, title, shown[:LONGEST], value))
        return tuple(found.values())

    def _cells(self) -> Iterator[tuple[str, ...]]:
        yield "secret", "seen in", "as"
        secrets = self.secrets
        yield from ((secret.kind, secret.message, secret.line) for secret in secrets)
        if not secrets:
            is_tls = self._record and all(sent.startswith(TLS) for sent, _ in self._record)
            yield "none", "TLS" if is_tls else "what passed", "bytes that nobody can read" if is_tls else ""

    def _repr_html_(self) -> str:
        size = sum(len(data) for conversation in self._record for data in conversation)
        passed = f"{len(self._record)} connections, {size:,} bytes of them kept"
        return f"<p>{passed}</p>{super()._repr_html_()}"


@contextmanager
def sniff(board: Board | str, *, confirm: bool = False) -> Iterator[Capture]:
    """Stand between a board and the clients that use `capture.url`, and keep what passes while a `with` block runs.

    Raises:
        KitError: this board may not be attacked.
    """
    target(board, confirm)
    with Link(board) as link, link.record() as record:
        yield Capture(link.url, record)


def _lines(record: list[Conversation]) -> Iterator[tuple[str, str]]:
    """Yield the lines of all messages, each with the message it stands in; a body is one line."""
    for sent, answered in record:
        titles = []
        for head, body in _messages(bytes(sent)):
            titles.append(" ".join(head[0].split(" ")[:2]))
            yield from ((titles[-1], line) for line in (*head[1:], body))
        for title, (head, body) in zip(titles, _messages(bytes(answered)), strict=False):
            yield from ((f"answer to {title}", line) for line in (*head[1:], body))


def _messages(data: bytes) -> Iterator[tuple[list[str], str]]:
    """Yield the lines of the head, and the body, of each HTTP message; a body that is no form is left out."""
    while b"\r\n\r\n" in data:
        head, _, data = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *([0-9]{1,9})", head)
        size = int(length[1]) if length else 0
        body, data = data[:size], data[size:]
        if not head.startswith(b"HTTP/1.1 100"):  # Continue: the answer comes later
            yield head.decode("latin-1").split("\r\n"), body.decode("utf-8", "replace") if size <= FORM else ""


def _read(line: str) -> tuple[str, list[tuple[str, str]]]:
    """Return what a line may be shown as, and the secrets in it, each with its kind."""
    name, _, value = line.partition(":")
    value = value.strip()
    if re.fullmatch("(?i)authorization", name):
        scheme, _, value = value.partition(" ")
        kind = TOKEN
        if scheme.lower() == "basic":
            kind = "password"
            with suppress(ValueError):
                value = base64.b64decode(value).decode().partition(":")[2]
        return f"{name}: {scheme} {_mask(kind, value)}", _listed([(kind, value)])
    if re.fullmatch("(?i)(set-)?cookie", name):
        pairs = re.findall(r"\b(token|device)([\w-]*)=([^;\s]+)", value)
        shown = "; ".join(f"{field}{more}={_mask(KINDS[field], text)}" for field, more, text in pairs)
        return f"{name}: {shown}", _listed((KINDS[field], text) for field, _, text in pairs)
    fields = said(line.encode()) or dict(parse_qsl(line))
    known = {field: text for field, text in fields.items() if field in KINDS and isinstance(text, str)}
    masked = {field: _mask(KINDS[field], text) for field, text in known.items()}  # nobody knows what else may be secret
    shown = json.dumps(masked, ensure_ascii=False) if line.startswith("{") else "&".join(map("=".join, masked.items()))
    return shown, _listed((KINDS[field], text) for field, text in known.items())


def _listed(found: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(kind, value) for kind, value in found if value and kind != MARK]


def _mask(kind: str, value: str) -> str:
    if kind in (TOKEN, MARK):  # another one at each login
        return DOTS
    return value if value in PUBLISHED else value[:2] + DOTS
