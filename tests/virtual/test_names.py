"""The name of a running board, asked for as another computer does: by mDNS, on loopback."""

import os
import socket
from collections.abc import Callable, Iterator

import pytest
from zeroconf import AddressResolverIPv4, DNSQuestionType, Zeroconf, ZeroconfServiceTypes

from kit.board.board import Board
from kit.board.control import ask
from kit.board.port import open_port
from kit.board.repl import raw_repl
from kit.virtual.names import NO_NAMES, Names

LOOPBACK = "127.0.0.1"
CONNECT = """
import network, time
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect('virtual-wifi', 'virtual-password')
while not wlan.isconnected(): time.sleep_ms(10)
"""


@pytest.fixture(scope="module", autouse=True)
def _multicast() -> None:
    """Skip where this computer has no multicast on loopback; in CI that is a failure."""
    group = socket.inet_aton("224.0.0.251") + socket.inet_aton(LOOPBACK)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    except OSError as error:
        message = f"this computer has no multicast on its loopback: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


def address_of(name: str, patience: int = 2000) -> str | None:
    """Ask for the address of a name; no answer within `patience` ms is None."""
    with Zeroconf([LOOPBACK], use_asyncio=False) as zeroconf:
        resolver = AddressResolverIPv4(f"{name}.local.")
        return resolver.parsed_addresses()[0] if resolver.request(zeroconf, patience, DNSQuestionType.QM) else None


def run(board: Board, code: str) -> None:
    with open_port(board.address) as port, raw_repl(port) as repl:
        repl.exec(code)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A name that no other test's board has."""
    return f"board-{os.getpid()}-{abs(hash(request.node.name)) % 10**6}"


def test_a_board_has_its_name_while_it_is_on_the_network(board: Board, name: str, wait_until: Callable):
    run(board, f"import network; network.hostname({name!r})")
    assert address_of(name) is None
    run(board, CONNECT)
    wait_until(lambda: address_of(name) == LOOPBACK)
    assert address_of(name.upper()) == LOOPBACK
    assert address_of(f"{name}-2") is None
    run(board, "import network; network.WLAN().active(False)")
    wait_until(lambda: address_of(name) is None)
    run(board, CONNECT)
    wait_until(lambda: address_of(name) == LOOPBACK)


def test_a_new_name_comes_with_the_next_start(board: Board, name: str, wait_until: Callable):
    run(board, f"import network; network.hostname('{name}-a')\n{CONNECT}")
    wait_until(lambda: address_of(f"{name}-a"))
    run(board, f"import network; network.hostname('{name}-b'); network.WLAN().disconnect()\n{CONNECT}")
    wait_until(lambda: address_of(f"{name}-a"))
    board.reset()
    wait_until(lambda: address_of(f"{name}-a") is None)
    run(board, f"import network; network.hostname('{name}-b')\n{CONNECT}")
    wait_until(lambda: address_of(f"{name}-b"))
    assert address_of(f"{name}-a") is None


@pytest.mark.parametrize("end", ["power", "erase"])
def test_a_board_without_a_program_has_no_name(board: Board, name: str, end: str, wait_until: Callable):
    run(board, f"import network; network.hostname({name!r})\n{CONNECT}")
    wait_until(lambda: address_of(name))
    if end == "power":
        ask(board.control, "power", on=False)
    else:
        board.erase()
    wait_until(lambda: address_of(name) is None)


def test_there_is_no_service_to_browse_for(board: Board, name: str, wait_until: Callable):
    run(board, f"import network; network.hostname({name!r})\n{CONNECT}")
    wait_until(lambda: address_of(name))
    with Zeroconf([LOOPBACK], use_asyncio=False) as zeroconf:
        services = ZeroconfServiceTypes.find(zeroconf, timeout=1)
    assert not [service for service in services if service.startswith("_")]


@pytest.mark.parametrize("hostname", ["", "a.b", "x._tcp", "\n", "ü", "_", "x" * 32])
def test_a_name_that_is_none_harms_nobody(board: Board, name: str, hostname: str, wait_until: Callable):
    run(board, f"import network; network.hostname({hostname!r})\n{CONNECT}")
    board.reset()
    run(board, f"import network; network.hostname({name!r})\n{CONNECT}")
    wait_until(lambda: address_of(name))


def test_without_multicast_the_board_says_so(monkeypatch: pytest.MonkeyPatch, wait_until: Callable):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr("zeroconf.Zeroconf", refuse)
    said: list[str] = []
    names = Names(said.append)
    names.answer_to("board")
    wait_until(lambda: said)
    names.answer_to("")
    names.answer_to("other")
    wait_until(lambda: len(said) == 2)
    assert said == [NO_NAMES] * 2
