from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from kit.image.update_image import UpdateImage, build
from kit.releases.release import Release, release
from kit.security.keys import Key, new_key, read_key


@pytest.fixture(scope="session")
def team_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the key that signs every release of these tests."""
    path = tmp_path_factory.mktemp("team") / "team.pem"
    new_key(path)
    return path


@pytest.fixture(scope="session")
def team(team_file: Path) -> Key:
    """The key that signs every release of these tests."""
    return read_key(team_file)


@pytest.fixture(scope="session")
def signed(team: Key) -> Callable[..., UpdateImage]:
    """Function that gives a signed image of a version; built once, for it takes a second."""
    return cache(lambda version, **options: build(version, **options).sign(team))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def staging(signed: Callable[..., UpdateImage]) -> Release:
    """1.1.0, released in the folder staging."""
    return release(signed("1.1.0"), "staging", "A green LED.")
