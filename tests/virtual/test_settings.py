"""LED, button and settings of the whole firmware on a virtual board."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.errors import BoardError, UpdateError
from kit.image.update_image import build
from kit.ota.client import OtaClient


@pytest.fixture
def ota(installed) -> OtaClient:
    ota = installed.client()
    ota.login()
    return ota


def test_the_leds_show_an_update(installed_file: Path, tmp_path: Path, start: Callable):
    virtual = start(shutil.copy(installed_file, tmp_path / "paced.bin"), "--pace", "0.1")
    board, ota = virtual.board(), virtual.client()
    board.reset()
    ota.login()
    ota.configure(pins={"led": 4, "progress": 25, "button": None})
    ota.restart()
    ota.login()
    result = ota.upload(build("1.1.0", board=board), wait=False)
    pins = board.pins()
    assert result.version == "1.1.0"
    assert (pins[4].level, pins[4].blinks > 0) == (0, True)
    levels = [level for _, level in pins[25].history]
    assert levels[-1] == 0
    assert len(levels) > 3
    assert sorted(levels[:-1]) == levels[:-1]


def test_the_button_removes_all_settings(installed, ota: OtaClient):
    board = installed.board()
    ota.configure(hostname="my-board")
    assert ota.restart()["hostname"] == "my-board"
    with board.press(18):
        log = board.reset()
    assert "The button was held: all settings are removed" in log
    assert "board.install()" in log
    board.install()
    assert ota.info()["hostname"] == installed.name


def test_a_wifi_that_is_not_there_is_tried_and_forgotten(start_changed: Callable, wait_until: Callable):
    virtual = start_changed("config.py", "TRIAL_SECONDS = 30", "TRIAL_SECONDS = 1")
    board, ota = virtual.board(), virtual.client()
    ota.login()
    ota.configure(wifi_ssid="nobody", hostname="nobody")
    assert ota.config()["wifi_ssid"] == "nobody"
    with board.listening() as log:
        info = ota.restart()
        wait_until(lambda: "URL: http://" in repr(log))
    assert log.lines("Trying the new settings", "The new settings are removed")
    assert info["hostname"] == virtual.name
    ota.login()
    assert ota.config()["wifi_ssid"] == "virtual-wifi"


@pytest.mark.parametrize(
    "wrong",
    [{"hostname": "a b"}, {"wifi_ssid": ""}, {"pins": {"led": 6}}, {"ip": "192.168.1.300"}, {"no": 1}],
    ids=str,
)
def test_nonsense_changes_nothing(ota: OtaClient, wrong: dict):
    before = ota.config()
    with pytest.raises(BoardError):
        ota.configure(**{"hostname": "another"} | wrong)
    assert ota.config() == before


def test_back_to_the_other_slot_and_back_again(installed, ota: OtaClient):
    with pytest.raises(UpdateError, match="UPDATE_ERROR_ACTIVATE"):
        ota.rollback()  # nothing is there
    assert ota.info()["version"] == "1.0.0"
    ota.upload(build("1.1.0", board=installed.board()))
    ota.login()
    assert ota.rollback()["version"] == "1.0.0"
    ota.login()
    info = ota.rollback()
    assert (info["version"], info["running"], info["image_state"]) == ("1.1.0", "ota_1", "VALID")


def test_a_restart_on_request(ota: OtaClient):
    assert ota.restart()["version"] == "1.0.0"
    with pytest.raises(BoardError, match="Log in"):
        ota.restart()
