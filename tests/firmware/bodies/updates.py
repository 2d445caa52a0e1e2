# Runs on CPython and on MicroPython.
"""The updater: what it takes, what it refuses, and what a power cut leaves."""

import hashlib
import json
import os

import _appimage
import _chip
import _otadata
import _upload
import _without_notes  # noqa: F401
import image
import judge
import slot
import web
from _expect import error_of
from _upload import otadata, refused, send
from errors import UpdateError
from esp32 import Partition

OTA_0, OTA_1, SLOT = 0x10000, 0x190000, 0x180000
OTADATA = 0xD000
VERSION = 0x30  # offset of the version in an image


def digests(path):
    sha256, md5 = hashlib.sha256(), hashlib.md5()
    with open(path, "rb") as file:
        while True:
            data = file.read(4096)
            if not data:
                return sha256.digest(), md5.digest()
            sha256.update(data)
            md5.update(data)


def active():
    """Slot that the bootloader would try first, and the state of its record."""
    records = otadata()
    record = records[_otadata.active(*records)]
    return _otadata.slot_of(record.seq, 2), record.state


def is_bootable(address):
    try:
        _appimage.verify(_chip.read, address, SLOT)
        return True
    except ValueError:
        return False


def version_in(address):
    return _chip.read(address + VERSION, 32).split(b"\0")[0].decode()


def has_image(path, address):
    with open(path, "rb") as file:
        while True:
            data = file.read(4096)
            if not data:
                return True
            if _chip.read(address, len(data)) != data:
                return False
            address += len(data)


def restart():
    """As after a reset with the old version running: buffers and phases new, otadata as it was at first."""
    _chip.erase(OTADATA + 0x1000, 0x1000)
    _chip.operations = 0
    web.ota = web.Ota(Partition(Partition.RUNNING))


def trial(path):
    """Do an update, and return the number of the operation that writes the first sector."""
    _chip.log = []
    send(path)
    operations, _chip.log = _chip.log, None
    return [number for number, (_, address) in enumerate(operations) if address == OTA_1][-1]


def test_takes_an_image(path):
    sha256, md5 = digests(path)
    answer = send(path, sha256=sha256, md5=md5)
    assert answer["slot"] == "ota_1"
    assert answer["version"] == "1.1.0"
    assert sorted(answer["seconds"]) == ["commit", "receive", "verify", "write"]
    assert has_image(path, OTA_1)
    assert active() == (1, _otadata.NEW)
    size = answer["bytes"]
    assert web.ota.progress == {
        "phase": "restart",
        "received": size,
        "written": size,
        "size": size,
        "error": None,
    }


def test_writes_the_first_sector_last(path):
    _chip.log = []
    send(path)
    touched = [operation for operation in _chip.log if operation[1] >= OTA_1]
    assert touched[0] == ("erase", OTA_1)
    assert touched[-1] == ("write", OTA_1)
    assert touched.count(("write", OTA_1)) == 1
    assert all(address > OTA_1 for _, address in touched[1:-1])


def test_is_busy_until_the_restart(path):
    send(path)
    progress = dict(web.ota.progress)
    error = error_of(UpdateError, send, path)
    assert (error.name, error.status) == ("UPDATE_ERROR_BUSY", 409)
    assert web.ota.progress == progress


def test_no_memory_for_buffers_is_a_refusal_like_others(path):

    def bytearray_without_memory(n):
        raise MemoryError

    _upload.updater.bytearray = bytearray_without_memory
    _chip.log = []
    assert refused(path) == ("BUSY", 409)
    assert not _chip.log
    del _upload.updater.bytearray
    send(path)


def test_memory_that_ends_in_the_middle_is_a_refusal_like_others(path):
    """Wherever that is, and what comes next works."""

    def fail(*arguments):
        raise MemoryError

    for name in ("judge", "check_version", "writeblocks", "check", "set_boot"):
        restart()
        place = {"check": slot, "judge": judge, "check_version": judge}.get(name, web.ota.target)
        works = getattr(place, name)
        setattr(place, name, fail)
        assert refused(path) == ("BUSY", 409), name
        setattr(place, name, works)
        assert not is_bootable(OTA_1)
    send(path)


def test_refuses_the_same_and_older_versions(path):
    assert refused(path, patch={VERSION: b"1.0.0\0"}) == ("VERSION", 409)
    assert refused(path, patch={VERSION: b"0.9.9\0"}) == ("VERSION", 409)
    assert refused(path, patch={VERSION: b"1.0.0-rc.1\0"}) == ("VERSION", 409)
    assert refused(path, patch={VERSION: b"\0"}) == ("VERSION", 409)
    assert refused(path, patch={VERSION: b"latest\0"}) == ("VERSION", 409)
    assert _chip.operations == 0


def orders_versions_as_semver_does():
    order = ["0.9.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1"]
    order += ["1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"]
    for index in range(1, len(order)):
        older, newer = order[index - 1], order[index]
        judge.check_version(newer, older)
        assert error_of(UpdateError, judge.check_version, older, newer).name == "UPDATE_ERROR_VERSION"
        assert error_of(UpdateError, judge.check_version, older, older).name == "UPDATE_ERROR_VERSION"
    judge.check_version("0.0.1", "")  # what runs was not built by the kit


def takes_versions_as_the_kit_does(path):
    """In the app descriptor a version has 32 bytes, with the NUL that ends it."""
    with open(path) as file:
        versions = json.load(file)

    def read(version):
        head = bytearray(image.HEAD)
        head[0x20:0x24] = b"\x32\x54\xcd\xab"
        data = version.encode()[:32]
        head[VERSION : VERSION + len(data)] = data
        return image.descriptor(head)["version"]

    for version in versions["good"]:
        judge.check_version(read(version), "")
        assert read(version) == version
    for version in versions["bad"]:
        error = error_of(UpdateError, judge.check_version, read(version), "")
        assert error.name == "UPDATE_ERROR_VERSION", version
        judge.check_version("0.0.1", read(version))  # the kit has not built what runs


