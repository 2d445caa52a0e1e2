"""The audit log: what a line says, how much there is, and what floods and strange files do to it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

BODY = (Path(__file__).parent / "bodies/audits.py").read_text()


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)", BODY, re.M))
def test_audit(function: str, interpreter, make_flash: Callable[..., Path], record_property: Callable) -> None:
    done = interpreter.run("audits", function, make_flash())
    assert done.code == 0, done.output
    assert done.output.endswith("PASSED\n")
    assert ("audit.write failed: " in done.output) == ("changes_nothing" in function), done.output
    if "WRITES" in done.output:
        record_property("flood", done.output.splitlines()[0])
