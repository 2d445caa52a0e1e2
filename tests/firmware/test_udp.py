"""Questions by UDP, over sockets that fail: the same bodies on CPython and on MicroPython."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

BODY = (Path(__file__).parent / "bodies/packets.py").read_text()


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)", BODY, re.M))
def test_udp(function: str, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("packets", function, make_flash())
    assert done.code == 0, done.output
