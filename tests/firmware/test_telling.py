"""GET and PUT /tell: what is taken, kept and shown. On both interpreters."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

BODY = (Path(__file__).parent / "bodies/tells.py").read_text()


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)\(\)", BODY, re.M))
def test_telling(function: str, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("tells", function, make_flash())
    assert done.code == 0, done.output
