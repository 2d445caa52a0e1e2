"""slot.py and the boot file main.py."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.image import otadata
from kit.image.partition import SECTOR

VALID, PENDING_VERIFY, ABORTED, NEW = otadata.VALID, otadata.PENDING_VERIFY, otadata.ABORTED, otadata.NEW
UNDEFINED = otadata.UNDEFINED


@pytest.fixture
def where(make_image) -> tuple[int, int]:
    """Offset and length of the application in the image of version 1.0.0."""
    image = make_image("1.0.0")
    return len(image.data) - image.application_length, image.application_length


@pytest.mark.parametrize(
    "function",
    [
        "test_finds_the_application",
        "test_refuses_a_wrong_hash",
        "test_refuses_a_plain_micropython",
        "test_refuses_a_length_beyond_the_slot",
        "test_reads_through_the_window",
        "test_keeps_what_it_has_read",
        "test_cannot_be_written",
    ],
)
def test_slot(function: str, interpreter, make_flash: Callable[..., Path], where: tuple[int, int]) -> None:
    done = interpreter.run("slots", function, make_flash(), *where)
    assert done.code == 0, done.output


def test_empty_slot(interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("slots", "test_refuses_an_empty_slot", make_flash(slot_0=b""))
    assert done.code == 0, done.output


@pytest.mark.parametrize(
    ("records", "states"),
    [
        ([(1, VALID)], (VALID, UNDEFINED)),
        ([(1, VALID), (2, PENDING_VERIFY)], (VALID, PENDING_VERIFY)),
        ([(3, NEW), (2, VALID)], (NEW, VALID)),
        ([(2, ABORTED), (1, VALID)], (VALID, ABORTED)),
        ([(2, VALID), (4, PENDING_VERIFY)], (UNDEFINED, PENDING_VERIFY)),
    ],
)
def test_state(records: list, states: tuple, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("slots", "test_knows_the_state_of_a_slot", make_flash(*records), *states)
    assert done.code == 0, done.output


def test_starts_the_application(compiled, make_flash: Callable[..., Path], image_file: Path) -> None:
    """A real littlefs mount: the application that a slot holds runs, from a file system that nobody can write."""
    done = compiled.run("slots", "boot_and_look", make_flash(), image_file)
    assert done.code == 0, done.output
    assert "APPLICATION RUNS" in done.output


@pytest.mark.parametrize("is_compiled", [False, True])
def test_crash(is_compiled: bool, compiled, make_flash: Callable[..., Path], make_image, image_file: Path) -> None:
    """An application that crashes resets the board; the bootloader or the count of starts then does the rest.

    The traceback tells boot files and application apart.
    """
    crashing = make_image("1.0.0", not is_compiled, "def run():\n    raise ValueError('a bug')\n").data
    for state, says in ((PENDING_VERIFY, "This version was never confirmed."), (VALID, "Restarting.\n")):
        done = compiled.run("slots", "boot", make_flash((1, state), slot_0=crashing), image_file)
        assert 'File "main.py", line ' in done.output
        assert f'File "/app/main.py", line 2, in run\nValueError: a bug\n{says}' in done.output
        assert done.code == 42, done.output


def test_without_application(interpreter, make_flash: Callable[..., Path], make_image, image_file: Path) -> None:
    """Two clear lines, and the REPL: no reset, no traceback."""
    plain = make_image("1.0.0")
    flash = make_flash(slot_0=plain.data[: plain.app_length])
    done = interpreter.run("slots", "boot", flash, image_file)
    assert done.output.splitlines() == [
        "No application was started: there is no application behind the app image.",
        "Flash one: board.flash(kit.build('1.0.0')).",
        "PASSED",
    ]


def test_unconfirmed_without_application(interpreter, make_flash: Callable[..., Path], make_image, image_file) -> None:
    """An image that cannot start resets while it is unconfirmed, so that the bootloader goes back."""
    damaged = bytearray(make_image("1.0.0").data)
    damaged[-SECTOR : -SECTOR + 4] = struct.pack("<I", 0xDEADBEEF)
    done = interpreter.run("slots", "boot", make_flash((1, PENDING_VERIFY), slot_0=bytes(damaged)), image_file)
    assert done.code == 42, done.output
    assert "RESET 2" in done.output
    assert "the SHA-256 of the application is wrong" in done.output
