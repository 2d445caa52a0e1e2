"""The web server of a board: one request after the other, and why no answer comes."""

from contextlib import suppress
from http.client import HTTPException
from socket import gaierror
from ssl import SSLCertVerificationError
from urllib.parse import SplitResult, urlsplit

import requests

from kit.errors import AddressError, BoardError, SecurityError
from kit.ota.answer import Shape, read, said
from kit.ota.exchange import Answer, Exchange, UnreachedError, WrongPinError
from kit.ota.pins import pin_for, pin_of

SECONDS = 10.0  # for an answer
RETRY = 0.25  # seconds between two looks at a board that is busy or down
JSON = {"Content-Type": "application/json"}

APART = (
    "board.reset() shows whether the board is on and at this address. If so, the Wi-Fi keeps its devices apart (client "
    "isolation), this computer is in another network, or a firewall is in between."
)
# Why no answer comes, as far as it can be told: the error, what it means, what to do.
NO_ANSWER = (
    (
        WrongPinError,
        "another one than the board answers there, or the board has got another certificate",
        "Nothing was sent. board.reset() reads the certificate that the board has now from its serial port.",
    ),
    (
        SSLCertVerificationError,
        "nothing proves that the board answers there",
        "Nothing was sent. board.reset() reads from the serial port by what certificate the board is known; or give "
        "OtaClient the pin=, as 64 hex digits or as the file of the certificate.",
    ),
    (gaierror, "nobody here knows this name", "Use the IP address that board.reset() shows."),
    (ConnectionRefusedError, "no web server runs there", "board.reset() starts the board and shows its address."),
    (UnreachedError, "nothing is heard from there", APART),
    (Exception, "there is no proper answer", "Try again; board.reset() starts the board anew."),
)


class Web:
    """The web server of one board, and the token of who is logged in.

    Args:
        url: where its web server is reached, as `board.url` has it.
        pin: by what certificate it is known over HTTPS, see `pin_of`; None for what was kept of it. Without any there
            must be a certificate of an authority, as a proxy has it.

    Every request is a connection of its own, past any proxy: a board has 10 sockets, and it is on the local network.

    Raises:
        AddressError: no web server can be there.
        SecurityError: there is no such pin.
    """

    def __init__(self, url: str, pin: object = None) -> None:
        self.url = web_address(url)
        self._parts = _parts(self.url)
        self._pin = None if pin is None else pin_of(pin)
        if self._pin and self._parts.scheme != "https":  # whoever gives a pin must not be heard in the clear
            raise SecurityError("A pin is for an address that begins with https.", "board.reset() shows the board's.")
        self.token: str | None = None  # stays in memory

    @property
    def pin(self) -> str | None:
        """By what certificate the board is known; None by plain HTTP too, where there is none."""
        return (self._pin or pin_for(self.url)) if self._parts.scheme == "https" else None

    def exchange(self) -> Exchange:
        """Return a connection for one request, which has not begun."""
        return Exchange(self._parts, self.pin)

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        seconds: float | None = None,
        exchange: Exchange | None = None,
    ) -> Answer:
        """Return whatever answers, of any status.

        Args:
            seconds: for the answer, once the request is sent; None for SECONDS.
            exchange: the connection, where another thread may break it off.

        Raises:
            BoardError: nothing does; it says why, as far as that can be told.
        """
        headers = (headers or {}) | ({"Authorization": f"Bearer {self.token}".encode()} if self.token else {})
        exchange, path = exchange or self.exchange(), self._parts.path.rstrip("/") + path
        try:
            return exchange.run(method, path, body, headers, seconds or SECONDS)
        except (OSError, HTTPException, ValueError) as error:
            raise _no_answer(self.url, error) from None

    def ask(self, method: str, path: str, shape: Shape | None = None, **options) -> dict:
        """Return the board's answer to a request, or raise what it says; see `read`."""
        return read(self.request(method, path, **options), shape)

    def look(self, path: str, shape: Shape | None = None, **options) -> dict | None:
        """Return what the board tells, empty where it will not, None where nothing answers as our firmware does."""
        try:
            answer = self.request("GET", path, **options)
        except BoardError:
            return None
        return said(answer.body, shape) if answer.is_ok else {}


def web_address(url: object) -> str:
    """Return the address of a web server with its scheme, without a slash at its end.

    Raises:
        AddressError: it is none.
    """
    with suppress(TypeError, ValueError):  # not a text; what requests or IDNA take for no address
        address = url if "://" in url else f"http://{url}"
        parts = _parts(address)
        if parts.scheme in ("http", "https") and parts.hostname.encode("idna"):
            return address.rstrip("/")
    raise AddressError(f"{url!r} is not the address of a web server.", "Use board.url.")


def _parts(address: str) -> SplitResult:
    return urlsplit(requests.Request("GET", address).prepare().url)


def _no_answer(url: str, error: Exception) -> BoardError:
    kinds = {*type(error.__cause__).__mro__, *type(error).__mro__}
    [why, advice] = next(texts for kind, *texts in NO_ANSWER if kind in kinds)
    return BoardError(f"The board has the address {url}, and this computer cannot reach it: {why}.", advice)
