"""The client of the board's web server: log in, send an update, watch it arrive, see it confirmed."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests

from kit.errors import AddressError, BoardError, ImageError, UpdateError
from kit.image import read_file
from kit.progress import Progress
from kit.settings import settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kit.update_image import UpdateImage

VIRTUAL_CHIP = "ESP32 (virtual)"
TIMEOUT = (5, 10)  # seconds to connect, and to answer
RETRY_TIMEOUT = (2, 2)  # while the board restarts
# urllib3 sends under the first: longer than the 10 s for which a board discards the rest of a refused image.
UPLOAD_TIMEOUT = (15, 180)
SILENCE = 30.0  # seconds without an answer to a poll after which the link counts as broken
CONFIRM_TIMEOUT = 90.0  # seconds: restart, join the Wi-Fi, and the firmware's 60 s for its self-test
RETRY = 0.25  # seconds between two looks at a restarting board

Sample = tuple[float, int, int, str]  # seconds, bytes received, bytes written, phase


class Info(dict):
    """What the board says of itself (`GET /info`); its repr keeps to what is the same in every run."""

    def __repr__(self) -> str:
        slots = ", ".join(f"{key} {self.get(key)}" for key in ("running", "boot", "next"))
        return f"{self.get('name')} {self.get('version')} on {self.get('chip')}: {slots}, {self.get('image_state')}"

    def _repr_html_(self) -> str:
        rows = (f"<tr><th>{escape(str(key))}</th><td>{escape(str(value))}</td></tr>" for key, value in self.items())
        return f"<table>{''.join(rows)}</table>"


@dataclass(frozen=True, repr=False)
class UploadResult:
    """An update that the board accepted.

    Attributes:
        bytes: the length of the update image, all of it acknowledged by the board.
        seconds: the board's own count by phase: receive, write (with erase), verify, commit.
        samples: (seconds since the upload began, bytes received, bytes written, phase), by the board's word.
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

    def __repr__(self) -> str:
        end = "restarting" if self.restart_seconds is None else "confirmed"
        return f"{self.version} in {self.slot}: {self.bytes:,} bytes accepted, {end}"

    def plot(self) -> Figure:
        """Draw the throughput over time, with the phases marked."""
        from kit.figures import throughput

        return throughput(self)


