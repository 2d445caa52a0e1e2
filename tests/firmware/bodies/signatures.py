# Runs on CPython and on MicroPython.
"""Signed updates: what passes the door, what does not, and how keys and floor change."""

import asyncio
import binascii
import hashlib
import time

import _chip
import _nvs
import _otadata
import _without_notes  # noqa: F401
import parts
import patches
import rollback
import settings
import signature
import slot
import updater
import web
from _expect import error_of
from _upload import otadata, refused, send
from errors import UpdateError
from esp32 import NVS, Partition

OTA_0, OTA_1 = 0x10000, 0x190000
SECTOR = 4096
NVS_OFFSET, NVS_SIZE = 0x9000, 0x4000
WRONG = "SIGN", 403


def trust(*keys):
    """As board.install(signers=[...])."""
    if not keys:
        return
    nvs = NVS("kit")
    nvs.set_blob("signers1", b"".join([binascii.unhexlify(key) for key in keys]))
    nvs.set_i32("signers", 1)
    nvs.commit()


def trusted():
    return [binascii.hexlify(key).decode() for key in signature.signers()]


def put(path, address, first=0):
    """Give a slot an image by cable, or its sectors from one on."""
    for number, data in enumerate(patches.sectors_of(path)):
        place = address + number * SECTOR
        if number >= first and _chip.read(place, len(data)) != data:
            _chip.erase(place, SECTOR)
            _chip.write(place, data)


def is_open():
    """Tell whether the first sector of ota_1 holds something."""
    return _chip.read(OTA_1, SECTOR) != b"\xff" * SECTOR


def settle():
    asyncio.run(signature.settle(web.ota.running))


def takes(path, *keys):
    trust(*keys)
    assert send(path)["slot"] == "ota_1"
    assert patches.has_image(path)
    assert otadata()[1].state == _otadata.NEW


def takes_whatever_comes_without_signers(signed, unsigned):
    assert send(unsigned)["slot"] == "ota_1"
    patches.restart()
    assert send(signed, force=True)["slot"] == "ota_1"


def refuses(path, *keys):
    trust(*keys)
    put(path, OTA_1)
    assert refused(path) == WRONG
    assert not is_open()
    assert refused(path, force=True) == WRONG


def refuses_by_changed_sectors(path, held, *keys):
    """The slot holds a signed image, of which the sectors that differ are sent."""
    trust(*keys)
    patches.put_slot(held)
    assert patches.refused(path) == WRONG
    assert not is_open()


def takes_changed_sectors(path, held, *keys):
    trust(*keys)
    patches.put_slot(held)
    assert patches.send(path)["slot"] == "ota_1"


def refuses_below_the_floor(path, signed_higher, *keys):
    """Nothing is erased for it."""
    trust(*keys)
    nvs = NVS("kit")
    nvs.set_i32("floor", 2)
    nvs.commit()
    put(signed_higher, OTA_1)
    for force in (False, True):
        assert refused(path, force=force) == ("VERSION", 409)
    assert is_open()
    assert patches.refused(path) == ("VERSION", 409)
    assert send(signed_higher)["slot"] == "ota_1"


def takes_the_highest_floor(path, *keys):
    """Security versions are numbers of 32 bits without a sign."""
    trust(*keys)
    put(path, OTA_0)
    settle()
    assert NVS("kit").get_i32("floor") == -1
    assert error_of(UpdateError, signature.check_floor, bytes(64)).name == "UPDATE_ERROR_VERSION"


def shuts_the_door_where_keys_cannot_be_read(path, key):
    trust(key)
    nvs = NVS("kit")
    nvs.erase_key("signers1")
    assert refused(path) == WRONG
    for blob in (b"too short", b"x" * 33):
        nvs.set_blob("signers1", blob)
        assert refused(path) == WRONG
    assert error_of(UpdateError, asyncio.run, rollback.select(web.ota)).name == "UPDATE_ERROR_SIGN"


def shuts_the_door_where_the_number_of_the_keys_is_lost(path, key):
    for name in ("signers1", "signers2"):
        trust(key)
        nvs = NVS("kit")
        nvs.set_blob(name, settings.blob("signers1"))
        nvs.erase_key("signers")
        if name == "signers2":
            nvs.erase_key("signers1")
        assert refused(path) == WRONG
        assert refused(path, force=True) == WRONG
        assert not is_open()
        assert error_of(UpdateError, asyncio.run, rollback.select(web.ota)).name == "UPDATE_ERROR_SIGN"
    nvs.set_i32("signers", 0)  # as board.install(signers=[]) leaves it where the power goes then
    assert signature.signers() == []


# Flash that holds another thing than what was hashed, though each part of it fits the others


def swap(signed, other, first, key):
    """Send `signed`; before it is verified the flash changes to what `other` has from sector `first` on."""
    trust(key)
    verify = updater.Updater._verify

    async def changed(self, *arguments):
        put(other, OTA_1, int(first))
        await verify(self, *arguments)

    updater.Updater._verify = changed
    assert refused(signed) == ("WRITE", 500)
    assert not is_open()


