"""The client of the board's web server: log in, send an update, watch it arrive, see it confirmed."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from socket import gaierror
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from kit.errors import AddressError, BoardError, ImageError, RollbackError, UpdateError
from kit.image.app_image import read_file
from kit.progress import Progress
from kit.settings import settings
from kit.shown import html_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kit.image.update_image import UpdateImage

VIRTUAL_CHIP = "ESP32 (virtual)"
TIMEOUT = (5, 10)  # seconds to connect, and to answer
RETRY_TIMEOUT = (2, 2)  # while the board restarts
# urllib3 sends under the first: longer than the 10 s for which a board discards the rest of a refused image.
UPLOAD_TIMEOUT = (15, 180)
SILENCE = 30.0  # seconds without an answer to a poll after which the link counts as broken
ABORT_TIMEOUT = 12.0  # seconds: the firmware gives an upload up after 10 s without a byte
CONFIRM_TIMEOUT = 90.0  # seconds: restart, join the Wi-Fi, and the firmware's 60 s for its self-test
RETRY = 0.25  # seconds between two looks at a restarting board
UNDECIDED = ("check", "write", "idle")  # phases of a board that has not had the whole image
NOT_OURS = "Check that board.url is this address."

APART = (
    "board.reset() shows whether the board is on and at this address. If so, the Wi-Fi keeps its devices apart (client "
    "isolation), this computer is in another network, or a firewall is in between."
)
# Why no answer comes, as far as it can be told: the error behind it, what it means, what to do.
NO_ANSWER = (
    (gaierror, "nobody here knows this name", "Use the IP address that board.reset() shows."),
    (ConnectionRefusedError, "no web server runs there", "board.reset() starts the board and shows its address."),
    ((ConnectTimeoutError, NewConnectionError), "nothing is heard from there", APART),
    (requests.RequestException, "there is no proper answer", "Try again; board.reset() starts the board anew."),
)

Sample = tuple[float, int, int, str]  # seconds, bytes received, bytes written, phase


class Info(dict):
    """What the board says of itself (`GET /info`); its repr keeps to what is the same in every run."""

    def __repr__(self) -> str:
        slots = ", ".join(f"{key} {self.get(key)}" for key in ("running", "boot", "next"))
        return f"{self.get('name')} {self.get('version')} on {self.get('chip')}: {slots}, {self.get('image_state')}"

    def _repr_html_(self) -> str:
        return html_table(self.items())


@dataclass(frozen=True, repr=False)
class UploadResult:
    """An update that the board accepted.

    Attributes:
        bytes: the length of the update image, all of it acknowledged by the board.
        seconds: the board's own count by phase: receive, write (with erase), verify, commit.
        samples: (seconds since the upload began, bytes received, bytes written, phase), by the board's word.
        broken: the samples of each try before, at which the link broke.
        restart_seconds: from the board's answer until the new version was confirmed; None where nobody waited.
        virtual: the numbers are a virtual board's.
    """

    version: str
    slot: str
    bytes: int
    seconds: Mapping[str, float]
    samples: tuple[Sample, ...]
    restart_seconds: float | None
    virtual: bool
    broken: tuple[tuple[Sample, ...], ...] = ()

    def __repr__(self) -> str:
        end = "restarting" if self.restart_seconds is None else "confirmed"
        tries = f" at try {len(self.broken) + 1}" if self.broken else ""
        return f"{self.version} in {self.slot}: {self.bytes:,} bytes accepted{tries}, {end}"

    def plot(self) -> Figure:
        """Draw the throughput over time, with the phases marked."""
        from kit.figures.flash import throughput

        return throughput(self)


class OtaClient:
    """The web server of one board.

    Args:
        url: where its port 80 is reached, as `board.url` has it.
        virtual: whether the board is virtual; None asks it.

    Every request is a connection of its own, past any proxy: a board has 10 sockets, and it is on the local network.
    """

    def __init__(self, url: str, *, virtual: bool | None = None) -> None:
        self.url = web_address(url)
        self._virtual = virtual
        self._token: str | None = None  # stays in memory

    def __repr__(self) -> str:
        return "the board's web page"

    def _repr_html_(self) -> str:
        return f'<a href="{escape(self.url)}" target="_blank">{self!r}</a>'

    def info(self) -> Info:
        """Return what the board says of itself.

        Raises:
            BoardError: nothing answers at this address, or something that is no board of ours.
        """
        info = Info(_answer(self._request("GET", "/info")))
        if "version" not in info:
            raise BoardError(f"What answers at {self.url} is not our firmware.", NOT_OURS)
        return info

    def login(self) -> None:
        """Get a token with the OTA password from the settings, and print for how long it is good.

        Raises:
            BoardError: the board does not know this password, or has locked the door; it says for how long.
            SettingsError: no password is set.
        """
        password = settings(self._is_virtual(self.info())).password
        response = self._request("POST", "/login", json={"password": password})
        if response.status_code == 401:
            raise BoardError(
                "Invalid password!", "It comes from KIT_PASSWORD or lab.toml; board.install() writes it to the board."
            )
        answer = _answer(response)
        self._token = answer["token"]
        print(f"Logged in for {answer['expires_in'] // 60} minutes.")

    def progress(self) -> dict:
        """Return the phase of the running update, bytes received and written, its size, and the last error."""
        return _answer(self._request("GET", "/progress"))

    def restart(self) -> Info:
        """Restart the board, and return what it says of itself once it answers again.

        Raises:
            BoardError: nobody is logged in, an update runs, or the board does not come back.
        """
        _answer(self._request("POST", "/restart"))
        self._token = None
        return self.wait_until("did not come back", lambda info, seconds: _started_after(info, seconds - 1))[0]

    def rollback(self) -> Info:
        """Go back to the version in the other slot, and return what the board says of itself once it confirmed that.

        Raises:
            UpdateError: there is no version to go back to, or this is not the time for it.
            BoardError: nobody is logged in, or that version does not confirm itself.
        """
        answer = _answer(self._request("POST", "/rollback"))
        self._token = None
        return self._await_confirmation(answer["version"], answer["slot"])[0]

    def config(self) -> dict:
        """Return the settings that can be changed over the air (Wi-Fi, name, addresses, pins), but for the password."""
        return dict(sorted(_answer(self._request("GET", "/config")).items()))  # MicroPython's dicts have no order

    def configure(self, **settings: object) -> None:
        """Change some of the settings that `config` names, and "wifi_password"; they apply at the next restart.

        Raises:
            BoardError: nobody is logged in, or the board refuses one of them; then none is changed.
        """
        try:
            body = json.dumps(settings, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise BoardError(
                "These settings are no JSON.", "Give texts, whole numbers, None, and a dict of pins."
            ) from None
        headers = {"Content-Type": "application/json"}
        print(_answer(self._request("PUT", "/config", data=body, headers=headers))["message"])

    def upload(
        self, image: UpdateImage | str | os.PathLike | bytes, wait: bool = True, md5: str | None = None, tries: int = 1
    ) -> UploadResult:
        """Send an update image, and wait until the board has restarted and confirmed it.

        The progress bar counts what the board has written to its flash. Log in first.

        Args:
            image: what `kit.build` made, a file of it, or its bytes.
            wait: False returns when the board has accepted the image and is about to restart.
            md5: 32 hex digits to announce, as Arduino's tools do; without them it is the SHA-256 of the image.
            tries: how often to send it in all, where the link breaks.

        Raises:
            ImageError: there is no such file, or it is none.
            UpdateError: the board refuses the image.
            RollbackError: the new version was given up, and the board runs the old one again.
            BoardError: the link broke, or the new version was not confirmed in time.
        """
        data = _bytes(image)
        if not isinstance(tries, int) or tries < 1:
            raise BoardError(f"{tries!r} is no number of tries.", "Give a whole number from 1 on.")
        if self._token is None:
            raise _log_in()
        old = self.info()
        with Progress("upload", len(data)) as bar:
            answer, tried = self._send_until_taken(data, _digest(data, md5), old, bar, tries)
            self._token = None  # the board forgets it when it restarts
            restart = None
            if wait:
                _, restart = self._await_confirmation(answer["version"], answer["slot"])
                bar.update(len(data), "confirmed")
        return UploadResult(
            **{name: answer[name] for name in ("version", "slot", "bytes", "seconds")},
            samples=tried[-1],
            restart_seconds=restart,
            virtual=self._is_virtual(old),
            broken=tuple(tried[:-1]),
        )

    def _is_virtual(self, info: Info) -> bool:
        return info.get("chip") == VIRTUAL_CHIP if self._virtual is None else self._virtual

    def _request(self, method: str, path: str, **options) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            if self._token:
                session.headers["Authorization"] = f"Bearer {self._token}"
            try:
                return session.request(method, self.url + path, allow_redirects=False, **{"timeout": TIMEOUT} | options)
            except requests.RequestException as error:
                raise _no_answer(self.url, error) from None

    def _ask(self, path: str, **options) -> dict | None:
        """Return what the board tells, empty where it will not, None where nothing answers."""
        try:
            response = self._request("GET", path, **options)
            return response.json() if response.ok else {}
        except (BoardError, requests.JSONDecodeError):
            return None

    def _send_until_taken(
        self, data: bytes, digest: dict, old: Info, bar: Progress, tries: int
    ) -> tuple[dict, list[tuple[Sample, ...]]]:
        """Send the image until the link holds; return the board's answer, and the samples of each try."""
        tried: list[tuple[Sample, ...]] = []
        while True:
            answer, samples = self._send(data, digest, bar)
            tried.append(samples)
            if answer:
                return answer, tried
            error = _broken(samples[-1], len(data), old)
            if len(tried) == tries or samples[-1][3] not in UNDECIDED:
                raise error
            print(f"Try {len(tried)}: {error.cause}")

    def _send(self, data: bytes, digest: dict, bar: Progress) -> tuple[dict | None, tuple[Sample, ...]]:
        """Send the image in one thread and poll in this one; return the board's answer, if any, and the samples."""
        headers = {"Content-Type": "application/octet-stream"} | digest
        responses, start = [], time.monotonic()

        def send(body: io.BytesIO | None) -> None:
            with suppress(BoardError, ValueError):  # the link broke; the body is closed, as nobody waits any more
                responses.append(self._request("POST", "/update", timeout=UPLOAD_TIMEOUT, headers=headers, data=body))

        with io.BytesIO(data) as body:  # requests would send an empty one in chunks
            samples = self._watch(threading.Thread(target=send, args=[body if data else None], daemon=True), bar)
        if not responses:
            seconds = time.monotonic() - start
            return None, (*samples, (seconds, *(self._last_word() or samples[-1])[1:]))
        answer = _answer(responses[0])
        bar.update(answer["bytes"], "restart")
        seconds = responses[0].elapsed.total_seconds()
        samples = [sample for sample in samples if sample[0] < seconds]
        return answer, (*samples, (seconds, answer["bytes"], answer["bytes"], "restart"))

    def _watch(self, sender: threading.Thread, bar: Progress) -> list[Sample]:
        """Show what the board has written, until the sender ends or the board falls silent."""
        samples = [(0.0, 0, 0, "check")]
        start = heard = time.monotonic()
        sender.start()
        while sender.is_alive() and time.monotonic() - heard < SILENCE:
            sender.join(0.2 if time.monotonic() - start < 1 else 1.0)
            state = self._ask("/progress") if sender.is_alive() else None
            heard = heard if state is None else time.monotonic()
            if state and state["phase"] != "idle":  # idle: the board has not begun, and tells of an update before
                samples.append((heard - start, state["received"], state["written"], state["phase"]))
                bar.update(state["written"], state["phase"])
        return samples

    def _last_word(self) -> Sample | None:
        """Return what the board has of an upload whose link broke, once the board has noticed; None if it won't say."""
        start = time.monotonic()
        while (state := self._ask("/progress")) and (seconds := time.monotonic() - start) < ABORT_TIMEOUT:
            if state["phase"] not in ("check", "write"):
                return seconds, state["received"], state["written"], state["phase"]
            time.sleep(RETRY)
        return None

    def _await_confirmation(self, version: str, slot: str) -> tuple[Info, float]:
        """Return what the board says once the new version runs and is VALID, and the seconds until then."""

        def is_confirmed(info: Info, seconds: float) -> bool:
            # The old version answers until the restart, which comes after a second. Started later than that it is back.
            if info.get("running") != slot and _started_after(info, seconds - 1):
                raise RollbackError(
                    f"Version {version} was given up, and the board went back to {info.get('version')}.",
                    "Send it in a block `with board.listening() as log:`, and log shows why.",
                )
            return (info.get("running"), info.get("image_state")) == (slot, "VALID")

        return self.wait_until(f"did not confirm version {version}", is_confirmed)

    def wait_until(self, failure: str, is_so: Callable[[Info, float], bool]) -> tuple[Info, float]:
        """Ask the board until its answer, and the seconds since the first question, are as wanted; return both.

        Args:
            failure: what the board did not do, for the error.

        Raises:
            BoardError: it was not so within 90 s.
        """
        start = time.monotonic()
        last = "none"
        while (seconds := time.monotonic() - start) < CONFIRM_TIMEOUT:
            info = Info(self._ask("/info", timeout=RETRY_TIMEOUT) or {})
            if is_so(info, seconds):
                return info, seconds
            last = info or last
            time.sleep(RETRY)
        raise BoardError(
            f"The board {failure} within {CONFIRM_TIMEOUT:.0f} s; its last answer: {last}.",
            "board.reset() restarts it and shows its address.",
        )


