"""What a board tells of the updates that it fetches: to a webhook, and to an MQTT broker."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit.board.board import Board
from kit.board.control import ask
from kit.errors import RollbackError
from kit.faults import crashing
from kit.image.update_image import build
from kit.ota.client import OtaClient
from kit.ota.events import receive_events
from kit.releases.release import release
from kit.releases.server import ReleaseServer, serve_releases
from kit.security.keys import Key, new_key

WAIT = 60  # seconds


@pytest.fixture
def key(tmp_path: Path) -> Key:
    return new_key(tmp_path / "team.pem")


@pytest.fixture
def board(installed, key: Key) -> Board:
    board = installed.board()
    board.install(signers=[key])
    return board


@pytest.fixture
def ota(board: Board) -> OtaClient:
    ota = OtaClient(board.url, virtual=True)
    ota.login()
    return ota


@pytest.fixture
def server(tmp_path: Path, key: Key) -> Iterator[ReleaseServer]:
    release(build("1.1.0").sign(key), tmp_path / "releases", "The first.")
    with serve_releases(tmp_path / "releases") as server:
        yield server


def test_a_webhook_hears_of_updates(board: Board, ota: OtaClient, server: ReleaseServer, key: Key, tmp_path: Path):
    """Of one that is confirmed, of one that is given up, and that it is not fetched again."""
    with receive_events(board) as events:
        ota.tell(webhook=events.url)
        assert events.wait_for("runs version 1.0.0", WAIT).hostname == ota.info()["hostname"]
        ota.fetch_from(server.url, ntp=None)
        ota.pull()
        state = events.wait_for("version 1.1.0 is confirmed", WAIT).state
        assert (state["version"], state["pull"]["outcome"], state["image_state"]) == ("1.1.0", "installed", "VALID")
        release(crashing("1.2.0").sign(key), tmp_path / "releases", "A bad one.")
        with pytest.raises(RollbackError):
            ota.pull()
        event = events.wait_for("version 1.2.0 was rolled back", WAIT)
        assert "crashed on purpose" in event.text or "RuntimeError" in event.text
        assert (event.state["version"], event.state["pull"]["outcome"]) == ("1.1.0", "given up")
        ota.login()
        assert ota.pull().state.outcome == "held"
        assert "did not stay" in events.wait_for("looked for an update: held", WAIT).text
        assert ota.telling().problem is None


def test_a_broker_has_the_state_and_the_last_will(
    board: Board, ota: OtaClient, server: ReleaseServer, make_broker: Callable, wait_until: Callable
):
    broker, name = make_broker(), ota.info()["hostname"]

    def state() -> dict:
        return json.loads(broker.retained(f"esp32-ota/{name}/state") or "{}")

    def online() -> bytes | None:
        return broker.retained(f"esp32-ota/{name}/online")

    ota.tell(mqtt={"host": "127.0.0.1", "port": broker.port})
    wait_until(lambda: state().get("version") == "1.0.0" and online() == b"true")
    ota.fetch_from(server.url, ntp=None)
    ota.pull()
    wait_until(lambda: state()["version"] == "1.1.0" and state()["pull"]["outcome"] == "installed")
    wait_until(lambda: state()["image_state"] == "VALID" and online() == b"true")
    ask(board.control, "power", on=False)
    wait_until(lambda: online() == b"false")
    assert state()["version"] == "1.1.0"  # the last that it has told
    ask(board.control, "power", on=True)
    wait_until(lambda: online() == b"true")
