# Runs on CPython and on MicroPython.
"""slot.py: what it finds in a slot, and what it refuses."""

import _chip
import slot
from _expect import error_of
from esp32 import Partition

OTA_0 = 0x10000


def why_not():
    """Say why the running slot does not start."""
    running = Partition(Partition.RUNNING)
    try:
        slot.check(slot.reader(running), running.info()[3], bytearray(4096))
    except slot.SlotError as error:
        return str(error)
    return None


def spoil(offset):
    _chip.write(OTA_0 + offset, b"\0" * 16)


def test_finds_the_application(offset, length):
    running = Partition(Partition.RUNNING)
    found = slot.check(slot.reader(running), running.info()[3], bytearray(4096))
    assert found == (int(offset), int(length)), found


def test_refuses_a_wrong_hash(offset, length):
    for place in (int(offset) + 100, int(offset) + int(length) - 16):
        spoil(place)
        assert why_not() == "the SHA-256 of the application is wrong"


def test_refuses_a_plain_micropython(offset, length):
    spoil(int(offset) - 4096)
    assert why_not() == "there is no application behind the app image"


def test_refuses_an_empty_slot():
    assert why_not() == "the slot holds no app image"


def test_refuses_a_length_beyond_the_slot(offset, length):
    header = int(offset) - 4096
    data = _chip.read(OTA_0 + header, 4096)
    _chip.erase(OTA_0 + header, 4096)
    _chip.write(OTA_0 + header, data[:4] + (0x180000).to_bytes(4, "little") + data[8:])
    assert why_not() == "the application behind the app image is cut short"


def test_reads_through_the_window(offset, length):
    """Any piece of a block; and nothing can be written."""
    window = slot.Window(Partition(Partition.RUNNING), int(offset), int(length))
    assert window.ioctl(4, 0) * window.ioctl(5, 0) == int(length)
    for kept in (1, 2, 3):
        window.keep(kept)
        for block, start, n in 3 * ((0, 0, 32), (7, 384, 128), (8, 0, 512), (8, 511, 1), (1, 0, 1), (7, 1, 511)):
            buf = bytearray(n)
            window.readblocks(block, buf, start)
            assert buf == _chip.read(OTA_0 + int(offset) + block * 512 + start, n)


def test_keeps_what_it_has_read(offset, length):
    """The last ones; a read that fails leaves nothing that could be taken for a block."""
    window = slot.Window(Partition(Partition.RUNNING), int(offset), int(length))
    window.keep(2)
    read_into, reads, buf = _chip.read_into, [], bytearray(1)
    _chip.read_into = lambda address, view: reads.append(address) or read_into(address, view)
    for block in (1, 2, 1, 2, 3, 2, 3, 1):
        window.readblocks(block, buf)
    assert [(address - OTA_0 - int(offset)) // 512 for address in reads] == [1, 2, 3, 1]

    def fail(address, view):
        raise _chip.error(5)

    _chip.read_into = fail
    error_of(OSError, window.readblocks, 4, buf)
    error_of(OSError, window.readblocks, 4, buf)
    _chip.read_into = read_into
    window.readblocks(1, buf)
    assert buf == _chip.read(OTA_0 + int(offset) + 512, 1)


def test_cannot_be_written(offset, length):
    window = slot.Window(Partition(Partition.RUNNING), int(offset), int(length))
    assert error_of(OSError, window.writeblocks, 0, b"x").args[0] == 30  # EROFS
    assert error_of(OSError, window.writeblocks, 0, b"x", 0).args[0] == 30
    assert window.ioctl(6, 0) < 0


def test_knows_the_state_of_a_slot(first, second):
    states = slot.state(Partition("ota_0")), slot.state(Partition("ota_1"))
    assert states == (int(first), int(second)), states


def boot(path):
    """Run the boot file main.py. Starting an application needs a MicroPython, which can mount it."""
    __import__("boot_main")


def boot_and_look(path):
    boot(path)
    import os

    assert sorted(os.listdir("/app")) == ["lib", "main.py"], os.listdir("/app")
    assert error_of(OSError, open, "/app/new", "w").errno == 30  # EROFS
