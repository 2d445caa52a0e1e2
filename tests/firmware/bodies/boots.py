# Runs on CPython and on MicroPython.
"""Starts in a row: the boot files, with a bootloader and applications of our own."""

import sys

import _appimage
import _chip
import _nvs
import _otadata
import slot
import starts
import watchdog
from _upload import otadata
from esp32 import NVS, Partition

OTA_0, OTA_1, SLOT = 0x10000, 0x190000, 0x180000
OTADATA, NVS_OFFSET, NVS_SIZE = 0xD000, 0x9000, 0x4000
SECTOR, NVS_SUBTYPE = 4096, 2
POWER_ON, WATCHDOG, SOFT = 1, 3, 5  # reset causes


class Vfs:
    """Mounts anything: test_slot.py has the real file system."""

    def VfsLfs2(self, device):  # noqa: N802 - MicroPython's name
        return device

    def mount(self, device, path, readonly):
        assert (path, readonly) == ("/app", True)


slot.vfs = Vfs()


# What an application does at its start.


def good():
    starts.clear()


def confirming():
    starts.clear()
    Partition.mark_app_valid_cancel_rollback()


def crashing():
    raise ValueError("a bug")


def hanging():
    """As seen from outside: a watchdog ends it."""
    _chip.reset(WATCHDOG)


def interrupted():
    raise KeyboardInterrupt


def cut_off():
    raise _chip.PowerCut


def set_record(number, seq, state):
    address = OTADATA + number * SECTOR
    _chip.erase(address, SECTOR)
    _chip.write(address, _otadata.pack(seq, state))


def is_bootable(address):
    try:
        _appimage.verify(_chip.read, address, SLOT)
        return True
    except ValueError:
        return False


def bootloader():
    """Choose the running slot as the bootloader does, states of otadata included."""
    for number, record in enumerate(otadata()):
        if record.state == _otadata.PENDING_VERIFY:
            set_record(number, record.seq, _otadata.ABORTED)
    records = otadata()
    active = _otadata.active(*records)
    first = 0
    if active is not None:
        first = _otadata.slot_of(records[active].seq, 2)
        if records[active].state == _otadata.NEW:
            set_record(active, records[active].seq, _otadata.PENDING_VERIFY)
    _chip.running = next(address for address in ((OTA_0, OTA_1), (OTA_1, OTA_0))[first] if is_bootable(address))


def start(run_0, run_1=None, cause=POWER_ON):
    """Do one start; return the number of the slot whose application ran, None if none did, and how it ended."""
    ran = []

    def run():
        ran.append(int(_chip.running == OTA_1))
        (run_0, run_1)[ran[0]]()

    _chip.reset_cause = cause
    if cause != SOFT:
        bootloader()
        if Partition.find(Partition.TYPE_DATA, NVS_SUBTYPE):
            _nvs.open_partition(NVS_OFFSET, NVS_SIZE)
    sys.modules["main"] = type("main", (), {"run": staticmethod(run)})
    sys.modules.pop("boot_main", None)
    starts._counts = False
    try:
        __import__("boot_main")
        end = "REPL"
    except (_chip.Reset, _chip.PowerCut, KeyboardInterrupt) as error:
        end = type(error).__name__
    return ran[0] if ran else None, end


def life(n, *runs):
    """Do n starts in a row, and return what each one did."""
    return [start(*runs) for _ in range(n)]


CRASH_0, RESET_0, RESET_1 = (0, "REPL"), (0, "Reset"), (1, "Reset")
LEFT, STAYED = (None, "Reset"), (None, "REPL")


def test_counts_three_starts_and_stays_without_another_slot():
    """One slot only: three starts, the REPL once, and it is tried again."""
    assert life(8, crashing) == 2 * [CRASH_0, CRASH_0, CRASH_0, STAYED]
    assert life(5, hanging) == [(0, "Reset")] * 3 + [STAYED, (0, "Reset")]
    assert [record.state for record in otadata()] == [_otadata.VALID, _otadata.UNDEFINED]


