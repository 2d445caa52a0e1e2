import os
import socket
import sys
from pathlib import Path

import pytest

from kit import peers

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "  {}: {} {} {} 00000000:00000000 00:00000000 00000000  {}        0 {} 1 0000000000000000 20 4 30 10 -1\n"
HERE, THERE = ("127.0.0.1", 40000), ("127.0.0.1", 80)
LOOPBACK = peers._hex("127.0.0.1", 0).partition(":")[0]
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere it cannot be told")


def table(*rows: tuple[str, str, int, int]) -> str:
    """As the kernel writes it: (address, address of the other end, user ID, inode)."""
    return HEAD + "".join(
        ROW.format(n, here, there, "01", uid, inode) for n, (here, there, uid, inode) in enumerate(rows)
    )


@pytest.mark.parametrize(
    ("rows", "uid"),
    [
        ([], None),
        ([("{0}:9C40", "{0}:0050", 1000, 5)], 1000),
        ([("{0}:0050", "{0}:9C40", 1000, 5)], None),  # the other end
        ([("{0}:9C40", "{0}:0051", 1000, 5), ("{0}:9C40", "{0}:0050", 1001, 6)], 1001),
        ([("{0}:9C40", "00000000:0050", 1000, 5)], None),
        ([("{0}:9C40", "{0}:0050", 0, 0)], None),  # closed: nobody's
        ([(peers.MAPPED + "{0}:9C40", peers.MAPPED + "{0}:0050", 1000, 5)], None),
    ],
)
def test_the_owner_in_a_table(rows: list, uid: int | None):
    rows = [(here.format(LOOPBACK), there.format(LOOPBACK), *rest) for here, there, *rest in rows]
    assert peers.owner(table(*rows), HERE, THERE) == uid
    mapped = [(peers.MAPPED + here, peers.MAPPED + there, *rest) for here, there, *rest in rows]
    assert peers.owner(table(*mapped), HERE, THERE, peers.MAPPED) == uid


@pytest.mark.skipif(sys.byteorder != "little", reason="of this byte order")
def test_an_address_as_the_kernel_writes_it():
    assert peers._hex("127.0.0.1", 80) == "0100007F:0050"


@pytest.fixture(params=["asked", "by table"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways by which the owner is found: the second one where the kernel answers no question."""
    if request.param == "by table":
        monkeypatch.setattr(peers, "asked_owner", lambda *_: None)


@linux
def test_the_kernel_names_the_owner():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as connection,
    ):
        assert peers.asked_owner(connection.getpeername(), connection.getsockname()) == os.geteuid()
        client.close()
        assert peers.asked_owner(connection.getpeername(), connection.getsockname()) is None
    assert peers.asked_owner(HERE, ("127.0.0.1", 1)) is None


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_this_process_is_let_in(family: socket.AddressFamily):
    if family == socket.AF_INET6 and not socket.has_ipv6:
        pytest.skip("no IPv6")
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(family) as client:
        port = listener.getsockname()[1]
        client.connect(("127.0.0.1" if family == socket.AF_INET else "::ffff:127.0.0.1", port))
        with listener.accept()[0] as connection:
            assert peers.is_own(connection)


@linux
@pytest.mark.usefixtures("way")
def test_a_client_that_has_gone_is_nobodys():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        socket.create_connection(listener.getsockname()).close()
        with listener.accept()[0] as connection:
            assert not peers.is_own(connection)


@linux
@pytest.mark.usefixtures("way")
def test_another_user_is_not_let_in(monkeypatch: pytest.MonkeyPatch):
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as connection,
    ):
        assert not peers.is_own(connection)


@linux
def test_without_a_table_everybody_is_let_in_and_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    peers.say_where_unchecked()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(peers, "TABLES", [tmp_path / "tcp", tmp_path / "tcp6"])
    peers.say_where_unchecked()
    assert "all users of this computer" in capsys.readouterr().err
    monkeypatch.setattr(peers, "asked_owner", lambda *_: None)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as connection,
    ):
        assert peers.is_own(connection)
