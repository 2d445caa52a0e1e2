# Runs on CPython and on MicroPython.
"""The updater where only the changed sectors come: what it writes, and what a power cut or a bad flash leaves."""

import asyncio
import gc
import hashlib
import struct

import _appimage
import _chip
import _otadata
import _without_notes  # noqa: F401
import changes
import updater
import web
from _expect import error_of
from _upload import otadata
from errors import UpdateError
from esp32 import Partition

OTA_0, OTA_1, SLOT = 0x10000, 0x190000, 0x180000
OTADATA = 0xD000
SECTOR, ENTRY = 4096, 4098


class Client:
    """What a connection brings, in pieces of a packet, until it breaks: each sector of a file behind a number.

    sectors: (number, number of the sector whose data come) of each. `end`: bytes after which the connection breaks.
    """

    def __init__(self, path, sectors, end=None):
        self.left = len(sectors) * ENTRY
        self._path, self._sectors = path, sectors
        self._end = self.left if end is None else end
        self._at = 0

    async def readinto(self, view):
        await asyncio.sleep(0)
        data = self._data(min(len(view), 1460))
        view[: len(data)] = data
        return len(data)

    async def whole(self, n):
        return self._data(n)

    def _data(self, n):
        n = min(n, self._end - self._at)
        if n == 0:
            return b""
        number, source = self._sectors[self._at // ENTRY]
        start = self._at % ENTRY
        data = struct.pack("<H", number)[start : start + n]
        if len(data) < n:
            with open(self._path, "rb") as file:
                file.seek(source * SECTOR + max(0, start - 2))
                data += file.read(min(n - len(data), ENTRY - max(2, start)))
        self._at += len(data)
        self.left -= len(data)
        return data


def sectors_of(path):
    with open(path, "rb") as file:
        while True:
            data = file.read(SECTOR)
            if not data:
                return
            yield data


def plan(path):
    """Return the numbers of the changed sectors of an image, its size and its digest."""
    changed, size, sha256 = [], 0, hashlib.sha256()
    for number, data in enumerate(sectors_of(path)):
        if _chip.read(OTA_1 + number * SECTOR, len(data)) != data:
            changed.append(number)
        size += len(data)
        sha256.update(data)
    return changed, size, sha256.digest()


def send(path, changed=None, end=None, sha256=None, base=None):
    """Send the changed sectors of an image, or others."""
    found, size, digest = plan(path)
    gc.collect()
    client = Client(path, [(number, number) for number in found] if changed is None else changed, end)
    update = updater.Updater(web.ota)
    base = web.ota.tag() if base is None else base
    return asyncio.run(update.receive(changes.Changes(client, size), size, False, sha256 or digest, None, base))


def refused(*arguments):
    before = otadata()
    error = error_of(UpdateError, send, *arguments)
    assert web.ota.progress["error"] == error.name
    assert web.ota.progress["phase"] == "idle"
    assert otadata() == before
    return error.name[len("UPDATE_ERROR_") :], error.status


def put_slot(path, differing=()):
    """Give ota_1 what an image has, but for some sectors, and begin anew."""
    for number, data in enumerate(sectors_of(path)):
        address = OTA_1 + number * SECTOR
        _chip.erase(address, SECTOR)
        _chip.write(address, b"\x5a" * SECTOR if number in differing else data)
    restart()


def restart():
    """As after a reset with the old version running."""
    _chip.erase(OTADATA + 0x1000, SECTOR)
    _chip.operations = 0
    web.ota = web.Ota(Partition(Partition.RUNNING))


def has_image(path):
    return not plan(path)[0]


def is_bootable():
    try:
        _appimage.verify(_chip.read, OTA_1, SLOT)
        return True
    except ValueError:
        return False


def assert_old():
    records = otadata()
    record = records[_otadata.active(*records)]
    assert (_otadata.slot_of(record.seq, 2), record.state) == (0, _otadata.VALID)


def touched(path, differing, **options):
    """Return the operations on ota_1 of an update, as (kind, number of the sector)."""
    put_slot(path, differing)
    _chip.log = []
    send(path, **options)
    log, _chip.log = _chip.log, None
    assert has_image(path)
    return [(kind, (address - OTA_1) // SECTOR) for kind, address in log if address >= OTA_1]


def test_writes_what_differs(path):
    assert touched(path, (2, 5)) == [
        ("erase", 0),
        ("erase", 2),
        ("write", 2),
        ("erase", 5),
        ("write", 5),
        ("write", 0),
    ]
    assert touched(path, (0, 3)) == [("erase", 0), ("erase", 3), ("write", 3), ("write", 0)]
    assert touched(path, (0,)) == [("erase", 0), ("write", 0)]


def test_nothing_differs(path):
    assert touched(path, ()) == []
    assert web.ota.progress["received"] == 0
    assert web.ota.progress["written"] == web.ota.progress["size"]


def test_what_came_and_is_there_is_not_written(path):
    put_slot(path)
    everything = [(number, number) for number in range(plan(path)[1] // SECTOR)]
    assert touched(path, (), changed=everything) == []
    assert touched(path, (4,), changed=everything) == [("erase", 0), ("erase", 4), ("write", 4), ("write", 0)]


def test_order_of_what_comes(path):
    """A number that cannot be is found when it comes, the first one before anything is erased."""
    put_slot(path, (2, 5))
    count = plan(path)[1] // SECTOR
    assert refused(path, [(0xFFFF, 2)]) == ("SPACE", 413)
    assert refused(path, [(count, 2)]) == ("SPACE", 413)
    assert refused(path, [(2, 2)] * (count + 1)) == ("SPACE", 413)
    assert refused(path, [(0, 2)]) == ("MAGIC_BYTE", 415)
    assert (_chip.operations, web.ota.writes) == (0, 0)
    for wrong, error in (
        ([(5, 5), (2, 2)], "ABORT"),
        ([(2, 2), (2, 2), (5, 5)], "ABORT"),
        ([(0, 0), (0, 0)], "ABORT"),
        ([(2, 2), (5, 5), (count, 5)], "SPACE"),
        ([(2, 5), (5, 2)], "BASE"),
        ([(2, 2), (5, 5), (count - 1, 1), (5, 5)], "BASE"),
    ):
        put_slot(path, (2, 5))
        assert refused(path, wrong)[0] == error, wrong
        assert_old()
        assert not is_bootable()
    send(path)
    assert has_image(path)


def test_last_sector_twice(path):
    last = plan(path)[1] // SECTOR - 1
    put_slot(path, (last,))
    assert refused(path, [(last, last)] * 2) == ("SPACE", 413)
    assert_old()


def test_length_of_the_body(path):
    client = Client(path, ())
    for left in (1, 4097, 4099, 2 * 4098 - 1):
        client.left = left
        error = error_of(UpdateError, changes.Changes, client, 3 * SECTOR)
        assert (error.name, error.status) == ("UPDATE_ERROR_SIZE", 413)
    client.left = 3 * 4098
    changes.Changes(client, 2 * SECTOR + 1)
    error = error_of(UpdateError, changes.Changes, client, 2 * SECTOR)
    assert (error.name, error.status) == ("UPDATE_ERROR_SPACE", 413)


def test_stale_base(path):
    put_slot(path, (2, 5))
    tag = web.ota.tag()
    for base in ("", "*", "x", tag[1:-1], "W/" + tag, tag[:-1], '"' + tag + '"'):
        assert refused(path, None, None, None, base) == ("BASE", 412), base
    assert (_chip.operations, web.ota.tag()) == (0, tag)
    assert refused(path, None, 5000) == ("ABORT", 400)  # writes
    assert web.ota.tag() != tag
    assert refused(path, None, None, None, tag) == ("BASE", 412)
    send(path, base='"other", ' + web.ota.tag())
    assert has_image(path)


def test_another_board_or_start_has_another_tag(path):
    tags = []
    for _ in range(20):
        restart()
        tags.append(web.ota.tag())
    assert len(set(tags)) == 20


def test_slot_that_is_not_what_was_thought(path):
    """As where two sectors have one CRC-32: the board finds it by the digest of all."""
    put_slot(path, (2, 5))
    assert refused(path, [(2, 2)]) == ("BASE", 412)
    assert not is_bootable()
    put_slot(path, (2,))
    assert refused(path, []) == ("BASE", 412)
    assert _chip.operations == 0
    assert refused(path, None, None, b"\0" * 32) == ("BASE", 412)
    send(path)
    assert has_image(path)


def test_blank_slot(path):
    """Its first sector is no head."""
    put_slot(path)
    for number in range(3):
        _chip.erase(OTA_1 + number * SECTOR, SECTOR)
    restart()
    assert refused(path, [(1, 1), (2, 2)]) == ("MAGIC_BYTE", 415)
    assert _chip.operations == 0
    send(path)
    assert has_image(path)


def test_same_checks_as_for_a_whole_image(path):
    """The head that is there is judged as one that comes, and so is what stands behind it."""
    put_slot(path)
    _chip.write(OTA_1 + 0x30, b"0\0")  # NOR flash: 1.1.0 becomes an empty version
    assert refused(path, []) == ("VERSION", 409)
    assert _chip.operations == 1
    for number in (3, plan(path)[1] // SECTOR - 1):  # in the app image, and in the application
        put_slot(path, (number,))
        size, sha256 = plan(path)[1], hashlib.sha256()
        for at in range(0, size, SECTOR):
            sha256.update(_chip.read(OTA_1 + at, min(SECTOR, size - at)))
        assert refused(path, [], None, sha256.digest()) == ("ACTIVATE", 422), number
        assert_old()
    send(path)
    assert has_image(path)


def test_cut_short_and_the_rest_comes(path):
    """What the board has is not sent again, and one sector more at most."""
    differing = tuple(range(1, 9))
    for end in (0, 1, 2, 3, 4098, 4099, 4100, 5000, 3 * 4098 + 1, 8 * 4098 - 1):
        put_slot(path, differing)
        assert refused(path, None, end) == ("ABORT", 400)
        missing = 8 - end // 4098
        assert len(plan(path)[0]) <= missing + 1, end
        assert_old()
        send(path)
        assert has_image(path)


def test_power_cut_at_every_operation(path):
    """Wherever the power goes the old version starts, or at the very end the new one; the same update then ends it."""
    differing = (2, 5, 6)
    put_slot(path, differing)
    send(path)
    total = _chip.operations
    assert total > 2 * len(differing)
    for number in range(total):
        put_slot(path, differing)
        _chip.cut_at = number
        error_of(_chip.PowerCut, send, path)
        _chip.cut_at = None
        assert_old()
        assert is_bootable() == has_image(path), number
        restart()
        assert len(plan(path)[0]) <= len(differing) + 1, number
        send(path)
        assert has_image(path)


def test_flash_that_fails(path):
    differing = (2, 5)
    put_slot(path, differing)
    send(path)
    total = _chip.operations
    for kind in ("fail_at", "wrong_at"):
        for number in range(total):
            put_slot(path, differing)
            setattr(_chip, kind, number)
            try:
                send(path)
                assert kind == "wrong_at"  # the operation was an erase, or of a record that the other one replaces
                assert has_image(path)
            except UpdateError as error:
                assert error.name in ("UPDATE_ERROR_WRITE", "UPDATE_ERROR_ACTIVATE"), error.name
                assert not is_bootable(), (kind, number)
                assert_old()
            setattr(_chip, kind, None)
            restart()
            send(path)
            assert has_image(path)


def refuses_while_unconfirmed(path):
    before = otadata()
    error = error_of(UpdateError, send, path, [])
    assert (error.name, error.status) == ("UPDATE_ERROR_UNCONFIRMED", 409)
    assert (_chip.operations, otadata()) == (0, before)
