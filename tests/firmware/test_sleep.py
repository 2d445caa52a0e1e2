"""Deep sleep in an application: the same bodies on CPython and on MicroPython."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

BODY = (Path(__file__).parent / "bodies/sleeps.py").read_text()


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)", BODY, re.M))
def test_sleep(function: str, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("sleeps", function, make_flash())
    assert done.code == 0, done.output
    assert done.output.endswith("PASSED\n")
