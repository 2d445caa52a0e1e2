"""Starts that fail, and what the boot files then do: the same bodies on CPython and on MicroPython."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.image.table import MICROPYTHON_OTA, PartitionTable

BODY = (Path(__file__).parent / "bodies/boots.py").read_text()
ALONE = {
    "test_histories",
    "test_power_cut_while_counting",
    "test_stays_without_another_slot",
}


def expect_pass(done) -> None:
    assert done.code == 0, done.output
    assert done.output.endswith("PASSED\n")


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)", BODY, re.M))
def test_boots(function: str, interpreter, make_flash: Callable[..., Path], make_image) -> None:
    other = b"" if function in ALONE else make_image("1.1.0").data
    expect_pass(interpreter.run("boots", function, make_flash(slot_1=other)))


def test_new_application(interpreter, make_flash: Callable[..., Path], make_image, tmp_path: Path) -> None:
    mended = make_image("1.0.0", application="def run():\n    pass\n").save(tmp_path / "mended.bin")
    flash = make_flash(slot_1=make_image("1.1.0").data)
    expect_pass(interpreter.run("boots", "a_new_application_by_cable_begins_anew", flash, mended))


@pytest.mark.parametrize("missing", ["ota_1", "nvs", "otadata"])
def test_tables(missing: str, interpreter, make_flash: Callable[..., Path], make_image) -> None:
    """A table that lacks what the boot files would like to have."""
    table = PartitionTable(tuple(row for row in MICROPYTHON_OTA if row.label != missing))
    flash = make_flash(slot_1=make_image("1.1.0").data, table=table)
    expect_pass(interpreter.run("boots", "starts_and_stays", flash))
