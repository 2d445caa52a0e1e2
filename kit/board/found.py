"""`kit.find`: the boards that can be found, and what each says of itself."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from zeroconf import AddressResolverIPv4, DNSQuestionType, Error, InterfaceChoice, Zeroconf

from kit.board.boot_log import known_urls
from kit.errors import AddressError, interruptible
from kit.ota.web import Web, web_address
from kit.shown import html_table

LOOPBACK, NETWORK = ["127.0.0.1"], InterfaceChoice.All
MDNS_PATIENCE = 2000  # ms; a name that was asked for just before is answered 1 s later (RFC 6762, sections 6 and 7.3)
PATIENCE = 0.8  # s to connect, and for an answer to GET /info
HEAD = ("name", "version", "chip", "state", "running", "address", "found by")
LINE = "{:<16}  {:<7}  {:<15}  {}"
NOTHING = 'No board was found. Connect one: kit.connect(); or give its name, as in kit.find("esp32-ota").'
ADVICE = (
    "Names are found by mDNS in the same network only, and some routers and company networks block it. Use the IP "
    "address in the boot log: board.reset() prints it. For a browser that finds no names: on Linux install "
    "avahi-daemon, on Windows Bonjour Print Services."
)


@dataclass(frozen=True)
class Found:
    """A board, or a name without one.

    Args:
        name: its hostname, empty where it does not say.
        url: where its web server is reached, empty where nobody knows.
        how: by what it was found: "register" (of virtual boards), "boot log", "KIT_URL", "mDNS".
        info: what it says of itself, as text; empty when it does not answer.
    """

    name: str
    url: str
    how: str
    info: dict[str, str]

    @property
    def state(self) -> str:
        """The image state of what runs, "no answer", or "not found"."""
        return self.info.get("image_state", "") if self.info else "no answer" if self.url else "not found"

    def cells(self) -> list[str]:
        """Return what a table has of it, by HEAD."""
        version, chip, running = (self.info.get(key, "") for key in ("version", "chip", "running"))
        return [self.name or "?", version, chip, self.state, running, self.url, self.how]


class Boards(tuple[Found, ...]):
    """The boards that were found, and the names that were not."""

    @property
    def advice(self) -> str:
        """What to do next, empty when all went well."""
        return ADVICE if any(not board.url for board in self) else "" if self else NOTHING

    def __repr__(self) -> str:
        return "\n".join([*(LINE.format(*board.cells()) for board in self), self.advice]).strip()

    def _repr_html_(self) -> str:
        return html_table((board.cells() for board in self), HEAD) + f"<p>{self.advice}</p>"


@interruptible
def find(*names: str) -> Boards:
    """Look for boards, for some seconds, and ask each of them for its /info.

    Without a name the virtual boards of this user are found that run, the boards that were reset in this session, and
    the one at KIT_URL.

    Args:
        names: hostnames to ask for in this computer's network by mDNS, with or without `.local`.

    Raises:
        AddressError: something is no hostname, or KIT_URL no address.
    """
    from kit.virtual.join import running

    asked = dict.fromkeys(map(_hostname, names))
    virtual = running()
    serials = {board.get("serial") for board in virtual}  # the register has their port 80, which answers always
    logged = (url for address, url in known_urls.items() if address not in serials)
    places = dict.fromkeys(logged, "boot log") | {board["http"]: "register" for board in virtual}
    places |= {web_address(url): "KIT_URL" for url in [os.environ.get("KIT_URL")] if url}
    with ThreadPoolExecutor() as pool:
        boards = list(pool.map(_look, places, places.values()))
        # A virtual board that has ended is still in the boot logs of this session.
        boards = [board for board in boards if board.info or board.how != "boot log" or "//127." not in board.url]
        known = {board.name.lower() for board in boards if board.name}
        here, there = pool.map(_resolve, [known, asked.keys() - known], [LOOPBACK, NETWORK])
        boards = [replace(board, how=f"{board.how}, mDNS") if board.name.lower() in here else board for board in boards]
        named = {name: f"http://{there[name]}" if name in there else "" for name in asked if name not in known}
        others = pool.map(lambda name, url: _look(url, "mDNS" if url else "", name), named, named.values())
        return Boards([*boards, *others])


def _hostname(name: object) -> str:
    host = str(name).lower().removesuffix(".local")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]{1,63}", host):
        raise AddressError(f"{name!r} is no hostname.", 'Give one such as "esp32-ota"; an IP address needs no search.')
    return host


def _look(url: str, how: str, name: str = "") -> Found:
    said = None
    with suppress(AddressError):  # in a boot log stands what a program prints
        said = Web(url).look("/info", seconds=PATIENCE)
    info = {key: str(value) for key, value in (said or {}).items()}
    return Found(info.get("hostname", name), url, how, info)


def _resolve(names: set[str], interfaces: list[str] | InterfaceChoice) -> dict[str, str]:
    """Return the addresses of names by mDNS; where there is no multicast there are none."""
    if not names:
        return {}
    try:
        resolvers = {name: AddressResolverIPv4(f"{name}.local.") for name in names}
        with Zeroconf(interfaces, use_asyncio=False) as zeroconf, ThreadPoolExecutor(len(names)) as pool:
            # Answers go to everybody (QM): one sent to this port alone could end in another program that shares it.
            list(pool.map(lambda found: found.request(zeroconf, MDNS_PATIENCE, DNSQuestionType.QM), resolvers.values()))
    except (OSError, RuntimeError, Error):
        return {}
    return {name: found[0] for name, resolver in resolvers.items() if (found := resolver.parsed_addresses())}
