import pytest

import kit
from kit.board.control import ask
from kit.errors import BoardError, KitError, RollbackError, UpdateError
from kit.faults import damage
from kit.image.update_image import build
from kit.ota.client import OtaClient


def test_outcomes_on_a_board(board):
    outcomes = kit.faults.Gallery(board)
    with kit.faults.Link(board) as link:
        ota = OtaClient(link.url)
        ota.login()
        with pytest.raises(UpdateError), outcomes.record("Truncated"):
            ota.upload(damage.truncated(build("1.1.0")))
        link.drop(100_000)
        with pytest.raises(BoardError), outcomes.record("Dropped"):
            ota.upload(build("1.1.0"), whole=True)
        with pytest.raises(RollbackError), outcomes.record("Crash at start"):
            ota.upload(damage.crashing("1.1.0"))
        ota.login()
        with outcomes.record("Never confirms"):
            ota.upload(damage.never_confirming("1.1.0"), wait=False)
            board.reset()
            assert ota.info()["image_state"] == "PENDING_VERIFY"
            board.reset()
        ota.login()
        with pytest.raises(RollbackError), outcomes.record("Confirms too early"):
            ota.upload(damage.confirming_too_early("1.1.0"))
        ota.login()
        with outcomes.record("Confirms at every start"):
            ota.upload(damage.blindly_confirming("1.2.0"))
    assert [" ".join(line.split()) for line in repr(outcomes).splitlines()] == [
        "Truncated refused UPDATE_ERROR_ACTIVATE 1.0.0 in ota_0",
        "Dropped old version kept BoardError 1.0.0 in ota_0",
        "Crash at start rolled back RollbackError 1.0.0 in ota_0",
        "Never confirms rolled back 1.0.0 in ota_0",
        "Confirms too early rolled back RollbackError 1.0.0 in ota_0",
        "Confirms at every start new version 1.2.0 in ota_1",
    ]
    assert outcomes.plot().axes


def test_a_board_that_does_not_come_back(board, monkeypatch):
    monkeypatch.setattr("kit.ota.waiting.CONFIRM_TIMEOUT", 1)
    outcomes = kit.faults.Gallery(board)
    with outcomes.record("The power stays away"):
        ask(board.control, "power", on=False)
    ask(board.control, "power", on=True)
    assert " ".join(repr(outcomes).split()) == "The power stays away does not serve nothing"


def test_an_error_that_is_no_failure_of_an_update_is_not_recorded(board):
    outcomes = kit.faults.Gallery(board)
    with pytest.raises(ZeroDivisionError), outcomes.record("A mistake in the cell"):
        1 / 0  # noqa: B018
    assert repr(outcomes) == ""


def test_an_empty_gallery(board):
    with pytest.raises(KitError, match="empty"):
        kit.faults.Gallery(board).plot()
