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
    """Under the watchdog, which only the loop feeds, then and later."""
    board = serve(interpreter, make_flash((1, state)))
    assert "Update confirmed" in board.output()
    assert board.get("/info").json()["image_state"] == "VALID"
    assert board.records()[0] == (1, VALID)
    inside = board.get("/inside").json()
    assert inside["timers"] == []
    assert len(inside["watched"]) > 1
    assert set(inside["watched"]) == {60_000}


@pytest.mark.parametrize("before", UNFIT)
def test_confirms_only_what_runs(before: list, interpreter, make_flash, serve) -> None:
    board = serve(interpreter, make_flash(*before))
    assert "Update confirmed" not in board.output()
    assert board.records() == before
    assert board.get("/info").json()["image_state"] == ("VALID" if before[0][1] == VALID else "PENDING_VERIFY")


@pytest.mark.parametrize("records", [UNFIT[0], [(1, VALID)]])
def test_loop_feeds_the_watchdog(records: list, interpreter, make_flash, serve) -> None:
    """Confirmed or not, the loop does it alone: no timer goes on where a loop hangs."""
    board = serve(interpreter, make_flash(*records), feed=0.05)
    end = time.monotonic() + 10
    while len(board.get("/inside").json()["watched"]) < 5:
        assert time.monotonic() < end
    assert board.get("/inside").json()["timers"] == []


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


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (1, ["its self-test failed: no answer within 1"]),
        (2, ["NameError: name 'nobody' isn't defined", "serve.py, line "]),
        (3, ["its self-test failed: no answer within 1"]),
    ],
    ids=["silence", "mistake", "mistake elsewhere"],
)
def test_why_it_failed(broken: int, words: list[str], interpreter, make_flash, make_image, serve) -> None:
    """Where the board's own request met an exception, that is the reason; what others sent is in none."""
    flash = make_flash((1, VALID), (2, PENDING_VERIFY), slot_1=make_image("1.1.0").data)
    board = serve(interpreter, flash, running=OTA_1, until="Self-test failed", broken=broken, test=1)
    assert board.wait() == 42, board.output()
    done = interpreter.run("notes", "expect_why", flash, *words)
    assert done.code == 0, done.output


def test_begins_its_self_test(interpreter, make_flash, serve) -> None:
    """From there on a reset is no failure, also where there is no Wi-Fi."""
    flash = make_flash()
    assert interpreter.run("boots", "set_count", flash, 2).code == 0
    serve(interpreter, flash, wifi_password="another one", until="Connecting to WiFi")
    done = interpreter.run("boots", "expect_count", flash, 2)
    assert done.code == 0, done.output


@pytest.mark.parametrize(("record", "code"), [((1, VALID), 0), ((1, PENDING_VERIFY), 42)])
def test_without_settings(record: tuple, code: int, interpreter, make_flash) -> None:
    """Once confirmed, the REPL opens and the start has not failed; before that it has."""
    flash = make_flash(record)
    assert interpreter.run("boots", "set_count", flash, 2).code == 0
    done = interpreter.run("serve", "run_without_settings", flash, OTA_0)
    assert done.code == code, done.output
    assert "No Wi-Fi network is set" in done.output
    done = interpreter.run("boots", "expect_count", flash, 2)
    assert done.code == 0, done.output
