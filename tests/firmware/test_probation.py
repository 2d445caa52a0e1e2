"""Why a version was given up, as the next one finds it: the same bodies on CPython and on MicroPython."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

BODY = (Path(__file__).parent / "bodies/notes.py").read_text()


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)", BODY, re.M))
def test_probation(function: str, interpreter, make_flash: Callable[..., Path], make_image) -> None:
    done = interpreter.run("notes", function, make_flash(slot_1=make_image("1.1.0").data))
    assert done.code == 0, done.output
    assert done.output.endswith("PASSED\n")
    assert bool(re.search(r"^probation\.\w+ failed: ", done.output, re.M)) == ("changes_nothing" in function), (
        done.output
    )
