"""The start of the application: self-test, confirmation, watchdog, on both interpreters."""

import time

import pytest

from kit.image import otadata

VALID, PENDING_VERIFY, NEW = otadata.VALID, otadata.PENDING_VERIFY, otadata.NEW
OTA_0, OTA_1 = 0x10000, 0x190000
UNFIT = [
    # not the boot slot: confirming would make the *other* slot valid, which the bootloader refused
    [(1, PENDING_VERIFY), (2, PENDING_VERIFY)],
    [(1, VALID), (2, PENDING_VERIFY)],
]


@pytest.mark.parametrize("state", [PENDING_VERIFY, NEW])
def test_confirms(state: int, interpreter, make_flash, serve) -> None:
    """Under the watchdog, which from then on a timer feeds."""
    board = serve(interpreter, make_flash((1, state)))
    assert "Update confirmed" in board.output()
    assert board.get("/info").json()["image_state"] == "VALID"
    assert board.records()[0] == (1, VALID)
    inside = board.get("/inside").json()
    assert inside["timers"] == [5_000]
    assert len(inside["watched"]) > 1
    assert set(inside["watched"]) == {60_000}


@pytest.mark.parametrize("before", UNFIT)
def test_confirms_only_what_runs(before: list, interpreter, make_flash, serve) -> None:
    board = serve(interpreter, make_flash(*before))
    assert "Update confirmed" not in board.output()
    assert board.records() == before
    assert board.get("/info").json()["image_state"] == ("VALID" if before[0][1] == VALID else "PENDING_VERIFY")


def test_loop_feeds_the_watchdog(interpreter, make_flash, serve) -> None:
    """As long as nothing is confirmed the loop does it alone: no timer goes on where a loop hangs."""
    board = serve(interpreter, make_flash(*UNFIT[0]), feed=0.05)
    end = time.monotonic() + 10
    while len(board.get("/inside").json()["watched"]) < 5:
        assert time.monotonic() < end
    assert board.get("/inside").json()["timers"] == []


def test_confirmed_start_has_no_watchdog(interpreter, make_flash, serve) -> None:
    board = serve(interpreter, make_flash(), feed=0.05)
    inside = board.get("/inside").json()
    assert (inside["watched"], inside["timers"]) == ([], [])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"wifi_password": "another one", "test": 1}, "no answer within 1"),
        ({"broken": 1, "test": 1}, "no answer within 1"),
        ({}, "the SHA-256 of the application is wrong"),
    ],
    ids=["Wi-Fi", "web server", "hash"],
)
def test_failed_self_test_resets(fault: dict, reason: str, interpreter, make_flash, make_image, serve) -> None:
    """Each of its three parts; the bootloader then goes back."""
    image = bytearray(make_image("1.1.0").data)
    if not fault:
        image[-20:-10] = bytes(10)
    before = [(1, VALID), (2, PENDING_VERIFY)]
    board = serve(interpreter, make_flash(*before, slot_1=image), running=OTA_1, until="Self-test failed", **fault)
    assert board.wait() == 42, board.output()
    assert f"Self-test failed: {reason}" in board.output()
    assert board.records() == before


def test_begins_its_self_test(interpreter, make_flash, serve) -> None:
    """The starts that failed are forgotten, also where there is no Wi-Fi."""
    flash = make_flash()
    interpreter.run("boots", "set_count", flash, 2)
    serve(interpreter, flash, wifi_password="another one", until="Connecting to WiFi")
    assert interpreter.run("boots", "expect_count", flash, 0).code == 0


@pytest.mark.parametrize(("record", "code", "count"), [((1, VALID), 0, 0), ((1, PENDING_VERIFY), 42, 2)])
def test_without_settings(record: tuple, code: int, count: int, interpreter, make_flash) -> None:
    """Once confirmed, the REPL opens and the start does not count; before that it has failed."""
    flash = make_flash(record)
    interpreter.run("boots", "set_count", flash, 2)
    done = interpreter.run("serve", "run_without_settings", flash, OTA_0)
    assert done.code == code, done.output
    assert "No Wi-Fi network is set" in done.output
    assert interpreter.run("boots", "expect_count", flash, count).code == 0
