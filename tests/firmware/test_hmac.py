"""HMAC, on both interpreters."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

BODY = (Path(__file__).parent / "bodies/hmacs.py").read_text()


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)\(\)", BODY, re.M))
def test_hmac(function: str, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("hmacs", function, make_flash())
    assert done.code == 0, done.output