def test_goes_to_the_other_slot_after_three_starts():
    assert life(5, crashing, confirming) == [RESET_0, RESET_0, RESET_0, LEFT, (1, "REPL")]
    assert [record.state for record in otadata()] == [_otadata.VALID, _otadata.VALID]
    assert life(5, crashing, good) == [(1, "REPL")] * 5


def test_comes_back_from_a_crashing_other_slot_and_ends():
    """Both fail: each gets its starts, then the REPL opens; the bootloader's choice is the first slot again."""
    assert life(10, crashing, crashing) == [RESET_0] * 3 + [LEFT, RESET_1] * 3 + [STAYED]
    assert otadata()[0].state == _otadata.VALID
    assert otadata()[1].state == _otadata.ABORTED
    assert start(good) == (0, "REPL")


def test_a_power_cut_on_the_other_slot_is_no_end():
    assert life(4, hanging, cut_off)[-1] == LEFT
    assert life(4, hanging, cut_off) == [(1, "PowerCut"), LEFT, (1, "PowerCut"), LEFT]
    assert start(hanging, confirming) == (1, "REPL")
    assert start(hanging, good) == (1, "REPL")


def test_a_good_start_clears_the_count():
    for _ in range(3):
        assert life(2, crashing, good) == [RESET_0, RESET_0]
        assert start(good) == (0, "REPL")


def test_only_hard_resets_count():
    assert [start(crashing, good, SOFT) for _ in range(5)] == [CRASH_0] * 5
    assert life(2, crashing, good) == [RESET_0, RESET_0]
    assert start(crashing, good, SOFT) == CRASH_0
    assert life(2, crashing, good) == [RESET_0, LEFT]


def test_a_crash_after_the_self_test_began_does_not_count():
    def crash_later():
        starts.clear()
        crashing()

    assert life(8, crash_later, good) == [CRASH_0] * 8


def test_ctrl_c_does_not_count():
    assert life(8, interrupted, good) == [(0, "KeyboardInterrupt")] * 8


def test_a_power_cut_before_the_self_test_counts():
    assert life(4, cut_off, good) == [(0, "PowerCut")] * 3 + [LEFT]


def test_power_cut_while_counting():
    """The number in NVS is the old one or the new one, at whatever operation the power goes."""
    assert start(crashing) == CRASH_0
    number = 0
    while True:
        _chip.operations, _chip.cut_at = 0, number
        ran = start(crashing)
        _chip.cut_at = None
        if ran == CRASH_0:
            break
        assert ran == (None, "PowerCut")
        _nvs.open_partition(NVS_OFFSET, NVS_SIZE)
        assert starts._load()[1] in (1, 2), number
        assert start(good) == (0, "REPL")
        assert start(crashing) == CRASH_0
        number += 1
    assert number > 1


def a_new_application_by_cable_begins_anew(path):
    """Three starts failed, and then the learner flashes another application: it is started."""
    assert life(3, crashing, good) == [RESET_0] * 3
    with open(path, "rb") as file:
        address = OTA_0
        while sector := file.read(SECTOR):
            _chip.erase(address, SECTOR)
            _chip.write(address, sector)
            address += SECTOR
    assert life(4, crashing, good) == [RESET_0] * 3 + [LEFT]


def test_an_update_that_fails_goes_back_and_the_count_is_cleared():
    set_record(1, 2, _otadata.NEW)
    assert life(2, good, crashing) == [RESET_1, (0, "REPL")]
    assert starts._load() == (0, 0)


def test_unconfirmed_start_runs_under_the_watchdog():
    """From before the application's first line; nothing feeds it but the application."""
    watched = []

    def look():
        watched.append(len(_chip.watched))
        watchdog.feed()

    start(look)
    set_record(1, 2, _otadata.NEW)
    start(look, look)
    assert watched == [0, 1]
    assert _chip.watched == [60_000, 60_000]
    assert not _chip.alarms


