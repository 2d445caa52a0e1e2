"""The updater against a flash file: the same bodies on CPython and on MicroPython."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.image import otadata
from kit.image.table import MICROPYTHON_OTA, PartitionTable

BODY = (Path(__file__).parent / "bodies/updates.py").read_text()
VALID, PENDING_VERIFY, NEW = (1, otadata.VALID), (1, otadata.PENDING_VERIFY), (1, otadata.NEW)
ONE_SLOT = PartitionTable(tuple(row for row in MICROPYTHON_OTA if row.label != "ota_1"))


def expect_pass(done) -> None:
    assert done.code == 0, done.output
    assert done.output.endswith("PASSED\n")


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)", BODY, re.M))
def test_updater(function: str, interpreter, make_flash: Callable[..., Path], image_file: Path) -> None:
    expect_pass(interpreter.run("updates", function, make_flash(), image_file))


def test_versions(interpreter, make_flash: Callable[..., Path]) -> None:
    expect_pass(interpreter.run("updates", "orders_versions_as_semver_does", make_flash()))


def test_kit_and_board_take_the_same_versions(interpreter, make_flash: Callable[..., Path]) -> None:
    versions = Path(__file__).parents[1] / "versions.json"
    expect_pass(interpreter.run("updates", "takes_versions_as_the_kit_does", make_flash(), versions))


@pytest.mark.parametrize("record", [PENDING_VERIFY, NEW])
def test_unconfirmed(record: tuple, interpreter, make_flash: Callable[..., Path], image_file: Path) -> None:
    expect_pass(interpreter.run("updates", "refuses_while_unconfirmed", make_flash(record), image_file))


def test_one_slot(interpreter, make_flash: Callable[..., Path], image_file: Path) -> None:
    flash = make_flash(VALID, table=ONE_SLOT)
    expect_pass(interpreter.run("updates", "refuses_without_a_second_slot", flash, image_file))


@pytest.mark.parametrize("refused", [(2, otadata.PENDING_VERIFY), (2, otadata.VALID)])
def test_after_a_slot_that_was_refused(refused: tuple, interpreter, make_flash, image_file: Path) -> None:
    """ESP-IDF up to 5.5 would write the new record over that of the running slot, the only one to go back to."""
    expect_pass(interpreter.run("updates", "keeps_a_way_back", make_flash(VALID, refused), image_file))


def test_same_version(interpreter, make_flash: Callable[..., Path], make_image, tmp_path: Path) -> None:
    image = make_image("1.0.0").save(tmp_path / "1.0.0.bin")
    expect_pass(interpreter.run("updates", "takes_the_same_version_by_force", make_flash(), image))


def test_stand_in(interpreter, make_flash: Callable[..., Path], make_image, image_file: Path, tmp_path: Path) -> None:
    """An image built on a stand-in is for virtual boards; one built on real firmware is for both."""
    real = make_image("1.1.0", is_stand_in=False).save(tmp_path / "real.bin")
    expect_pass(interpreter.run("updates", "minds_stand_ins_on_a_chip", make_flash(), image_file, real))
