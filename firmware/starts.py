"""Count the starts that end before the application's self-test, and leave a slot whose application does not start.

The count is one number in NVS, so that a power cut leaves the old one or the new one. Where NVS cannot be used nothing
is counted, and the application starts all the same.
"""

import machine
import slot
from esp32 import NVS, Partition
from micropython import const

_MOST = const(3)  # starts in a row that a slot gets
_STEP = const(128)  # above the count stand 24 bits of the application's hash
_KEY = "starts"

_counts = False  # this start


def _load():
    """Return 24 bits of the hash of the application that was counted, and the count."""
    try:
        return divmod(NVS("kit").get_i32(_KEY), _STEP)
    except OSError:
        return 0, 0


def _store(mark, starts):
    """Store both, and tell whether that was possible."""
    try:
        nvs = NVS("kit")
        nvs.set_i32(_KEY, mark * _STEP + starts)
        nvs.commit()
        return True
    except OSError:
        return False


def _mark():
    """Return 24 bits of the hash of the running slot's application, 0 where there is none."""
    running = Partition(Partition.RUNNING)
    try:
        return int.from_bytes(slot.find(slot.reader(running), running.info()[3])[2][:3], "little")
    except slot.SlotError:
        return 0


# A soft reset comes from a host or from the program itself. An unconfirmed start goes on with the count of the slot
# that it came from, and is never too many: the bootloader takes care of it.
def count():
    """Count this start, if a hard reset led to it. Raises SlotError after three that ended before the self-test."""
    global _counts
    if machine.reset_cause() == machine.SOFT_RESET:
        return
    mark, starts = _load()
    if not slot.is_unconfirmed():
        here = _mark()
        if mark != here:  # another application, as after board.flash
            mark, starts = here, 0
        if starts >= _MOST:
            raise slot.SlotError(f"the last {_MOST} starts ended before the self-test")
    _counts = _store(mark, starts + 1)


def clear():
    """Forget the starts so far. The application calls this when its self-test begins."""
    global _counts
    _counts = False
    _store(0, 0)


def leave():
    """Reset into the other slot if the running one is unconfirmed or the other can be started; else return."""
    slot.roll_back()
    # When both had their starts there is no point in going on; and without a count there would be no end.
    if 0 < _load()[1] < 2 * _MOST and _set_boot_other():
        print("Restarting into the other slot.")
        machine.reset()
    clear()
    print("Flash one: board.flash(kit.build('1.0.0')).")


# For a confirmed application that has crashed: the bootloader takes it for good, and nobody may be there to press EN.
def again():
    """Reset, so that the count goes on, if this start counts and another slot is there for when it is full."""
    if _counts and _other():
        print("Restarting.")
        machine.reset()


def _other():
    """Return the other slot if its application is whole, else None."""
    other = slot.other(Partition(Partition.RUNNING))
    try:
        return other and slot.check(slot.reader(other), other.info()[3], bytearray(slot.SECTOR)) and other
    except (OSError, slot.SlotError):
        return None


def _set_boot_other():
    """Make the other slot the boot slot, and tell whether that was possible."""
    other = _other()
    try:
        return bool(other) and other.set_boot() is None  # it looks at the app image too
    except OSError:
        return False