def _started_after(info: Info, seconds: float) -> bool:
    """Tell whether the board, whose uptime is in whole seconds, started less than so many seconds ago."""
    return info.get("uptime", seconds) < seconds


def _digest(data: bytes, md5: str | None) -> dict[str, str]:
    """Return the header that announces the digest of an image."""
    if md5 is not None:
        if not (isinstance(md5, str) and re.fullmatch("[0-9a-fA-F]{32}", md5)):
            raise ImageError(f"{md5!r} is no MD5.", "Give 32 hex digits, or leave it out.")
        return {"x-MD5": md5}
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    return {"Content-Digest": f"sha-256=:{digest}:"}  # RFC 9530


def web_address(url: object) -> str:
    """Return the address of a web server with its scheme, without a slash at its end.

    Raises:
        AddressError: it is none.
    """
    with suppress(TypeError, ValueError):  # not a text; what requests or IDNA take for no address
        address = url if "://" in url else f"http://{url}"
        parts = urlsplit(requests.Request("GET", address).prepare().url)
        if parts.scheme in ("http", "https") and parts.hostname.encode("idna"):
            return address.rstrip("/")
    raise AddressError(f"{url!r} is not the address of a web server.", "Use board.url.")


def _no_answer(url: str, error: BaseException) -> BoardError:
    errors = [error]  # of requests, of urllib3, of the socket
    while cause := errors[-1].__cause__ or errors[-1].__context__:
        errors.append(cause)
    [why, advice] = next(texts for kinds, *texts in NO_ANSWER if any(isinstance(error, kinds) for error in errors))
    return BoardError(f"The board has the address {url}, and this computer cannot reach it: {why}.", advice)


