"""What `board.install()` takes for settings; tests/firmware tries the same on the board."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kit.board.installation import store_settings
from kit.errors import SettingsError
from kit.settings import DEMO

CASES = json.loads((Path(__file__).parents[2] / "settings.json").read_text())


def cases(kind: str) -> list[tuple[str, str]]:
    return [(name, text) for name, texts in CASES.items() for text in texts[kind]]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch):
    """Function that gives what is stored where one setting is another than the virtual board's."""

    def store(name: str, text: str) -> str:
        monkeypatch.setattr("kit.board.installation.settings", lambda virtual: replace(DEMO, **{name: text}))
        return store_settings(virtual=True)

    return store


@pytest.mark.parametrize(("name", "text"), cases("good"))
def test_a_setting_that_is_right(store, name: str, text: str):
    code = store(name, text)
    if name != "password":  # of that only a hash is stored
        assert f"{name!r}: {text.encode()!r}" in code


@pytest.mark.parametrize(("name", "text"), cases("bad"))
def test_a_setting_that_is_wrong(store, name: str, text: str):
    with pytest.raises(SettingsError) as caught:
        store(name, text)
    assert caught.value.advice.startswith("Write ")
    assert len(text) < 3 or text not in str(caught.value)