class OtaClient:
    """The web server of one board.

    Args:
        url: where its port 80 is reached, as `board.url` has it.
        virtual: whether the board is virtual; None asks it.

    Every request is a connection of its own, past any proxy: a board has 10 sockets, and it is on the local network.
    """

    def __init__(self, url: str, *, virtual: bool | None = None) -> None:
        if not _is_web_address(url):
            raise AddressError(f"{url!r} is not the address of a web server.", "Use board.url.")
        self.url = _with_scheme(url).rstrip("/")
        self._virtual = virtual
        self._token: str | None = None  # stays in memory

    def __repr__(self) -> str:
        return f"OtaClient({self.url!r})"

    def info(self) -> Info:
        """Return what the board says of itself."""
        info = Info(_answer(self._reach("GET", "/info")))
        if "version" not in info:
            raise BoardError(
                f"What answers at {self.url} is not our firmware.", "Check that board.url is this address."
            )
        return info

    def login(self, password: str | None = None) -> None:
        """Get a token with the OTA password from the settings, and print for how long it is good.

        Raises:
            BoardError: the board does not know this password, or has locked the door.
            SettingsError: no password is set.
        """
        password = password or settings(self._is_virtual()).password
        response = self._reach("POST", "/login", json={"password": password})
        if response.status_code == 401:
            raise BoardError(
                "Invalid password!",
                "Use the one that the board was installed with: it comes from KIT_PASSWORD, else from lab.toml; "
                "board.install() writes it to the board.",
            )
        answer = _answer(response)
        self._token = answer["token"]
        print(f"Logged in for {answer['expires_in'] // 60} minutes.")

    def progress(self) -> dict:
        """Return the phase of the running update, bytes received and written, its size, and the last error."""
        return _answer(self._reach("GET", "/progress"))

    def upload(self, image: UpdateImage | str | os.PathLike | bytes, wait: bool = True) -> UploadResult:
        """Send an update image, and wait until the board has restarted and confirmed it.

        The progress bar counts what the board has written to its flash. Log in first.

        Args:
            image: what `kit.build` made, a file of it, or its bytes.
            wait: False returns when the board has accepted the image and is about to restart.

        Raises:
            UpdateError: the board refuses the image.
            BoardError: the link broke, or the new version was not confirmed; the board then runs the old one.
        """
        data = _bytes(image)
        if self._token is None:
            raise _log_in()
        old = self.info()
        with Progress("upload", len(data)) as bar:
            answer, samples = self._send(data, old, bar)
            self._token = None  # the board forgets it when it restarts
            restart = self._await_confirmation(answer, bar) if wait else None
        return UploadResult(
            version=answer["version"],
            slot=answer["slot"],
            bytes=answer["bytes"],
            seconds=answer["seconds"],
            samples=samples,
            restart_seconds=restart,
            virtual=self._is_virtual(),
        )

    def _is_virtual(self) -> bool:
        if self._virtual is None:
            self._virtual = self.info().get("chip") == VIRTUAL_CHIP
        return self._virtual

    def _request(self, method: str, path: str, **options) -> requests.Response:
        headers = {"Accept": "application/json"} | options.pop("headers", {})
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        options = {"timeout": TIMEOUT, "headers": headers, "allow_redirects": False} | options
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.url + path, **options)

    def _reach(self, method: str, path: str, **options) -> requests.Response:
        try:
            return self._request(method, path, **options)
        except requests.RequestException:
            raise BoardError(
                f"The board has the address {self.url}, and this computer cannot reach it.",
                "Check that the board is on and that both are in the same network; board.reset() shows its address.",
            ) from None

    def _send(self, data: bytes, old: Info, bar: Progress) -> tuple[dict, tuple[Sample, ...]]:
        """Send the image in one thread and poll in this one; return the board's answer and the samples."""
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        headers = {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{digest}:"}  # RFC 9530
        body = _Body(data)
        sender = _Sender(lambda: self._request("POST", "/update", timeout=UPLOAD_TIMEOUT, data=body, headers=headers))
        try:
            samples = self._watch(sender, bar)
        finally:
            body.stop()
        if sender.response is None:
            raise _broken(samples[-1], len(data), old)
        answer = _answer(sender.response)
        samples = [sample for sample in samples if sample[0] < sender.seconds]
        bar.update(answer["bytes"], "restart")
        return answer, (*samples, (sender.seconds, answer["bytes"], answer["bytes"], "restart"))

    def _watch(self, sender: _Sender, bar: Progress) -> list[Sample]:
        samples: list[Sample] = [(0.0, 0, 0, "check")]
        sender.start()
        heard = 0.0
        while sender.is_alive() and sender.elapsed() - heard < SILENCE:
            sender.join(0.2 if sender.elapsed() < 1 else 1.0)
            state = self._poll() if sender.is_alive() else None
            heard = heard if state is None else sender.elapsed()
            if state and state.get("phase") != "idle":  # idle: the board has not begun, and tells of an update before
                samples.append((heard, state["received"], state["written"], state["phase"]))
                bar.update(state["written"], state["phase"])
        return samples

    def _poll(self) -> dict | None:
        """Return the board's progress, empty where it does not tell, None where it does not answer."""
        try:
            response = self._request("GET", "/progress")
            return response.json() if response.ok else {}
        except requests.RequestException:
            return None

    def _await_confirmation(self, answer: dict, bar: Progress) -> float:
        """Return the seconds until the new version runs and is VALID."""
        restart = _Restart(answer["version"], answer["slot"])
        while restart.elapsed() < CONFIRM_TIMEOUT:
            if restart.is_confirmed(self._look()):
                bar.update(answer["bytes"], "confirmed")
                return restart.elapsed()
            time.sleep(RETRY)
        raise BoardError(
            f"The board did not confirm version {answer['version']} within {CONFIRM_TIMEOUT:.0f} s; "
            f"its last answer: {restart.last}.",
            "board.reset() restarts it and shows its address.",
        )

    def _look(self) -> Info | None:
        try:
            return Info(_answer(self._reach("GET", "/info", timeout=RETRY_TIMEOUT)))
        except BoardError:
            return None


class _Restart:
    """What is seen of a board on its way into a new version."""

    def __init__(self, version: str, slot: str) -> None:
        self._new = (version, slot)
        self._start = time.monotonic()
        self._was_down = self._was_new = False
        self.last: Info | None = None

    def elapsed(self) -> float:
        return time.monotonic() - self._start

    def is_confirmed(self, info: Info | None) -> bool:
        """Take in one answer, or that there was none.

        Raises:
            BoardError: the board rolled back.
        """
        if info is None:
            self._was_down = True
            return False
        self.last = info
        if (info.get("version"), info.get("running")) == self._new:
            self._was_new = True
            return info.get("image_state") == "VALID"
        # The old version answers until the restart, too: it is back if it started later than that.
        started_later = self._was_down and info.get("uptime", self.elapsed()) < self.elapsed()
        if self._was_new or started_later:
            raise BoardError(
                f"Version {self._new[0]} did not confirm itself: the board rolled back, "
                f"and {info.get('version')} runs again.",
                "board.console() shows why; mend the application, build it anew and upload it.",
            )
        return False


class _Body:
    """The image as a stream that knows its length: requests then sends Content-Length, and no chunks."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)
        self._length = len(data)
        self._stopped = False

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        if self._stopped:
            raise ConnectionAbortedError("the upload was given up")
        size = len(self._rest) if size < 0 else size
        block, self._rest = self._rest[:size], self._rest[size:]
        return bytes(block)

    def stop(self) -> None:
        self._stopped = True


class _Sender(threading.Thread):
    """Sends the image; `response` stays None where the link broke."""

    def __init__(self, post: Callable[[], requests.Response]) -> None:
        super().__init__(daemon=True)
        self._post = post
        self._start = time.monotonic()
        self.response: requests.Response | None = None
        self.seconds = 0.0

    def elapsed(self) -> float:
        return time.monotonic() - self._start

    def run(self) -> None:
        with contextlib.suppress(requests.RequestException):
            self.response = self._post()
        self.seconds = self.elapsed()


def _with_scheme(url: str) -> str:
    return url if "://" in url else f"http://{url}"


def _is_web_address(url: object) -> bool:
    try:
        parts = urlsplit(_with_scheme(url))
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except (TypeError, ValueError):  # not a text; brackets or a port that make no sense
        return False


def _answer(response: requests.Response) -> dict:
    """Return the board's answer, or raise what it says."""
    try:
        answer = response.json()
    except requests.JSONDecodeError:
        answer = None
    answer = answer if isinstance(answer, dict) else {}
    if response.ok and answer:
        return answer
    error, message = str(answer.get("error", "")), answer.get("message")
    advice = answer.get("advice", "Check that board.url is this address.")
    if error.startswith("UPDATE_ERROR_"):
        raise UpdateError(error, message, advice, response.status_code)
    if response.status_code == 401:
        raise _log_in()
    path = urlsplit(response.url).path
    raise BoardError(
        message or f"{path} answered {response.status_code} {response.reason}, not as our firmware does.", advice
    )


def _broken(last: Sample, size: int, old: Info) -> BoardError:
    _, _, written, phase = last
    cause = f"The link broke after the board had acknowledged {written:,} of {size:,} bytes."
    if phase in ("check", "write"):
        return BoardError(cause, f"The old version {old.get('version')} still runs: upload again.")
    return BoardError(cause, "ota.info() shows which version runs: the board may have had all.")


def _log_in() -> BoardError:
    return BoardError("The board asks who you are: nobody is logged in, or 5 minutes are over.", "Log in: ota.login().")


def _bytes(image: UpdateImage | str | os.PathLike | bytes) -> bytes:
    if isinstance(image, bytes | bytearray):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        return read_file(image)
    if not hasattr(image, "data"):
        raise ImageError(f"A {type(image).__name__} is no update image.", 'Build one: kit.build("1.1.0", board=board).')
    return image.data
