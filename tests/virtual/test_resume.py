"""`kit.resume` on a board that went on, and with a program of the learner that does not run."""

from pathlib import Path

import pytest

import kit
from kit.errors import KitError
from kit.image.update_image import build


@pytest.fixture(autouse=True)
def in_a_folder(installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kit.lesson.begin.connect", installed.board)


def test_part_3_of_lesson_02_begins_with_1_1_0(installed):
    """Whatever came after it: else the versions that the part sends would be refused."""
    board, ota = installed.board(), installed.client()
    ota.login()
    ota.upload(build("1.2.1", board=board))
    names: dict[str, object] = {}
    kit.resume(2, part=4, names=names)
    assert ota.info()["version"] == "1.2.1"
    kit.resume(2, part=3, names=names)
    assert ota.info()["version"] == "1.1.0"
    names["ota"].login()
    assert names["ota"].upload(build("1.1.1", board=board)).version == "1.1.1"


def test_a_program_of_the_learner_that_does_not_run():
    (kit.new_app("my_app") / "main.py").write_text("raise ValueError")
    names: dict[str, object] = {}
    with pytest.raises(KitError) as caught:
        kit.resume(2, part=3, names=names)
    assert caught.value.cause.startswith(
        "Your my_app does not run on the board. Version 1.1.0 was given up: ValueError"
    )
    assert 'kit.new_app("my_app", fresh=True)' in caught.value.advice
    assert names["ota"].info()["version"] == "1.0.0"
