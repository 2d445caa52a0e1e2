"""Strangers who guess the password of a virtual board, and its owner."""

import pytest
import requests

from kit.errors import BoardError
from kit.ota import devices


def test_strangers_do_not_lock_out_the_kit(installed, capsys: pytest.CaptureFixture) -> None:
    ota = installed.client()
    ota.login()
    for _ in range(5):
        assert requests.post(f"{installed.http}/login", data={"password": "guess"}, timeout=30).status_code == 401
    assert requests.post(f"{installed.http}/login", data={"password": "guess"}, timeout=30).status_code == 429
    installed.client().login()
    installed.board().reset()
    installed.client().login()
    mark = devices.mark_for(installed.name)
    assert len(mark) == 40
    assert mark not in capsys.readouterr().out


def test_a_computer_that_never_logged_in_waits(installed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.ota.login.mark_for", lambda board: "")
    for _ in range(5):
        assert requests.post(f"{installed.http}/login", data={"password": "guess"}, timeout=30).status_code == 401
    with pytest.raises(BoardError, match="Too many wrong passwords"):
        installed.client().login()