def refuses_where_the_flash_changes_a_byte(path, key, *places):
    trust(key)
    verify, commit = updater.Updater._verify, updater.Updater._commit
    for place in map(int, places):

        async def changed_first(self, *arguments):
            flip(place)  # noqa: B023
            await verify(self, *arguments)

        async def changed_later(self, *arguments):
            flip(place)  # noqa: B023
            await commit(self, *arguments)

        updater.Updater._verify = changed_first
        assert refused(path) == ("WRITE", 500), place
        updater.Updater._verify = verify
        if _is_read_later(place):
            updater.Updater._commit = changed_later
            assert refused(path) == ("WRITE", 500), place
            updater.Updater._commit = commit


def _is_read_later(place):
    """The application is proved before the first sector is written, and then no more."""
    start, _, _ = slot.find(slot.reader(Partition(Partition.RUNNING)), 0x180000)
    return place < start


def flip(place):
    sector = place // SECTOR * SECTOR
    data = bytearray(_chip.read(OTA_1 + sector, SECTOR))
    data[place - sector] ^= 1
    _chip.erase(OTA_1 + sector, SECTOR)
    _chip.write(OTA_1 + sector, data)


def picks_the_parts_as_they_come(path):
    put(path, OTA_1)
    read, size = slot.reader(web.ota.target), 0x180000
    found = feed(path, size)
    digest, header = bytearray(32), bytearray(40)
    read(found.hash_at, digest)
    read(found.start, header)
    assert found.start == slot.end_of_image(read, size)
    assert (found.header, found.app_hash) == (header, digest)
    for end in range(0, found.start + SECTOR, 997):  # cut short
        assert feed(path, end).header is None


def feed(path, end):
    """Return the parts of an image of which so many bytes come."""
    found = parts.Parts()
    for index, data in enumerate(patches.sectors_of(path)):
        if index * SECTOR >= end:
            break
        found.feed(index, memoryview(data)[: end - index * SECTOR])
    return found


# The way back


def goes_back(path, key, name):
    """POST /rollback to a slot with this image; `name`: of the error, or "" for none."""
    trust(key)
    put(path, OTA_1)
    before = otadata()
    if not name:
        assert asyncio.run(rollback.select(web.ota))["slot"] == "ota_1"
        assert otadata()[1].state == _otadata.NEW
        return
    assert error_of(UpdateError, asyncio.run, rollback.select(web.ota)).name == "UPDATE_ERROR_" + name
    assert otadata() == before
    assert not web.ota.is_busy()


def goes_back_not_below_the_floor(path, key):
    nvs = NVS("kit")
    nvs.set_i32("floor", 1)
    nvs.commit()
    goes_back(path, key, "VERSION")


# Keys and floor of a confirmed version


def adopts(path, expected, *keys):
    """A version in ota_0 that is confirmed brings what it brings, again and again."""
    trust(*keys)
    put(path, OTA_0)
    for _ in range(3):
        settle()
        assert trusted() == expected.split(","), trusted()


def adopts_nothing(path, *keys):
    trust(*keys)
    put(path, OTA_0)
    error_of(UpdateError, settle)
    assert trusted() == list(keys)
    assert error_of(OSError, NVS("kit").get_i32, "floor")


def raises_the_floor_only_without_keys(path):
    put(path, OTA_0)
    settle()
    assert NVS("kit").get_i32("floor") == 2
    assert trusted() == []


def survives_cuts_while_it_adopts(path, expected, *keys):
    """Wherever the power goes the old keys count or the new ones, and the next start completes it."""
    trust(*keys)
    put(path, OTA_0)
    whole = _chip.read(NVS_OFFSET, NVS_SIZE)
    number, seen = 0, set()
    while cut(whole, number):
        seen.add(",".join(trusted()))
        settle()
        assert trusted() == expected.split(",")
        assert NVS("kit").get_i32("floor") == 2
        number += 1
    assert seen == {",".join(keys), expected}
    assert number > 4


def cut(whole, number):
    """Settle on what NVS held, with a power cut at an operation; tell whether it came to that."""
    _chip._put(NVS_OFFSET, whole)
    _nvs.open_partition(NVS_OFFSET, NVS_SIZE)
    _chip.operations, _chip.cut_at = 0, number
    try:
        settle()
        is_cut = False
    except _chip.PowerCut:
        is_cut = True
    _chip.cut_at = None
    _nvs.open_partition(NVS_OFFSET, NVS_SIZE)
    return is_cut


def keeps_its_keys_where_nvs_is_full(path, key):
    trust(key)
    put(path, OTA_0)
    nvs = NVS("kit")
    number = 0
    try:
        while True:
            nvs.set_blob(f"filler{number}", bytes(400))
            number += 1
    except OSError:
        pass
    try:
        while True:
            nvs.set_i32(f"small{number}", 1)
            number += 1
    except OSError:
        pass
    error_of(OSError, settle)
    assert trusted() == [key]
    assert settings.blob("signers1")


def takes_so_long(path, key):
    """Print the milliseconds that a signature takes to be checked a hundred times."""
    trust(key)
    digest, last = hashlib.sha256(), b""
    for data in patches.sectors_of(path):
        digest.update(last)
        last = data
    digest, known = digest.digest(), signature.signers()
    start = time.ticks_ms()
    for _ in range(100):
        signature.check(last, digest, known)
    print("TOOK", time.ticks_diff(time.ticks_ms(), start))
