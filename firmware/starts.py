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


def _load():
    """Return 24 bits of the hash of the application that was counted, and the count."""
    try:
        return divmod(NVS("kit").get_i32(_KEY), _STEP)
    except OSError:
        return 0, 0


def _store(mark, starts):
    try:
        nvs = NVS("kit")
        nvs.set_i32(_KEY, mark * _STEP + starts)
        nvs.commit()
    except OSError:
        pass


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
    if machine.reset_cause() == machine.SOFT_RESET:
        return
    mark, starts = _load()
    if not slot.is_unconfirmed():
        here = _mark()
        if mark != here:  # another application, as after board.flash
            mark, starts = here, 0
        if starts >= _MOST:
            raise slot.SlotError(f"the last {_MOST} starts ended before the self-test")
    _store(mark, starts + 1)


def clear():
    """Forget the starts so far. The application calls this when its self-test begins."""
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


def _set_boot_other():
    """Make the other slot the boot slot, and tell whether that was possible."""
    other = slot.other(Partition(Partition.RUNNING))
    if not other:
        return False
    try:
        slot.check(slot.reader(other), other.info()[3], bytearray(slot.SECTOR))
        other.set_boot()  # looks at the app image too
    except (OSError, slot.SlotError):
        return False
    return True
