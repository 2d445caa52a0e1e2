"""`kit.find`: the boards that can be found, and what each says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import requests
from zeroconf import AddressResolverIPv4, DNSQuestionType, Error, InterfaceChoice, Zeroconf

from kit.board import known_urls
from kit.errors import AddressError
from kit.shown import html_table

LOOPBACK, NETWORK = ["127.0.0.1"], InterfaceChoice.All
MDNS_PATIENCE = 2000  # ms; a name that was asked for just before is answered 1 s later (RFC 6762, sections 6 and 7.3)
PATIENCE = 0.8  # s for an answer to GET /info, which is asked for twice at most
HEAD = ("name", "version", "chip", "state", "running", "address", "found by")
NO_ANSWER, NOT_FOUND = "no answer", "not found"
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
        how: by what it was found: "register" (of virtual boards), "boot log", "mDNS".
        info: what it says of itself, as text; empty when it does not answer.
    """

    name: str
    url: str
    how: str
    info: dict[str, str]

    @property
    def state(self) -> str:
        """The image state of what runs, "no answer", or "not found"."""
        return self.info.get("image_state", "") if self.info else NO_ANSWER if self.url else NOT_FOUND

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
        lines = ["{:<16}  {:<7}  {:<15}  {}".format(*board.cells()) for board in self]
        return "\n".join(filter(None, [*lines, self.advice]))

    def _repr_html_(self) -> str:
        return html_table((board.cells() for board in self), HEAD) + f"<p>{self.advice}</p>"


def find(*names: str) -> Boards:
    """Look for boards, for 4 s at most, and ask each of them for its /info.

    Without a name the virtual boards of this user are found that run, and the boards that were reset in this session.

    Args:
        names: hostnames to ask for in this computer's network by mDNS, with or without `.local`.

    Raises:
        AddressError: something is no hostname.
    """
    from kit.virtual.join import running

    asked = dict.fromkeys(map(_hostname, names))
    places = dict.fromkeys(known_urls.values(), "boot log") | {board["http"]: "register" for board in running()}
    infos = _ask(places)
    for url in [url for url, info in infos.items() if not info and places[url] == "boot log" and "//127." in url]:
        del infos[url]  # a virtual board that has ended
    known = {info["hostname"].lower() for info in infos.values() if info.get("hostname")}
    with ThreadPoolExecutor() as pool:
        here, there = pool.map(_resolve, [known, asked.keys() - known], [LOOPBACK, NETWORK])
    addresses = here | there
    named = {f"http://{address}": name for name, address in addresses.items() if name not in known}
    infos |= _ask(named.keys() - infos.keys())
    boards = []
    for url, info in infos.items():
        name = info.get("hostname") or named.get(url, "")
        how = filter(None, [places.get(url), "mDNS" if name.lower() in addresses else None])
        boards.append(Found(name, url, ", ".join(how), info))
    return Boards(boards + [Found(name, "", "", {}) for name in asked if name not in known and name not in addresses])


def _hostname(name: object) -> str:
    host = str(name).lower().removesuffix(".local")
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]{1,63}", host):
        raise AddressError(f"{name!r} is no hostname.", 'Give one such as "esp32-ota"; an IP address needs no search.')
    return host


def _ask(urls: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return what each board says of itself, nothing for one that does not answer."""
    infos: dict[str, dict[str, str]] = {url: {} for url in urls}
    pool = ThreadPoolExecutor(len(infos) or 1)
    jobs = {pool.submit(_info, url): url for url in infos}
    for job in wait(jobs, PATIENCE).done:
        infos[jobs[job]] = job.result()
    pool.shutdown(wait=False)
    return infos


def _info(url: str) -> dict[str, str]:
    try:
        with requests.Session() as session:
            session.trust_env = False  # past any proxy
            info = session.get(f"{url}/info", timeout=PATIENCE, allow_redirects=False).json()
        return {key: str(value) for key, value in info.items()}
    except (requests.RequestException, ValueError, AttributeError):  # nobody, or something that is no board of ours
        return {}


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
