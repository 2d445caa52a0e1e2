"""Tokens of a virtual board, whose clock counts from 2000 on as a chip's does."""

import calendar
from collections.abc import Callable
from pathlib import Path

import jwt
import requests

from kit.image.application import new_app
from kit.image.update_image import build
from kit.settings import DEMO

NOON = (2026, 11, 30, 12, 0, 0)
SET = "import machine\n\nmachine.RTC().datetime((2026, 11, 30, 0, 12, 0, 0, 0))\n"


def ask(virtual) -> requests.Response:
    return requests.post(f"{virtual.http}/login", json={"password": DEMO.password, "type": "jwt"}, timeout=30)


def test_no_jwt_without_a_clock(installed) -> None:
    answer = ask(installed)
    assert (answer.status_code, answer.json()["error"]) == (409, "NO_CLOCK")
    assert "Set-Cookie" not in answer.headers
    installed.client().login()


def test_a_jwt_of_an_application_that_sets_the_clock(tmp_path: Path, start: Callable) -> None:
    app = tmp_path / "app"
    virtual = start()
    board = virtual.board()
    new_app(app)
    main = app / "main.py"
    main.write_text(SET + main.read_text())
    board.flash(build("1.0.0", board=board, app=app))
    board.install()
    token = ask(virtual).json()["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["iss"] == virtual.name
    assert 0 <= claims["iat"] - calendar.timegm(NOON) < 300
    headers = {"Authorization": f"Bearer {token}"}
    assert requests.get(f"{virtual.http}/config", headers=headers, timeout=30).status_code == 200
    board.reset()
    assert requests.get(f"{virtual.http}/config", headers=headers, timeout=30).status_code == 401
