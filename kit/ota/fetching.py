"""Where a board fetches updates from and when, and what came of its last look (`/pull`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kit.errors import AddressError, BoardError
from kit.ota.answer import fits, not_ours, read
from kit.ota.exchange import Answer
from kit.ota.pins import pin_of
from kit.ota.web import JSON, Web
from kit.ota.zone import posix_zone
from kit.shown import LOOPBACK, html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GITHUB_HOST, REPOSITORIES = "api.github.com", "/repos/"  # what stands in the path of any server that speaks its way
GITHUB = f"https://{GITHUB_HOST}{REPOSITORIES}"
REPOSITORY = r"github:([\w-][\w.-]*/[\w.-]+)"
ADDRESS = r"https?://[!-~]+"
IDLE = "idle"
SHAPE = {"zone": str, "state": {"phase": str, "failures": int}}
TEXTS = ("url", "certificate", "window", "ntp", "version")
STATE_TEXTS = ("outcome", "cause", "version", "tried", "now", "next")
NOT_FOUND = 404  # what firmware answers that fetches nothing
OUTCOMES = {"up to date": "up to date", "held": "held back", "failed": "failed", None: "has not looked yet"}


@dataclass(frozen=True)
class State:
    """What a board does, and what came of its last look.

    Attributes:
        phase: "idle", "looking" or "fetching".
        outcome: "up to date", "installed", "failed", "refused", "held" or "given up"; None before the first look.
        cause: why that is so; None where all is well.
        version: that was taken last, or offered.
        tried, now, next: the last look, the board's clock, the next look, as "2027-03-14T02:13:00+01:00"; None where
            that is not known.
        failures: looks in a row that have failed.
    """

    phase: str
    outcome: str | None
    cause: str | None
    version: str | None
    tried: str | None
    failures: int
    now: str | None
    next: str | None


@dataclass(frozen=True, repr=False)
class Fetching:
    """Where a board fetches updates from and when.

    Attributes:
        url: of the manifest, or of a repository on GitHub; None: it fetches nothing.
        certificate: SHA-256 of the server's, which alone it trusts; None: any.
        has_token: whether it has one for the server. Nobody can read it.
        window, days, zone: as "02:00-04:00", ("sat", "sun"), "CET-1CEST,M3.5.0,M10.5.0/3".
        ntp: the server that it asks for the time.
        version: the only one that it takes; None: any newer one.
        hold: it looks by itself no more.
    """

    url: str | None
    certificate: str | None
    has_token: bool
    window: str | None
    days: tuple[str, ...] | None
    zone: str
    ntp: str | None
    version: str | None
    hold: bool
    state: State

    def __repr__(self) -> str:
        """Keeps to what is the same in every run, as no time and no port is."""
        if self.url is None:
            return f"fetches from nowhere: {self._outcome}"
        days = f" on {', '.join(self.days)}" if self.days else ""
        when = "when asked" if self.hold else f"{self.window}{days}" if self.window else "at any time"
        only = f", version {self.version} only" if self.version else ""
        return f"fetches from {urlsplit(self.url).hostname}, {when}{only}: {self._outcome}"

    @property
    def _outcome(self) -> str:
        state = self.state
        if state.phase != IDLE:
            return state.phase
        named = OUTCOMES.get(state.outcome) or f"{state.version or 'an unknown version'} {state.outcome}"
        return f"{named}. {state.cause}" if state.cause else named

    def plot(self, moments: Sequence[float]) -> Figure:
        """Draw how many of several boards begin to look in each ten minutes of the window.

        Args:
            moments: seconds after it opens, one a board.

        Raises:
            BoardError: there is no window.
        """
        from kit.figures.window import looks

        if self.window is None:
            raise BoardError("This board has no window.", 'ota.fetch_from(url, window="02:00-04:00") gives it one.')
        return looks(self.window, moments)

    def _repr_html_(self) -> str:
        settings, state = ({f.name: getattr(part, f.name) for f in fields(part)} for part in (self, self.state))
        del settings["state"]
        return html_table((name, _text(value)) for name, value in (settings | state).items())


def _text(value: object) -> object:
    if isinstance(value, tuple):
        return ", ".join(value)
    return {None: "", True: "yes", False: "no"}.get(value, value) if type(value) is not int else value


def fetching_in(found: Mapping) -> Fetching | None:
    """Return what a board tells of its fetching; None where no firmware of ours would."""
    state, days = found.get("state"), found.get("days")
    if not fits(found, SHAPE) or not (days is None or isinstance(days, list)):
        return None
    texts = [*map(found.get, TEXTS), *map(state.get, STATE_TEXTS), *(days or [])]
    flags = found.get("has_token"), found.get("hold")
    if not all(text is None or fits(text, str) for text in texts) or {*map(type, flags)} != {bool}:
        return None
    chosen = {field.name: found.get(field.name) for field in fields(Fetching)}
    state = State(**{field.name: state.get(field.name) for field in fields(State)})
    return Fetching(**chosen | {"days": days and tuple(days), "state": state})


def ask_fetching(web: Web, method: str = "GET", body: bytes = b"") -> Fetching:
    """Return what the board tells of its fetching, also once it is changed by PUT.

    Raises:
        BoardError: nobody is logged in, its firmware fetches nothing, it refuses a setting, or it is no board of ours.
    """
    answer = web.request(method, "/pull", body=body, headers=JSON if body else {})
    found = fetching_in(read_pull(answer))
    if not found:
        raise not_ours(answer)
    return found


def read_pull(answer: Answer) -> dict:
    """Return what the board said, or raise it; see `read`."""
    if answer.status == NOT_FOUND:
        raise BoardError("The firmware of the board fetches no updates.", "Update it once by ota.upload(image).")
    return read(answer)


def checked(settings: Mapping[str, object]) -> dict[str, object]:
    """Return settings as the board takes them, of what somebody gives: what is ... is left out.

    Raises:
        AddressError, BoardError, SecurityError: one of them is none.
    """
    given = {name: value for name, value in settings.items() if value is not ...}
    for name, change in (("url", source_url), ("zone", posix_zone), ("certificate", pin_of)):
        if given.get(name) is not None:
            given[name] = change(given[name])
    return given


def body_of(settings: Mapping[str, object]) -> bytes:
    """Return the request for settings."""
    try:
        return json.dumps(settings, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise BoardError(
            "These settings are no JSON.", 'Give texts, and days as a list of them: days=["sat", "sun"].'
        ) from None


def source_url(source: object) -> str:
    """Return the address of a source of updates: of a manifest, or of the repository behind "github:owner/name".

    Raises:
        AddressError: it is none, or has a password in it, which every page that shows it would tell.
    """
    if isinstance(source, str) and (found := re.fullmatch(REPOSITORY, source)):
        return GITHUB + found[1]
    with suppress(TypeError, ValueError, AttributeError):  # not a text, or no address
        parts = urlsplit(source)
        if re.fullmatch(ADDRESS, source) and parts.hostname and "@" not in parts.netloc and parts.port != 0:
            return source
    raise AddressError(
        "This is not the address of a manifest or of a repository.",
        'Give one that begins with http:// or https:// and has no password in it, or "github:owner/name".',
    )


def may_have_token(url: str | None) -> bool:
    """Tell whether the settings' token for GitHub is for the server at an address: never where others could read it."""
    parts = urlsplit(url or "")
    is_safe = parts.scheme == "https" or parts.hostname in LOOPBACK
    return is_safe and (parts.hostname == GITHUB_HOST or REPOSITORIES in parts.path)
