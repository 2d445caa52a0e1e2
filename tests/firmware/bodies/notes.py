# Runs on CPython and on MicroPython.
"""What a version on probation leaves behind for the one that comes after it: boots.py's starts, with their causes."""

import _chip
import _nvs
import _otadata
import audit
import boots
import machine
import slot
import starts
from _upload import otadata
from boots import OTA_0, OTA_1, confirming, crashing, cut_off, good, hanging, interrupted, panicking, set_record
from esp32 import NVS

VALID, NEW = _otadata.VALID, _otadata.NEW
SLEPT = 4  # machine.reset_cause()


def note(function, *arguments):
    return starts.quietly("probation", function, *arguments)


def last():
    """What GET /info says, but for version and slot: outcome, step and cause."""
    found = note("last")
    assert (found["version"], found["slot"]) == ("1.1.0", "ota_1"), found
    return found["outcome"], found["step"], found["cause"]


def commit():
    """As the updater does."""
    note("note_update", b"ota_1 1.1.0")
    set_record(0, 1, VALID)
    set_record(1, 2, NEW)
    note("end_update", None)


def asleep():
    boots.reset(SLEPT)


def mute():
    note("note", "its self-test failed: no answer within 60 s")
    slot.roll_back()


def coming_to(step):
    """Come to a step, and lose the power."""

    def run():
        starts.reach(step)
        cut_off()

    return run


def raising(error):
    def run():
        raise error

    return run


WATCHDOG = "the watchdog: it was not fed for a minute"
POWER = "the power went, or EN was pressed"
HARD = "machine.reset, or a crash below Python"
CAUSES = [
    (crashing, "imported", "ValueError in boots.py, line 72"),
    (boots.cancelled, "imported", "CancelledError in boots.py, line 76"),
    (hanging, "imported", WATCHDOG),
    (panicking, "imported", HARD),
    (cut_off, "imported", POWER),
    (asleep, "imported", "it went to deep sleep"),
    (interrupted, "imported", "Ctrl-C ended it"),
    (good, "imported", "its program came to an end"),
    (mute, "imported", "its self-test failed: no answer within 60 s"),
    (coming_to(5), "wifi", POWER),
    (coming_to(6), "server", POWER),
    (coming_to(7), "answered", POWER),
]


def test_causes():
    for run, step, cause in CAUSES:
        commit()
        assert boots.start(good, run)[0] == 1
        assert last() == ("on probation", step, None)
        assert boots.start(good)[0] == 0
        assert last() == ("rolled back", step, cause)
        boots.start(good)  # it is judged once
        assert last() == ("rolled back", step, cause)


def test_an_application_that_is_damaged():
    commit()
    boots.spoil_application(OTA_1)
    assert boots.start(good, good) == (None, "Reset")
    boots.start(good)
    assert last() == ("rolled back", "booted", "the SHA-256 of the application is wrong")


def test_an_image_that_the_bootloader_refuses():
    commit()
    _chip.write(OTA_1 + 0x1800, bytes(16))
    assert boots.start(good, good)[0] == 0
    assert last() == ("rolled back", "committed", "the bootloader refused it")


def test_power_that_goes_before_the_first_step():
    """Between the bootloader and the boot files."""
    commit()
    set_record(1, 2, _otadata.PENDING_VERIFY)
    boots.start(good)
    assert last() == ("rolled back", "committed", POWER)


def test_a_version_that_confirms():
    commit()
    assert last() == ("on probation", "committed", None)

    def run():
        confirming()
        note("confirm")

    boots.start(good, run)
    assert last() == ("confirmed", "confirmed", None)
    boots.start(good, good)
    assert last() == ("confirmed", "confirmed", None)


def test_power_that_goes_before_the_confirmation_is_noted():
    commit()
    boots.start(good, lambda: confirming() or cut_off())
    boots.start(good, good)
    assert last() == ("confirmed", "confirmed", None)
    with audit.Log() as log:
        assert b'"event": "CONFIRMED", "version": "1.1.0", "slot": "ota_1"}' in log.read(1000)


def test_an_update_that_ends_early():
    for cause, end in ((boots.POWER_ON, POWER), (boots.HARD, HARD), (boots.WATCHDOG, WATCHDOG)):
        note("note_update", b"ota_1 1.1.0")
        boots.cause = cause
        boots.start(good)
        assert last() == ("interrupted", "writing", end)

    def crash_while_it_writes():
        starts.clear()
        note("note_update", b"ota_1 1.1.0")
        crashing()

    boots.start(crash_while_it_writes)
    boots.start(good)
    assert last() == ("interrupted", "writing", "ValueError in boots.py, line 72")
    note("note_update", b"ota_1 1.1.0")
    note("end_update", "UPDATE_ERROR_MD5")
    boots.start(good)
    assert last() == ("refused", "writing", "UPDATE_ERROR_MD5")