def _answer(response: requests.Response) -> dict:
    """Return the board's answer, or raise what it says."""
    try:
        answer = dict(response.json())
    except (TypeError, ValueError):  # no JSON, or no object
        answer = {}
    if response.ok and answer:
        return answer
    error, status = str(answer.get("error", "")), response.status_code
    message, advice = answer.get("message"), answer.get("advice", NOT_OURS)
    if error.startswith("UPDATE_ERROR_"):
        raise UpdateError(error, message, advice, status)
    if status == 401:
        raise _log_in()
    if (seconds := response.headers.get("Retry-After", "")).isdecimal():  # 429, locked out
        advice = f"Try again in {int(seconds) // 60} min {int(seconds) % 60} s."
    path = urlsplit(response.url).path
    raise BoardError(message or f"{path} answered {status} {response.reason}, not as our firmware does.", advice)


def _broken(last: Sample, size: int, old: Info) -> BoardError:
    _, _, written, phase = last
    cause = f"The link broke after the board had acknowledged {written:,} of {size:,} bytes."
    if phase in UNDECIDED:
        return BoardError(cause, f"The old version {old.get('version')} still runs: upload again.")
    return BoardError(cause, "ota.info() shows which version runs: the board may have had all.")


def _log_in() -> BoardError:
    return BoardError("Nobody is logged in, 5 minutes are over, or the board has restarted.", "Log in: ota.login().")


def _bytes(image: UpdateImage | str | os.PathLike | bytes) -> bytes:
    data = getattr(image, "data", image)
    if isinstance(data, str | os.PathLike):
        data = read_file(data)
    if not isinstance(data, bytes | bytearray):
        raise ImageError(f"A {type(image).__name__} is no update image.", 'Build one: kit.build("1.1.0", board=board).')
    return data
