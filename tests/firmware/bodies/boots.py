# Runs on CPython and on MicroPython.
"""Starts in a row: the boot files, with a bootloader and applications of our own."""

import asyncio
import sys

import _appimage
import _chip
import _nvs
import _otadata
import slot
import starts
import watchdog
from _time import Time
from _upload import otadata
from esp32 import NVS, Partition

OTA_0, OTA_1, SLOT = 0x10000, 0x190000, 0x180000
OTADATA, NVS_OFFSET, NVS_SIZE = 0xD000, 0x9000, 0x4000
SECTOR, NVS_SUBTYPE = 4096, 2
POWER_ON, HARD, WATCHDOG, SOFT = 1, 2, 3, 5  # reset causes
FIVE_MINUTES = 300


class Vfs:
    """Mounts anything: test_slot.py has the real file system."""

    def VfsLfs2(self, device):  # noqa: N802 - MicroPython's name
        return device

    def mount(self, device, path, readonly):
        assert (path, readonly) == ("/app", True)


slot.vfs = Vfs()


class OurTime(Time):
    def pass_by(self, seconds):
        """Let time pass; the application's loop feeds the watchdog every 5 s."""
        for _ in range(seconds // 5):
            self.ms += 5_000
            watchdog.feed()


starts.time = time = OurTime()
cause = POWER_ON  # of the next start: somebody presses EN unless a reset came first


def reset(its_cause):
    global cause
    cause = its_cause
    raise _chip.Reset


_chip.reset = reset


# What an application does at its start. Those that come to their self-test do all else after it has begun.


def good():
    starts.clear()


def confirming():
    starts.clear()
    Partition.mark_app_valid_cancel_rollback()


def crashing():
    raise ValueError("a bug")


def cancelled():
    raise asyncio.CancelledError


def hanging():
    """As seen from outside: the watchdog ends it."""
    reset(WATCHDOG)


def panicking():
    """So does machine.reset, for all that the chip tells."""
    reset(HARD)


def interrupted():
    raise KeyboardInterrupt


def cut_off():
    """EN does the same."""
    raise _chip.PowerCut


def deaf():
    starts.note(starts.DEAF)
    reset(HARD)


def asked():
    starts.note(starts.RESTART)
    reset(HARD)


def after(seconds, end):
    """Come to the self-test, live on for some time, and end."""

    def run():
        starts.clear()
        time.pass_by(seconds)
        end()

    return run


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


def start(run_0, run_1=None, soft=False):
    """Do one start; return the number of the slot whose application ran, None if none did, and how it ended."""
    global cause
    ran = []

    def run():
        ran.append(int(_chip.running == OTA_1))
        (run_0, run_1)[ran[0]]()

    _chip.reset_cause, cause = SOFT if soft else cause, POWER_ON
    if not soft:
        bootloader()
        if Partition.find(Partition.TYPE_DATA, NVS_SUBTYPE):
            _nvs.open_partition(NVS_OFFSET, NVS_SIZE)
    sys.modules["main"] = type("main", (), {"run": staticmethod(run)})
    sys.modules.pop("boot_main", None)
    starts.previous, starts._stage, starts._since = 0, None, None
    watchdog._wdt = watchdog._timer = None
    del _chip.alarms[:]
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

# Starts one after the other, and how many failures the one behind them finds. It is the rule of starts.py as a table.
HISTORIES = [
    ([crashing], 1),
    ([cancelled], 1),
    ([crashing] * 3, 3),
    ([hanging] * 3, 3),
    ([panicking] * 3, 3),  # or it resets itself: it never comes to its self-test
    ([deaf], 1),
    ([after(60, crashing)] * 3, 3),
    ([after(60, hanging)] * 3, 3),
    ([after(60, deaf)] * 3, 3),
    ([after(FIVE_MINUTES - 5, hanging)] * 2, 2),
    ([crashing, hanging, after(60, crashing)], 3),
    # somebody is there
    ([cut_off] * 9, 0),
    ([after(60, cut_off)] * 9, 0),
    ([interrupted] * 9, 0),
    ([good] * 9, 0),
    ([crashing, crashing, interrupted], 0),
    # power and EN forget nothing
    ([crashing, cut_off, crashing, cut_off, cut_off], 2),
    ([crashing, after(60, cut_off), hanging, after(60, cut_off), after(60, deaf)], 3),
    # what looks alike to the chip
    ([after(60, panicking)] * 9, 0),
    ([after(60, asked)] * 9, 0),
    ([asked] * 9, 0),
    ([hanging, after(60, panicking)], 1),
    # five minutes
    ([crashing, crashing, after(FIVE_MINUTES, cut_off)], 0),
    ([crashing, crashing, after(3600, cut_off)], 0),  # as while it waits for Wi-Fi
    ([after(FIVE_MINUTES, end) for end in (crashing, hanging, deaf, panicking, crashing)], 0),
    ([crashing, after(FIVE_MINUTES, crashing), crashing], 1),
    ([crashing, after(FIVE_MINUTES - 5, cut_off)], 1),
]


def test_histories():
    for before, failures in HISTORIES:
        assert start(interrupted) == (0, "KeyboardInterrupt")
        for number, run in enumerate(before):
            assert start(run)[0] == 0, (before, number)
        found = []
        ended = start(lambda: found.append(starts._load()[2]))  # noqa: B023
        assert (found or [3]) == [failures], (before, ended)
        assert (ended == STAYED) == (failures == 3), before


def test_an_exception_resets_however_late_it_comes():
    assert life(5, after(FIVE_MINUTES, crashing)) == [RESET_0] * 5
    assert life(2, after(60, crashing)) == [RESET_0] * 2


def test_what_led_to_a_start():
    for run, previous in ((deaf, starts.DEAF), (crashing, starts.EXCEPTION), (asked, starts.RESTART), (interrupted, 0)):
        start(run)
        found = []
        start(lambda: found.append(starts.previous))  # noqa: B023
        assert found == [previous]


def test_few_writes():
    """Of a start that goes well four: its number, it begins, it comes to its self-test, it is trusted. Soft: one."""
    start(after(FIVE_MINUTES, cut_off))
    _chip.log = []
    start(after(3600, cut_off))
    in_nvs = [place for place in _chip.log if place[0] == "write" and NVS_OFFSET <= place[1] < NVS_OFFSET + NVS_SIZE]
    assert len(in_nvs) == 4 * 3  # the item, and the state of it and of the one that it replaces: _nvs_page.py
    _chip.log = []
    start(after(60, interrupted), soft=True)
    assert len(_chip.log) == 3


def counts_without_another_slot():
    """Three starts, the REPL, and it is tried again after EN."""
    assert life(8, crashing) == 2 * [RESET_0, RESET_0, RESET_0, STAYED]
    assert life(5, hanging) == [(0, "Reset")] * 3 + [STAYED, (0, "Reset")]


def test_stays_without_another_slot():
    counts_without_another_slot()
    assert [record.state for record in otadata()] == [_otadata.VALID, _otadata.UNDEFINED]


def test_goes_to_the_other_slot_after_three_failures():
    assert life(5, crashing, confirming) == [RESET_0, RESET_0, RESET_0, LEFT, (1, "REPL")]
    assert [record.state for record in otadata()] == [_otadata.VALID, _otadata.VALID]
    assert life(5, crashing, good) == [(1, "REPL")] * 5


def test_comes_back_from_a_crashing_other_slot_and_ends():
    """Both fail: each gets its starts, then the REPL opens; the bootloader's choice is the first slot again."""
    assert life(10, crashing, crashing) == [RESET_0] * 3 + [LEFT, RESET_1] * 3 + [STAYED]
    assert otadata()[0].state == _otadata.VALID
    assert otadata()[1].state == _otadata.ABORTED
    assert start(good) == (0, "REPL")


def test_a_power_cut_on_the_other_slot():
    """On probation it is over with that; the other one is tried again."""
    assert life(4, hanging, cut_off)[-1] == LEFT
    assert life(2, hanging, cut_off) == [(1, "PowerCut"), LEFT]
    assert life(2, hanging, after(3600, cut_off)) == [(1, "PowerCut"), LEFT]  # it has never confirmed itself
    assert start(hanging, confirming) == (1, "REPL")
    assert start(hanging, good) == (1, "REPL")


def test_a_confirmed_version_that_fails_later():
    """It came by an update, confirmed itself, and crashes or hangs some time after its self-test."""
    for end in (crashing, hanging, deaf):
        set_record(0, 1, _otadata.VALID)
        set_record(1, 2, _otadata.NEW)
        runs = good, after(60, end)
        assert start(good, lambda: (confirming(), time.pass_by(5), end())) == RESET_1  # noqa: B023
        assert life(5, *runs) == [RESET_1] * 3 + [LEFT, (0, "REPL")], end


def test_a_soft_reset_is_no_start():
    assert [start(crashing, good, soft=True) for _ in range(5)] == [CRASH_0] * 5
    assert life(2, crashing, good) == [RESET_0, RESET_0]
    assert start(crashing, good, soft=True) == CRASH_0
    assert life(2, crashing, good) == [RESET_0, LEFT]


def test_power_cut_while_counting():
    """The number in NVS is the old one or the new one, at whatever operation the power goes."""
    number = 0
    while True:
        start(interrupted)
        assert start(crashing) == RESET_0
        _chip.operations, _chip.cut_at = 0, number
        ran = start(crashing)
        _chip.cut_at = None
        if ran == RESET_0:
            break
        assert ran[1] == "PowerCut"
        found = []
        start(lambda: found.append(starts._load()[2]))  # noqa: B023
        assert found in ([1], [2]), number
        number += 1
    assert number > 3


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


def test_updates_that_fail_do_not_count_against_the_version_before():
    for _ in range(5):
        set_record(1, 2, _otadata.NEW)
        assert life(2, good, crashing) == [RESET_1, (0, "REPL")]
        set_record(1, 2, _otadata.NEW)
        assert life(2, good, hanging) == [RESET_1, (0, "REPL")]
        assert starts._load()[2] == 0


def test_every_start_runs_under_the_watchdog():
    """From before the application's first line; nothing feeds it but the boot files between two steps, and the loop."""
    watched = []

    def look():
        watched.append(list(_chip.watched))
        assert not _chip.alarms

    for record in (_otadata.VALID, _otadata.NEW):
        set_record(0, 1, record)
        del _chip.watched[:]
        start(look)
        assert watched.pop() == [60_000] * 3  # started, checked, loaded


def test_a_timer_feeds_the_repl():
    """However the application has ended; but not a version that was never confirmed."""
    for run in (good, interrupted, lambda: starts.clear() or interrupted()):
        start(run)
        assert [ms for ms, _, _ in _chip.alarms] == [5_000]
        fed = len(_chip.watched)
        _chip.ring()
        assert len(_chip.watched) == fed + 1
    life(3, crashing)
    assert start(crashing) == LEFT
    start(good, interrupted)
    assert not _chip.alarms
    spoil_application(OTA_0)
    spoil_application(OTA_1)
    assert start(good, good) == STAYED
    assert len(_chip.alarms) == 1


def test_the_timer_ends_where_an_application_starts():
    """Ctrl-D in the REPL: boot.py comes first, and main.py after it."""
    boot_py(SOFT)
    assert len(_chip.alarms) == 1
    watchdog.start()
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
    assert life(2, hanging, good) == [RESET_0] * 2
    assert start(interrupted, good) == (0, "KeyboardInterrupt")
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
    partition = [p for p in Partition.find(Partition.TYPE_APP) if p.info()[2] == address][0]  # noqa: RUF015
    offset, length, _ = slot.find(slot.reader(partition), SLOT)
    _chip.write(address + offset + length - 16, b"\0" * 16)


def test_a_damaged_application_is_left_at_once():
    """Rule 4 of the updater: as if the slot had not confirmed."""
    spoil_application(OTA_0)
    assert life(3, good, confirming) == [LEFT, (1, "REPL"), (1, "REPL")]


def test_a_damaged_application_waits_for_a_good_one():
    """The other version is tried three times, and again after the next reset by hand."""
    spoil_application(OTA_0)
    assert life(7, good, crashing) == [LEFT, RESET_1] * 3 + [STAYED]
    assert life(2, good, confirming) == [LEFT, (1, "REPL")]


def test_power_cut_while_leaving():
    """Wherever the power goes, the good version runs in the end."""
    spoil_application(OTA_0)
    number = 0
    while True:
        set_record(0, 1, _otadata.VALID)
        _chip.erase(OTADATA + SECTOR, SECTOR)
        bootloader()
        starts.forget()
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
    starts._store(starts._mark(), 0, int(starts_so_far))


def expect_count(starts_so_far):
    """Also where the start that ended last, which came to its self-test, was ended by machine.reset."""
    _chip.reset_cause = HARD
    starts.count()
    assert starts._load()[2] == int(starts_so_far), starts._load()
