"""Boards that fetch their updates: from a release to the version that runs, with the kit's own verbs."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest

from kit.board.board import Board
from kit.errors import BoardError, RollbackError
from kit.faults import crashing, never_confirming, power_cut
from kit.image.update_image import UpdateImage, build
from kit.ota.client import OtaClient
from kit.releases.manifest import write_manifest
from kit.releases.release import release
from kit.releases.server import ReleaseServer, serve_releases
from kit.security.certificate import Certificate, new_certificate
from kit.security.keys import Key, new_key

WINDOW = {"window": "02:00-04:00", "zone": "Europe/Berlin"}
JITTER = timedelta(minutes=90)  # at most three quarters of the window


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return new_key(tmp_path_factory.mktemp("keys") / "team.pem")


@pytest.fixture(scope="module")
def signed_file(installed_file: Path, tmp_path_factory: pytest.TempPathFactory, running: Callable, key: Key) -> Path:
    """A flash with 1.0.0 that takes what the key has signed; not to be changed."""
    path = shutil.copy(installed_file, tmp_path_factory.mktemp("signed") / "flash.bin")
    with running(path) as virtual:
        virtual.board().install(signers=[key])
    return path


@pytest.fixture(scope="module")
def image(key: Key) -> UpdateImage:
    return build("1.1.0").sign(key)


@pytest.fixture
def virtual(signed_file: Path, start: Callable, tmp_path: Path):
    return start(shutil.copy(signed_file, tmp_path / "flash.bin"))


@pytest.fixture
def board(virtual) -> Board:
    return virtual.board()


@pytest.fixture
def ota(virtual, wait_until: Callable) -> OtaClient:
    wait_until(lambda: answers(virtual.client()))
    return logged_in(virtual.client())


@pytest.fixture
def folder(image: UpdateImage, tmp_path: Path) -> Path:
    """A folder with 1.1.0."""
    release(image, tmp_path / "releases", "The first.")
    return tmp_path / "releases"


@pytest.fixture
def server(folder: Path) -> Iterator[ReleaseServer]:
    with serve_releases(folder) as server:
        yield server


def answers(ota: OtaClient) -> bool:
    with suppress(BoardError):
        return bool(ota.info())
    return False


def version(ota: OtaClient) -> str | None:
    """The one that runs, None while nothing answers."""
    with suppress(BoardError):
        return ota.info()["version"]
    return None


def logged_in(ota: OtaClient) -> OtaClient:
    ota.login()
    return ota


def images(server: ReleaseServer) -> list:
    return [request for request in server.requests if request.is_of_image]


def outcome(ota: OtaClient) -> tuple[str | None, str | None, str | None]:
    state = ota.fetching().state
    return state.outcome, state.version, state.cause


def test_from_a_release_to_the_version_that_runs(ota: OtaClient, server: ReleaseServer, image: UpdateImage):
    ota.fetch_from(server.url, ntp=None)
    found = ota.pull()
    assert (found.state.outcome, found.state.version, found.state.failures) == ("installed", "1.1.0", 0)
    info = ota.info()
    assert (info["version"], info["image_state"]) == ("1.1.0", "VALID")
    assert [repr(update) for update in ota.history()] == ["1.1.0  confirmed"]
    assert "installed" in [entry.facts.get("outcome") for entry in ota.log() if entry.event == "PULL"]
    assert sum(request.sent for request in images(server)) <= image.size
    assert ota.pull().state.outcome == "up to date"
    assert len(images(server)) == 1


def test_it_looks_in_its_window_and_not_before(
    board: Board, ota: OtaClient, server: ReleaseServer, wait_until: Callable
):
    found = ota.fetch_from(server.url, ntp=None, **WINDOW)
    assert (found.state.now, found.state.next) == (None, None)
    board.set_time("2027-03-14T01:00:00+01:00")
    looks = datetime.fromisoformat(ota.fetching().state.next)
    opens = datetime.fromisoformat("2027-03-14T02:00:00+01:00")
    assert opens <= looks < opens + JITTER
    board.set_time(looks - timedelta(seconds=4))
    found = ota.watch()
    tried = datetime.fromisoformat(found.state.tried)
    assert looks <= tried < looks + timedelta(minutes=5)
    assert (found.state.outcome, ota.info()["version"]) == ("installed", "1.1.0")
    wait_until(lambda: ota.fetching().state.next)  # it answers a moment before it begins to watch
    assert datetime.fromisoformat(ota.fetching().state.next) >= opens + timedelta(days=1)


def test_a_clock_that_is_set_back(board: Board, ota: OtaClient, server: ReleaseServer, wait_until: Callable):
    board.set_time("2027-03-14T12:00:00+01:00")
    ota.fetch_from(server.url, ntp=None, version="1.5.0", **WINDOW)
    assert ota.pull().state.outcome == "failed"
    board.set_time("2026-03-14T01:00:00+01:00")
    looks = datetime.fromisoformat(ota.fetching().state.next)
    assert looks < datetime.fromisoformat("2026-03-16T04:00:00+01:00")
    ota.fetch_from(server.url, version=None)
    ota.restart()  # it knows the time still, and no more for how long it has waited
    logged_in(ota)
    wait_until(lambda: ota.fetching().state.next)
    looks = datetime.fromisoformat(ota.fetching().state.next)
    assert looks < datetime.fromisoformat("2026-03-14T04:00:00+01:00")
    board.set_time(looks - timedelta(seconds=4))
    assert ota.watch().state.outcome == "installed"


@pytest.mark.parametrize("fault", [crashing, never_confirming])
def test_a_release_that_is_given_up(
    board: Board, ota: OtaClient, folder: Path, server: ReleaseServer, key: Key, fault: Callable, wait_until: Callable
):
    """It is not fetched again, not even after a restart; a newer one is."""
    release(fault("1.2.0").sign(key), folder, "A bad one.")
    ota.fetch_from(server.url, ntp=None)
    if fault is crashing:
        with pytest.raises(RollbackError, match=r"1\.2\.0 was given up"):
            ota.pull()
    else:  # it waits for ever, until it is reset
        ota.pull(wait=False)
        wait_until(lambda: version(ota) == "1.2.0")
        board.reset()
    logged_in(ota)
    assert outcome(ota)[:2] == ("given up", "1.2.0")
    assert ota.info()["last_update"]["outcome"] == "rolled back"
    for _ in range(2):
        found = ota.pull()
        assert found.state.outcome == "held"
        assert "1.2.0 was here, and did not stay" in found.state.cause
        board.reset()
        logged_in(ota)
    assert len(images(server)) == 1
    release(build("1.3.0").sign(key), folder, "A good one.")
    assert ota.pull().state.outcome == "installed"
    assert ota.info()["version"] == "1.3.0"


def test_a_link_that_breaks_at_half(ota: OtaClient, server: ReleaseServer, image: UpdateImage):
    server.break_after(image.size // 2)
    ota.fetch_from(server.url, ntp=None)
    assert ota.pull().state.outcome == "installed"
    first, second = images(server)
    assert (first.is_broken, second.status) == (True, 206)
    assert first.sent + second.sent <= image.size + 2 * 4096  # what was on its way is lost


def test_power_that_goes_at_half(
    board: Board, ota: OtaClient, server: ReleaseServer, image: UpdateImage, wait_until: Callable
):
    ota.fetch_from(server.url, ntp=None)
    sectors = image.size // 4096
    with power_cut(board, sectors) as cut:  # each is erased and written
        ota.pull(wait=False)
        cut.wait()
    wait_until(lambda: answers(ota))
    logged_in(ota)
    before = sum(request.sent for request in images(server))
    assert ota.pull().state.outcome == "installed"
    assert 0 < sum(request.sent for request in images(server)) - before < image.size * 0.75
    assert ota.info()["version"] == "1.1.0"


def unsigned(folder: Path) -> None:
    data = build("1.2.0").data
    (folder / "esp32-ota-1.2.0.bin").write_bytes(data)
    (folder / "manifest.json").write_bytes(write_manifest("1.2.0", data, 0, "By nobody."))


def of_another(folder: Path) -> None:
    release(build("1.2.0").sign(new_key(folder.parent / "other.pem")), folder, "By somebody else.")


def tampered(folder: Path) -> None:
    """A byte of the application, which says `signed` of itself and which the manifest describes rightly."""
    data = bytearray((folder / "esp32-ota-1.1.0.bin").read_bytes())
    data[1_330_000] ^= 1
    (folder / "esp32-ota-1.1.0.bin").write_bytes(data)
    (folder / "manifest.json").write_bytes(write_manifest("1.1.0", bytes(data), 0, "Another application."))


@pytest.mark.parametrize("change", [unsigned, of_another, tampered])
def test_files_of_somebody_else(ota: OtaClient, folder: Path, server: ReleaseServer, key: Key, change: Callable):
    """They are refused, and not fetched again."""
    change(folder)
    ota.fetch_from(server.url, ntp=None)
    found = ota.pull()
    assert (found.state.outcome, found.state.failures) == ("refused", 1)
    assert "sign" in found.state.cause
    assert ota.info()["version"] == "1.0.0"
    assert "UPDATE_ERROR_SIGN" in [entry.facts.get("error") for entry in ota.log()]
    count = len(images(server))
    found = ota.pull()
    assert (found.state.outcome, len(images(server))) == ("held", count)
    release(build("1.3.0").sign(key), folder, "A good one.")
    assert ota.pull().state.outcome == "installed"


def test_another_file_than_the_manifest_says(ota: OtaClient, folder: Path, server: ReleaseServer, image: UpdateImage):
    """A mirror may have the right one tomorrow."""
    path = folder / "esp32-ota-1.1.0.bin"
    path.write_bytes(image.data[:-1] + b"\0")
    ota.fetch_from(server.url, ntp=None)
    found = ota.pull()
    assert (found.state.outcome, ota.info()["version"]) == ("refused", "1.0.0")
    path.write_bytes(image.data)
    assert ota.pull().state.outcome == "installed"


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return new_certificate("releases", "127.0.0.1")


def pin(certificate: Certificate) -> str:
    return certificate.pin.replace(":", "").lower()


@pytest.fixture
def secure_ota(board: Board, ota: OtaClient, certificate: Certificate) -> OtaClient:
    """The board by its own HTTPS."""
    board.install(certificate=new_certificate("board", "127.0.0.1"))
    logged_in(ota).configure(https=True)
    board.reset()
    return logged_in(OtaClient(Board(board.address, control=board.control).url, virtual=True))


def test_over_tls_on_a_board_with_https(secure_ota: OtaClient, key: Key, tmp_path: Path, certificate: Certificate):
    """Two looks, then an installation: memory comes back each time, and the server does."""
    ota, folder = secure_ota, tmp_path / "releases"
    assert ota.url.startswith("https:")
    release(build("1.0.0").sign(key), folder, "What runs.")
    with serve_releases(folder, certificate=certificate) as server:
        ota.fetch_from(server.url, certificate="0" * 64, ntp=None)
        found = ota.pull()
        assert found.state.outcome == "failed"
        assert "another certificate" in found.state.cause
        assert not server.requests
        ota.fetch_from(server.url, certificate=pin(certificate))
        for _ in range(2):
            assert ota.pull().state.outcome == "up to date"
            assert ota.info()["https"] is True
        release(build("1.1.0").sign(key), folder, "A newer one.")
        assert ota.pull().state.outcome == "installed"
    info = ota.info()
    assert (info["version"], info["image_state"], info["https"]) == ("1.1.0", "VALID", True)


def test_a_source_by_its_name(ota: OtaClient, server: ReleaseServer):
    """The board knows "localhost" itself; for the same in capital letters it asks its name server."""
    ota.fetch_from(server.url.replace("127.0.0.1", "releases.invalid"), ntp=None)
    found = ota.pull()
    assert (found.state.outcome, found.state.failures, server.requests) == ("failed", 1, [])
    assert "releases.invalid" in found.state.cause
    ota.fetch_from(server.url.replace("127.0.0.1", "LOCALHOST"))
    assert ota.pull().state.outcome == "installed"


@pytest.mark.parametrize("token", ["", "ghp_of-these-tests"], ids=["public", "private"])
def test_releases_on_github(
    ota: OtaClient, folder: Path, github: ModuleType, token: str, monkeypatch: pytest.MonkeyPatch
):
    """The token goes to the API, and never to where the assets lie."""
    with github.GitHub(folder, token=token) as hub:
        if token:
            found = ota.fetch_from(hub.url, ntp=None)
            assert not found.has_token
            found = ota.pull()
            assert (found.state.outcome, found.state.failures) == ("failed", 1)
            assert "404" in found.state.cause
            monkeypatch.setenv("KIT_GITHUB_TOKEN", token)
        found = ota.fetch_from(hub.url, ntp=None)
        assert found.has_token is bool(token)
        assert token in ("", None) or token not in repr(vars(found))
        assert ota.pull().state.outcome == "installed"
        assert ota.info()["version"] == "1.1.0"
        assert {asked.host for asked in hub.asked} == {"api", "assets"}
        assert not [asked for asked in hub.asked if asked.host == "assets" and "authorization" in asked.headers]


def test_github_says_to_wait(ota: OtaClient, folder: Path, github: ModuleType):
    with github.GitHub(folder, left=0, limit_status=429) as hub:
        ota.fetch_from(hub.url, ntp=None)
        found = ota.pull()
        assert (found.state.outcome, found.state.failures) == ("failed", 1)
        assert "429" in found.state.cause
        hub.left = None
        assert ota.pull().state.outcome == "installed"


def test_pin_and_hold(
    board: Board, ota: OtaClient, folder: Path, server: ReleaseServer, key: Key, wait_until: Callable
):
    release(build("1.2.0").sign(key), folder, "The second.")
    ota.fetch_from(server.url, ntp=None, version="1.1.0", **WINDOW)
    assert ota.pull().state.version == "1.1.0"
    assert ota.info()["version"] == "1.1.0"
    board.set_time("2027-03-14T01:00:00+01:00")
    wait_until(lambda: ota.fetching().state.next)
    found = ota.fetch_from(server.url, version=None, hold=True)
    assert (found.hold, found.state.next) == (True, None)
    ota.pull()
    assert ota.info()["version"] == "1.2.0"