def test_refuses_sizes(path):
    assert refused(path, size=0) == ("SIZE", 413)
    assert refused(path, size=SLOT + 1) == ("SIZE", 413)
    assert _chip.operations == 0


def test_refuses_what_is_no_app_image(path):
    assert refused(path, patch={0: b"\x7f"}) == ("MAGIC_BYTE", 415)
    assert refused(path, patch={12: b"\x09"}) == ("MAGIC_BYTE", 415)  # an ESP32-S3
    assert refused(path, patch={0x20: b"\x50"}) == ("MAGIC_BYTE", 415)  # the head of a firmware.bin
    assert refused(path, size=200) == ("MAGIC_BYTE", 415)
    assert _chip.operations == 0


def test_refuses_more_than_announced(path):
    assert refused(path, extra=1) == ("SPACE", 413)
    assert refused(path, size=os.stat(path)[6] + 5000, extra=5000) == ("SPACE", 413)  # behind what the image needs
    assert not is_bootable(OTA_1)


def test_cut_short_and_the_next_upload_works(path):
    for end in (0, 100, 5000, 20000):
        assert refused(path, end=end) == ("ABORT", 400)
        assert not is_bootable(OTA_1)
        assert active() == (0, _otadata.VALID)
    assert send(path)["slot"] == "ota_1"


def test_refuses_a_wrong_digest(path):
    sha256, md5 = digests(path)
    assert refused(path, sha256=bytes([sha256[0] ^ 1]) + sha256[1:]) == ("MD5", 422)
    assert refused(path, md5=b"\0" * 16) == ("MD5", 422)
    assert refused(path, md5=md5, sha256=sha256, patch={9000: b"\xaa\xbb"}) == ("MD5", 422)
    assert not is_bootable(OTA_1)
    assert active() == (0, _otadata.VALID)
    assert send(path, sha256=sha256, md5=md5)["slot"] == "ota_1"


def test_refuses_an_image_that_would_not_start(path):
    read = slot.reader(Partition("ota_0"))
    header = slot.end_of_image(read, SLOT)
    assert refused(path, patch={header: b"NOPE"}) == ("ACTIVATE", 422)
    assert refused(path, patch={header + 5000: b"\xde\xad\xbe\xef"}) == ("ACTIVATE", 422)  # in the application
    assert refused(path, patch={6000: b"\xde\xad\xbe\xef"}) == ("ACTIVATE", 422)  # in the app image: set_boot
    assert refused(path, size=header, end=header) == ("ACTIVATE", 422)  # nothing behind the app image
    assert not is_bootable(OTA_1)
    assert active() == (0, _otadata.VALID)


def refuses_while_unconfirmed(path):
    assert refused(path) == ("UNCONFIRMED", 409)
    assert _chip.operations == 0


def refuses_without_a_second_slot(path):
    assert refused(path) == ("NO_PARTITION", 409)
    assert _chip.operations == 0


def test_flash_that_fails(path):
    _chip.fail_at = 3
    assert refused(path) == ("WRITE", 500)
    _chip.operations, _chip.fail_at, _chip.wrong_at = 0, None, 4
    assert refused(path) == ("WRITE", 500)
    assert not is_bootable(OTA_1)
    _chip.wrong_at = None
    assert send(path)["slot"] == "ota_1"


def test_first_sector_that_fails(path):
    last = trial(path)
    restart()
    _chip.wrong_at = last
    assert refused(path, force=True) == ("WRITE", 500)
    assert not is_bootable(OTA_1)


def test_otadata_that_fails(path):
    """A whole image that was refused is not left bootable: nobody confirmed it, and nobody would look at it again."""
    last = trial(path)
    for number in (last + 1, last + 2):
        restart()
        _chip.fail_at = number
        assert refused(path, force=True) == ("ACTIVATE", 422)
        _chip.fail_at = None
        assert not is_bootable(OTA_1)


def test_power_cut_at_every_operation(path):
    """Wherever the power goes, otadata leads to a whole image: the old one, or at the very end the new one."""
    first_sector = trial(path)
    total = _chip.operations
    for number in range(total):
        restart()
        _chip.cut_at = number
        error_of(_chip.PowerCut, send, path)
        _chip.cut_at = None
        assert is_bootable(OTA_1) == (number > first_sector), number
        assert active() == (0, _otadata.VALID), number
        assert is_bootable(OTA_0)
        assert version_in(OTA_0) == "1.0.0"
    restart()
    assert send(path)["slot"] == "ota_1"
    assert active() == (1, _otadata.NEW)


def keeps_a_way_back(path):
    """Where the bootloader refused the slot that otadata names, the running one gets a valid record first."""
    send(path)
    assert [(record.seq, record.state) for record in otadata()] == [(3, _otadata.VALID), (4, _otadata.NEW)]


def takes_the_same_version_by_force(path):
    assert refused(path) == ("VERSION", 409)
    assert send(path, force=True)["version"] == "1.0.0"
    assert active() == (1, _otadata.NEW)


def minds_stand_ins_on_a_chip(stand_in, real):
    _chip.machine = "Generic ESP32 module with OTA with ESP32"
    assert refused(stand_in) == ("MAGIC_BYTE", 415)
    assert _chip.operations == 0
    assert send(real)["slot"] == "ota_1"
