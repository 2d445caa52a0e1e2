"""The web server of a board: one request after the other, and why no answer comes."""

from contextlib import suppress
from socket import gaierror
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from kit.errors import AddressError, BoardError, UpdateError

TIMEOUT = (5, 10)  # seconds to connect, and to answer
RETRY = 0.25  # seconds between two looks at a board that is busy or down
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


class Web:
    """The web server of one board, and the token of who is logged in.

    Args:
        url: where its port 80 is reached, as `board.url` has it.

    Every request is a connection of its own, past any proxy: a board has 10 sockets, and it is on the local network.

    Raises:
        AddressError: no web server can be there.
    """

    def __init__(self, url: str) -> None:
        self.url = web_address(url)
        self.token: str | None = None  # stays in memory

    def request(self, method: str, path: str, **options) -> requests.Response:
        """Return whatever answers, of any status.

        Raises:
            BoardError: nothing does; it says why, as far as that can be told.
        """
        with requests.Session() as session:
            session.trust_env = False
            if self.token:
                session.headers["Authorization"] = f"Bearer {self.token}"
            try:
                return session.request(method, self.url + path, allow_redirects=False, **{"timeout": TIMEOUT} | options)
            except requests.RequestException as error:
                raise _no_answer(self.url, error) from None

    def ask(self, method: str, path: str, **options) -> dict:
        """Return the board's answer to a request, or raise what it says; see `answer`."""
        return answer(self.request(method, path, **options))

    def look(self, path: str, **options) -> dict | None:
        """Return what the board tells, empty where it will not, None where nothing answers."""
        try:
            response = self.request("GET", path, **options)
            return dict(response.json()) if response.ok else {}
        except (BoardError, TypeError, ValueError):  # also what is no JSON, or no object
            return None


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


def answer(response: requests.Response) -> dict:
    """Return the board's answer, or raise what it says.

    Raises:
        UpdateError: it refuses an update.
        BoardError: nobody is logged in, it refuses something else, or it answers as no firmware of ours does.
    """
    try:
        said = dict(response.json())
    except (TypeError, ValueError):  # no JSON, or no object
        said = {}
    if response.ok and said:
        return said
    error, status = str(said.get("error", "")), response.status_code
    message, advice = said.get("message"), said.get("advice", NOT_OURS)
    if error.startswith("UPDATE_ERROR_"):
        raise UpdateError(error, message, advice, status)
    if status == 401:
        raise log_in()
    if (seconds := response.headers.get("Retry-After", "")).isdecimal():  # 429, locked out
        advice = f"Try again in {int(seconds) // 60} min {int(seconds) % 60} s."
    path = urlsplit(response.url).path
    raise BoardError(message or f"{path} answered {status} {response.reason}, not as our firmware does.", advice)


def log_in() -> BoardError:
    """Return the error for who is not logged in."""
    return BoardError("Nobody is logged in, 5 minutes are over, or the board has restarted.", "Log in: ota.login().")
