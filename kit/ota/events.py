"""What boards post to a webhook: a small web server that takes it, and tells it by apprise."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from kit.errors import BoardError, KitError, interruptible
from kit.image.release import is_virtual
from kit.message import send
from kit.ota.answer import fits, one_line, said
from kit.ota.cause import CONFIRMED, INTERRUPTED, PROBATION, REFUSED, ROLLED_BACK, last_update, outcome_text, why
from kit.settings import webhook_key
from kit.shown import html_table

if TYPE_CHECKING:
    from kit.board.board import Board

LONGEST_BODY = 8192
SECONDS = 10  # of silence after which a sender is left alone
SIGNATURE = "X-Signature-256"
SHAPE = {"event": str, "hostname": str, "state": {"version": str}}
PULL = {"outcome": str, "version": str}
NONE = "no events"
OUTCOMES = {
    ROLLED_BACK: "was rolled back",
    CONFIRMED: "is confirmed",
    PROBATION: "is on probation",
    REFUSED: "was refused",
    INTERRUPTED: "was interrupted",
}


@dataclass(frozen=True, repr=False)
class Event:
    """What a board has told.

    Attributes:
        hostname: which board.
        text: what is new, as one short sentence.
        state: all that it told of itself.
        time: in seconds since 1970; None where the board knew no clock.
    """

    hostname: str
    text: str
    state: dict
    time: int | None

    def __repr__(self) -> str:
        return f"{self.hostname}: {self.text}"


class Events(tuple[Event, ...]):
    """What boards have told, the oldest first; its text is the same in every run."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or NONE

    def _repr_html_(self) -> str:
        return html_table([(event.hostname, event.text) for event in self] or [[NONE]])


@interruptible
def receive_events(board: Board | None = None, *, host: str = "127.0.0.1", port: int = 0) -> Receiver:
    """Start a small web server that takes what boards tell, and passes it on to the addresses in the settings.

    Its `url` is what `ota.tell(webhook=…)` takes; its `events` are what has come. It knows boards by the webhook key in
    the settings, and runs until `close()`, or to the end of a `with`.

    Args:
        board: of which kind the boards are, virtual or real; without one the current address decides.
        host: the address of this computer at which the boards reach it; a virtual board does at 127.0.0.1.
        port: where it listens; 0 for any.

    Raises:
        KitError: it cannot listen there.
        SettingsError: there is no webhook key.
    """
    return Receiver(webhook_key(is_virtual(board)), host, port)


class Receiver:
    """A web server for what boards tell.

    Attributes:
        url: where it is reached.
        problem: why the last event was not passed on; None where it was, or where nobody is to be told.
    """

    def __init__(self, key: str, host: str, port: int) -> None:
        self._key = key.encode()
        del key  # a traceback can show what variables hold
        self._events: list[Event] = []
        self._seen: set[bytes] = set()
        self._states: dict[str, dict] = {}  # the last one of each board
        self._news = threading.Condition()
        self._turn = threading.Lock()  # events are passed on one by one
        self.problem: str | None = None
        try:
            self._server = _Server((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            advice = "host= is an address of this computer, port= one that is free."
            raise KitError(f"Nothing can listen at {host}:{port}: {reason}.", advice) from None
        self._server.receiver = self
        self.url = f"http://{host}:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def __repr__(self) -> str:
        return "a receiver of events"

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def events(self) -> Events:
        """What boards have told so far."""
        return Events(self._events)

    def wait_for(self, words: str, seconds: float = 120) -> Event:
        """Return the first event that has these words in its sentence, as soon as it has come.

        Raises:
            BoardError: none comes within these seconds.
        """

        def found() -> Event | None:
            return next((event for event in self._events if words in event.text), None)

        with self._news:
            if not self._news.wait_for(found, seconds):
                raise BoardError(
                    f"No board has told {words!r} within {seconds:g} s.", "ota.telling() shows what went wrong."
                )
            return found()

    def follow(self) -> Iterator[Event]:
        """Give each event as it comes, for good."""
        for number in itertools.count():
            with self._news:
                while len(self._events) <= number:
                    self._news.wait()
            yield self._events[number]

    def is_signed(self, body: bytes, signature: str) -> bool:
        """Tell whether who has sent this knows the key."""
        right = "sha256=" + hmac.new(self._key, body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(signature.encode(), right.encode())

    def take(self, body: bytes, found: dict) -> None:
        """Take an event and pass it on; the very same one counts once."""
        digest = hashlib.sha256(body).digest()
        with self._turn:
            if digest in self._seen:
                return
            self._seen.add(digest)
            hostname, state = found["hostname"], found["state"]
            text = sentence(state, self._states.get(hostname))
            self._states[hostname] = state
            time = found.get("time")
            event = Event(hostname, text, state, time if fits(time, int) else None)
            self._pass_on(event)
            with self._news:
                self._events.append(event)
                self._news.notify_all()

    def _pass_on(self, event: Event) -> None:
        try:
            send(event.hostname, repr(event))
            self.problem = None
        except KitError as error:
            self.problem = str(error)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: Receiver

    def handle_error(self, *_: object) -> None:
        """Whoever breaks off has only harmed himself."""


class _Handler(BaseHTTPRequestHandler):
    timeout = SECONDS

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return self._answer(411)
        if len(length) > 5 or int(length) > LONGEST_BODY:
            return self._answer(413)
        body = self.rfile.read(int(length))
        if not self.server.receiver.is_signed(body, self.headers.get(SIGNATURE, "")):
            return self._answer(401)
        found = said(body, SHAPE)
        if not found or found["event"] != "state":
            return self._answer(400)
        self._answer(200)  # first: the board does not wait until somebody is told
        self.server.receiver.take(body, found)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write nothing into a notebook."""


def sentence(state: Mapping, before: Mapping | None) -> str:
    """Return what is new in a state of a board, as one short sentence; before it there may be none."""
    last, version = last_update(state), one_line(state["version"])
    if before is None:
        return f"runs version {version}" + (f"; last update: {outcome_text(last)}" if last else "")
    if last and last != last_update(before):
        cause = why(last) if last["outcome"] == ROLLED_BACK else last.get("cause")
        outcome = OUTCOMES.get(last["outcome"], last["outcome"])
        return f"version {last['version']} {outcome}" + (f": {cause}" if cause else "")
    pull, old = state.get("pull"), before.get("pull")
    if isinstance(pull, dict) and pull != old and (outcome := one_line(pull.get("outcome"))):
        cause = one_line(pull.get("cause"))
        return f"looked for an update: {outcome}" + (f", {cause}" if cause else "")
    return f"runs version {version}, {one_line(state.get('image_state')) or 'state unknown'}"