def test_boot_py_feeds_after_a_soft_reset():
    """A timer has fed the watchdog, and a soft reset has ended the timer."""
    boot_py(POWER_ON)
    assert not _chip.watched
    boot_py(SOFT)
    assert _chip.watched == [60_000]
    assert [ms for ms, _, _ in _chip.alarms] == [5_000]
    for _ in range(3):
        _chip.ring()
    assert _chip.watched == [60_000] * 4


def test_boot_py_does_not_feed_what_is_unconfirmed():
    set_record(0, 1, _otadata.PENDING_VERIFY)
    for cause in (POWER_ON, WATCHDOG, SOFT):
        boot_py(cause)
    assert not _chip.watched
    assert not _chip.alarms


def boot_py(cause):
    _chip.reset_cause = cause
    sys.modules.pop("boot", None)
    __import__("boot")


def test_starts_without_a_count():
    """NVS that takes nothing: the application starts, and without a count no slot is left."""

    class Full(NVS):
        def set_i32(self, key, value):
            raise OSError(-0x1105, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")

    starts.NVS = Full
    starts_and_stays()


def starts_and_stays():
    """What there is starts; there is no way out of a slot."""
    assert life(2, good, good) == [(0, "REPL")] * 2
    ends = life(8, crashing, good)
    assert set(ends) <= {CRASH_0, RESET_0, STAYED}
    assert ends[:4] != [RESET_0] * 4  # it comes to an end
    spoil_application(OTA_0)
    assert life(3, good, good) == [STAYED] * 3


def test_any_number_in_nvs_lets_it_start():
    for value in (-1, -(1 << 31), (1 << 31) - 1, 127, 3):
        NVS("kit").set_i32("starts", value)
        assert start(good, good) == (0, "REPL"), value
    NVS("kit").erase_key("starts")
    NVS("kit").set_blob("starts", b"not a number")
    assert life(2, good, good) == [(0, "REPL")] * 2


def spoil_application(address):
    """Clear some bits of the last sector of the application in a slot."""
    read = slot.reader(Partition("ota_0" if address == OTA_0 else "ota_1"))
    offset, length, _ = slot.find(read, SLOT)
    _chip.write(address + offset + length - 16, b"\0" * 16)


def test_a_damaged_application_is_left_at_once():
    """Rule 4 of the updater: as if the slot had not confirmed."""
    spoil_application(OTA_0)
    assert life(3, good, confirming) == [LEFT, (1, "REPL"), (1, "REPL")]


def test_a_damaged_application_waits_for_a_good_one():
    """The other version is tried until the count is full, and again after the next reset by hand."""
    spoil_application(OTA_0)
    assert life(9, good, crashing) == [LEFT, RESET_1] * 4 + [STAYED]
    assert life(2, good, confirming) == [LEFT, (1, "REPL")]


def test_power_cut_while_leaving():
    """Wherever the power goes, the good version runs in the end."""
    spoil_application(OTA_0)
    number = 0
    while True:
        set_record(0, 1, _otadata.VALID)
        _chip.erase(OTADATA + SECTOR, SECTOR)
        bootloader()
        starts.clear()
        _chip.operations, _chip.cut_at = 0, number
        ended = start(good, good)
        _chip.cut_at = None
        if ended == LEFT:
            break
        assert ended == (None, "PowerCut")
        assert (1, "REPL") in life(2, good, confirming), number
        number += 1
    assert number > 3


def test_stays_where_the_other_slot_is_damaged():
    spoil_application(OTA_0)
    spoil_application(OTA_1)
    before = otadata()
    assert life(3, good, good) == [STAYED] * 3
    assert otadata() == before


def test_stays_where_the_other_slot_does_not_boot():
    """Its application is right, and its app image is not: set_boot refuses."""
    _chip.write(OTA_1 + 0x1000, b"\0" * 64)
    spoil_application(OTA_0)
    before = otadata()
    assert life(3, good, good) == [STAYED] * 3
    assert otadata() == before


def set_count(starts_so_far):
    """For the tests of the real application: so many starts of it have failed."""
    starts._store(starts._mark(), int(starts_so_far))


def expect_count(starts_so_far):
    assert starts._load()[1] == int(starts_so_far), starts._load()
