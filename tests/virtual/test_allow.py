"""The allow-list of a virtual board: who is shut out, and who shuts out itself.

Its clients come from this computer's loopback, 127.0.0.1, which is the board's own address too, and may always come;
others of its addresses stand for strangers.
"""

import urllib.parse
from collections.abc import Callable

import pytest
import requests
from requests.adapters import HTTPAdapter

from kit.errors import BoardError
from kit.ota.client import OtaClient

ALLOWED, STRANGER = "127.0.0.2", "127.0.0.3"


class From(HTTPAdapter):
    """Connections from one of this computer's addresses."""

    def __init__(self, source: str) -> None:
        self._source = source
        super().__init__()

    def init_poolmanager(self, *arguments: object, **options: object) -> None:
        super().init_poolmanager(*arguments, source_address=(self._source, 0), **options)


def reaches(url: str, source: str) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", From(source))
        try:
            return session.get(f"{url}/info", timeout=30).ok
        except requests.ConnectionError:
            return False


def force(virtual, ota: OtaClient, *networks: str) -> str:
    """Send a list that leaves out who sends it, and return what the board says."""
    headers = {"Authorization": f"Bearer {ota._web.token}"}
    url = urllib.parse.urljoin(virtual.http, "/config?force=1")
    return requests.put(url, json={"allow": networks}, headers=headers, timeout=30).json()["message"]


def test_a_list_that_leaves_out_who_sends_it(installed) -> None:
    ota = installed.client()
    ota.login()
    before = ota.config()
    with pytest.raises(BoardError, match="leaves out") as refused:
        ota.configure(allow=["192.168.1.0/24"], hostname="another")
    assert "force=1" in str(refused.value)
    with pytest.raises(BoardError, match="cannot take this allow"):
        ota.configure(allow=["192.168.1.7/24"])
    assert ota.config() == before


def test_who_may_come(installed, capsys: pytest.CaptureFixture) -> None:
    """From the restart on, once somebody has logged in; until the button is held."""
    board, ota = installed.board(), installed.client()
    ota.login()
    ota.configure(allow=["127.0.0.1", f"{ALLOWED}/32"])
    assert "or nobody logs in within 180 s" in capsys.readouterr().out
    assert reaches(installed.http, STRANGER)
    with board.listening() as log:
        ota.restart()
        ota.login()
    assert log.lines(f"Allowed: 127.0.0.1, {ALLOWED}/32 and this board", "New settings confirmed")
    assert [reaches(installed.http, source) for source in (ALLOWED, STRANGER)] == [True, False]
    shut_out = [entry.address for entry in ota.log() if entry.event == "FORBIDDEN_ADDRESS"]
    assert shut_out == [STRANGER]
    assert "Allowed: 127.0.0.1" in board.reset()
    assert not reaches(installed.http, STRANGER)
    board.install()
    assert "Allowed:" not in board.reset()
    assert reaches(installed.http, STRANGER)


def test_the_button_removes_the_list(installed) -> None:
    board, ota = installed.board(), installed.client()
    ota.login()
    ota.configure(allow=["127.0.0.1"])
    ota.restart()
    ota.login()
    assert not reaches(installed.http, STRANGER)
    with board.press(18):
        board.reset()
    board.install()
    ota.login()
    assert ota.config()["allow"] == []
    assert reaches(installed.http, STRANGER)


def test_pulling_the_plug_ends_the_trial(installed) -> None:
    board, ota = installed.board(), installed.client()
    ota.login()
    assert "or nobody logs in" in force(installed, ota, "192.168.1.0/24")
    ota.restart()
    assert not reaches(installed.http, STRANGER)
    log = board.reset()
    assert "The new settings are removed: the start that tried them has ended." in log
    assert "Allowed:" not in log
    assert reaches(installed.http, STRANGER)


def test_nobody_comes(start_changed: Callable, wait_until: Callable) -> None:
    """The owner is shut out, and waits."""
    virtual = start_changed("config.py", "GUARD_SECONDS = 180", "GUARD_SECONDS = 1")
    board, ota = virtual.board(), virtual.client()
    ota.login()
    force(virtual, ota, "192.168.1.0/24")
    with board.listening() as log:
        ota.restart()
        # a busy computer can take longer than that to say where the board is reached under them
        wait_until(lambda: "URL: http://" in repr(log).partition("The new settings are removed: nobody logged in")[2])
    assert reaches(virtual.http, STRANGER)
    ota.login()
    assert ota.config()["allow"] == []
    (entry,) = [entry for entry in ota.log() if "cause" in entry.facts]
    assert (entry.event, entry.facts["cause"]) == (
        "CONFIG",
        "the new settings did not work: the ones before apply",
    )