def test_a_confirmed_version_that_is_left():
    """After three failures; the version in the other slot, which comes in for it, is no update."""
    set_record(1, 2, VALID)
    assert boots.life(4, good, crashing) == [(1, "Reset")] * 3 + [(None, "Reset")]
    assert last() == ("rolled back", "confirmed", "ValueError in boots.py, line 72")
    assert boots.start(confirming) == (0, "REPL")
    assert last() == ("rolled back", "confirmed", "ValueError in boots.py, line 72")


def test_a_confirmed_version_that_hangs_is_left():
    set_record(1, 2, VALID)
    assert boots.life(4, good, hanging)[-1] == (None, "Reset")
    assert last() == ("rolled back", "confirmed", "its last 3 starts failed")


def test_what_came_by_cable_is_no_update():
    note("note_update", b"ota_0 0.9.0")
    boots.start(good)
    assert note("last") is None
    note("note_update", b"ota_1 1.1.0")
    note("end_update", None)
    set_record(1, 2, VALID)
    set_record(0, 3, VALID)
    assert boots.start(good)[0] == 0
    assert note("last") is None


def test_an_older_application_notes_nothing():
    """It commits an update on these boot files."""
    for _ in range(2):
        set_record(1, 2, NEW)
        boots.start(good, crashing)
        boots.start(good)
        assert last() == ("rolled back", "imported", "ValueError in boots.py, line 72")


def test_texts_of_exceptions():
    """One plain line of bounded length, without the Wi-Fi password; bytes that a client sent stay behind."""
    NVS("kit").set_blob("wifi_password", b"a secret of ours")
    texts = (
        (NameError("name 'x' isn't defined"), "NameError: name 'x' isn't defined"),
        (ValueError("two\nlines"), "ValueError: two"),
        (ValueError('\u20ac\x07"'), 'ValueError: ??"'),
        (ValueError("x" * 5000), "ValueError: " + "x" * 60),
        (OSError("a secret of ours?"), "OSError: (it holds a secret)"),
    )
    for error, text in texts:
        commit()
        boots.start(good, raising(error))
        boots.start(good)
        assert last()[2] == text.partition(":")[0] + " in notes.py, line 60", last()
        stored = bytearray(200)
        stored = bytes(stored[: NVS("kit").get_blob("why", stored)]).decode()
        assert stored.startswith(text[:80]), stored
        assert len(stored) <= 130


def test_few_writes():
    """NVS wears: so many items are written by a start on probation at most, and by one that is not."""

    def written(*runs):
        _chip.log = []
        boots.start(*runs)
        nvs = range(boots.NVS_OFFSET, boots.NVS_OFFSET + boots.NVS_SIZE)
        found, _chip.log = [place for place in _chip.log if place[1] in nvs and place[0] == "write"], None
        return len(found)

    def all_steps():
        for step in (5, 6, 7):
            starts.reach(step)
        confirming()
        note("confirm")

    commit()
    probation = written(good, all_steps)
    plain = written(good, good)
    assert probation - plain <= 6 * 3, (probation, plain)
    commit()
    assert written(good, crashing) - plain <= 2 * 3 + 9
    assert written(good) - plain <= 3


def test_power_cut_at_every_note():
    """Whatever is noted, the board does what it would do; the notes are read, and the next update's are right."""
    number = cuts = 0
    while True:
        boots.start(interrupted)
        commit()
        _chip.operations, _chip.cut_at = 0, number
        try:
            ended = boots.start(good, crashing)
        except _chip.PowerCut:  # the bootloader's own
            ended = (None, "PowerCut")
        _chip.cut_at = None
        assert ended[1] in ("Reset", "PowerCut")
        cuts += ended[1] == "PowerCut"
        _nvs.open_partition(boots.NVS_OFFSET, boots.NVS_SIZE)
        number += 1
        ran = boots.start(good, good)
        if ended == (1, "Reset"):
            break
        if ran[0] == 1:  # before the bootloader had begun
            boots.start(good)
        outcome, _, cause = last()
        assert outcome == "rolled back", number
        assert cause, number
    assert cuts > 20


def test_a_full_nvs_changes_nothing():
    class Full(NVS):
        def set_i32(self, key, value):
            raise OSError(-0x1105, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")

        set_blob = set_i32

    import esp32

    esp32.NVS = starts.NVS = Full
    commit()
    assert boots.start(good, crashing) == (1, "Reset")
    assert boots.start(good, good) == (0, "REPL")
    assert note("last") is None
    assert [record.state for record in otadata()] == [VALID, _otadata.ABORTED]


def test_a_broken_file_of_notes_changes_nothing():
    """As where somebody has edited it."""

    def fail(*arguments):
        raise RuntimeError

    import sys

    quietly = starts.quietly
    for error in (SyntaxError, ImportError, MemoryError):

        class Broken:
            def __getattr__(self, name):
                raise error  # noqa: B023

        sys.modules["probation"] = Broken()
        assert starts.quietly("probation", "begin") is None
    assert quietly("no_such_file", "begin") is None
    assert machine.reset_cause() == boots.POWER_ON
    assert OTA_0


def expect_why(*words):
    stored = bytearray(200)
    stored = bytes(stored[: NVS("kit").get_blob("why", stored)]).decode()
    for word in words:
        assert word in stored, stored
