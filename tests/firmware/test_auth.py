"""Passwords and tokens, on both interpreters."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.settings import hash_password

BODY = (Path(__file__).parent / "bodies/auths.py").read_text()


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)\(\)", BODY, re.M))
def test_auth(function: str, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("auths", function, make_flash())
    assert done.code == 0, done.output


def test_board_and_kit_hash_alike(interpreter, make_flash: Callable[..., Path]) -> None:
    digest = hash_password("Grüße!", bytes(range(16))).hex()
    done = interpreter.run("auths", "test_password_of_our_own", make_flash(), digest)
    assert done.code == 0, done.output
