"""The updater where only the changed sectors come: the same bodies on CPython and on MicroPython."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.image import otadata

BODY = (Path(__file__).parent / "bodies/patches.py").read_text()


def expect_pass(done) -> None:
    assert done.code == 0, done.output
    assert done.output.endswith("PASSED\n")


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)", BODY, re.M))
def test_patches(function: str, interpreter, make_flash: Callable[..., Path], image_file: Path) -> None:
    expect_pass(interpreter.run("patches", function, make_flash(), image_file))


@pytest.mark.parametrize("record", [(1, otadata.PENDING_VERIFY), (1, otadata.NEW)])
def test_unconfirmed(record: tuple, interpreter, make_flash: Callable[..., Path], image_file: Path) -> None:
    expect_pass(interpreter.run("patches", "refuses_while_unconfirmed", make_flash(record), image_file))
