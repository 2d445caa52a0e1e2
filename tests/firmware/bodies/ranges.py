# Runs on CPython and on MicroPython.
"""A file that comes in parts, over links that break and from servers that lie: see test_fetch.py."""

import asyncio
import binascii
import gc
import hashlib
import json
import os
from array import array

import _chip
import _literals  # noqa: F401
import _without_notes  # noqa: F401
import fetch
import link
import ranged
import updater
import web
from _expect import error_of
from _upload import otadata
from esp32 import Partition

OTA_1, SECTOR = 0x190000, 4096

ranged.PAUSE = 0.01


class Asked:
    """Asks for the file, with other options of the server each time, the last ones for ever; counts what comes."""

    def __init__(self, ports, *options, **how):
        self._ports, self._options, self._how = json.loads(ports), options or ("",), how
        self.starts = []  # of what was asked for
        self.answers = []

    async def __call__(self, start, etag):
        options = self._options[min(len(self.starts), len(self._options) - 1)]
        self.starts.append(start)
        for answer in self.answers:
            assert answer.is_closed
        answer = await fetch.get(self._url("file?" + options), start=start, etag=etag)
        self.answers.append(Counted(answer))
        return self.answers[-1]

    def _url(self, path, name="plain"):
        return f"http://127.0.0.1:{self._ports[name]}/{path}"

    @property
    def came(self):
        return sum([answer.came for answer in self.answers])


class Counted:
    """An Answer."""

    def __init__(self, answer):
        self._answer, self.came, self.is_closed = answer, 0, False
        self.status, self.start, self.total, self.etag = answer.status, answer.start, answer.total, answer.etag

    async def readinto(self, view):
        got = await self._answer.readinto(view)
        self.came += got
        return got

    def close(self):
        self._answer.close()
        self.is_closed = True


def size_of(path):
    return os.stat(path)[6]


def take(path, asked, size=None):
    """Read the whole file, and compare it."""
    body = ranged.Ranged(asked, size_of(path) if size is None else size)
    buffer, done = bytearray(SECTOR), 0

    async def run():
        nonlocal done
        with open(path, "rb") as file:
            while True:
                got = await body.readinto(memoryview(buffer))
                if not got:
                    break
                assert file.read(got) == bytes(buffer[:got]), done
                done += got
                assert body.left == size_of(path) - done
        assert asked.answers[-1].is_closed  # what follows needs the memory

    try:
        asyncio.run(run())
        assert done == size_of(path)
    finally:
        body.close()
    for answer in asked.answers:
        assert answer.is_closed


def sectors_of(path):
    with open(path, "rb") as file:
        while True:
            data = file.read(SECTOR)
            if not data:
                return
            yield data + b"\xff" * (SECTOR - len(data))


def put_slot(path, differing=()):
    """Give ota_1 what the file has, but for some sectors."""
    for number, data in enumerate(sectors_of(path)):
        _chip.erase(OTA_1 + number * SECTOR, SECTOR)
        _chip.write(OTA_1 + number * SECTOR, b"\x5a" * SECTOR if number in differing else data)
    gc.collect()


def crcs_of(path):
    return array("I", [binascii.crc32(data) for data in sectors_of(path)])


def bring(path, asked):
    """Read what the slot lacks, compare it, and return the numbers of its sectors."""
    body = ranged.Ranged(asked, size_of(path), crcs_of(path), Partition("ota_1"))
    buffer, found = bytearray(SECTOR), []

    async def run():
        assert body.left == (size_of(path) + SECTOR - 1) // SECTOR * SECTOR
        for number, data in enumerate(sectors_of(path)):
            if await body.bring(number):
                found.append(number)
                done = 0
                while done < SECTOR:
                    got = await body.readinto(memoryview(buffer)[done:])
                    assert got
                    done += got
                assert buffer == data, number
            assert await body.readinto(memoryview(buffer)) == 0
        assert body.left == 0

    try:
        asyncio.run(run())
    finally:
        body.close()
    for answer in asked.answers:
        assert answer.is_closed
    return tuple(found)


def failure(path, asked, is_final, function=take):
    error = error_of(fetch.FetchError, function, path, asked)
    assert error.is_final == is_final, error.args[0]
    for answer in asked.answers:
        assert answer.is_closed
    return error.args[0]


def test_whole(ports, path):
    asked = Asked(ports)
    take(path, asked)
    assert asked.starts == [0] and asked.came == size_of(path)


def test_length_that_nobody_knows(ports, path):
    take(path, Asked(ports, "length=0"))


def test_breaks_anywhere(ports, path):
    size = size_of(path)
    for cut in (0, 1, 4095, 4096, 4097, 20_000, size - 1):
        asked = Asked(ports, f"cut={cut}", "")
        take(path, asked)
        assert asked.starts == [0, cut] and asked.came == size, cut


def test_breaks_again_and_again(ports, path):
    """As long as something comes each time."""
    step = 3000
    asked = Asked(ports, f"cut={step}")
    take(path, asked)
    assert asked.starts == list(range(0, size_of(path), step))


def test_parts_that_the_server_chooses(ports, path):
    asked = Asked(ports, "cut=100", "part=10000")
    take(path, asked)
    assert len(asked.starts) > 3 and asked.came == size_of(path)


class Pauses(list):
    """In place of asyncio: notes the pauses, and makes none."""

    async def sleep(self, seconds):
        self.append(seconds)
        await asyncio.sleep(0)


def pauses_of(path, asked, is_final=False):
    """Return the pauses before it gave up, and why it did."""
    ranged.asyncio, ranged.PAUSE = pauses, _ = Pauses(), 1
    try:
        return pauses, failure(path, asked, is_final)
    finally:
        ranged.asyncio, ranged.PAUSE = asyncio, 0.01


def test_gives_up_after_five_times_that_bring_nothing(ports, path):
    asked = Asked(ports, "cut=5000", "cut=0")
    pauses, text = pauses_of(path, asked)
    assert pauses == [1, 2, 4, 8, 16] and "hung up" in text
    assert asked.starts == [0] + [5000] * 5
    asked = Asked(ports, "cut=5000", "cut=0", "cut=0", "cut=0", "cut=0", "cut=1", "cut=0", "cut=0", "cut=0", "")
    take(path, asked)  # the one byte counts


def test_servers_that_are_busy(ports, path):
    asked = Asked(ports, "cut=5000", "status=503", "status=429", "")
    take(path, asked)
    assert asked.starts == [0, 5000, 5000, 5000]
    asked = Asked(ports, "cut=5000", "status=503&after=3")
    pauses, text = pauses_of(path, asked)
    assert pauses == [1, 3, 4, 8, 16] and "503" in text
    pauses, text = pauses_of(path, Asked(ports, "status=429&after=3600"))
    assert pauses == [] and "429" in text
    pauses, text = pauses_of(path, Asked(ports, "cut=5000", "status=404"), is_final=True)
    assert pauses == [1] and "404" in text


def test_silence(ports, path):
    link.SECONDS = 0.3
    asked = Asked(ports, "cut=5000&hold=1", "cut=0&hold=1", "")
    take(path, asked)
    assert asked.starts == [0, 5000, 5000]
    assert "0.3 seconds" in failure(path, Asked(ports, "cut=5000&hold=1", "cut=0&hold=1"), False)


def test_file_that_changes(ports, path):
    for options in ("etag=%22two%22", "etag=W/%22one%22", "status=416"):
        asked = Asked(ports, "cut=5000", options)
        assert "changed" in failure(path, asked, True), options
        assert asked.starts == [0, 5000]
    for options in ("etag=none&ranges=0", "ranges=0"):
        assert "no part" in failure(path, Asked(ports, "cut=5000", options), True), options
    for options in ("short=1", "part=5000"):
        assert "changed" in failure(path, Asked(ports, options), True)
    assert "part" in failure(path, Asked(ports, "cut=5000", "shift=1"), True)
    assert "no part" in failure(path, Asked(ports, "etag=W/%22one%22&cut=5000", "etag=W/%22one%22"), True)
    take(path, Asked(ports, "etag=none&cut=5000", "etag=none"))  # its digest will prove it


def test_brings_what_the_slot_lacks(ports, path):
    last = (size_of(path) - 1) // SECTOR
    for differing in ((), (0,), (last,), (2, 3), tuple(range(last + 1))):
        put_slot(path, differing)
        asked = Asked(ports)
        assert bring(path, asked) == differing
        assert asked.starts == [number * SECTOR for number in differing[:1]]


def test_short_gaps_are_thrown_away_and_long_ones_not_asked_for(ports, path):
    put_slot(path, (1, 6))  # four in between
    asked = Asked(ports)
    assert bring(path, asked) == (1, 6)
    assert asked.starts == [SECTOR] and asked.came == 6 * SECTOR
    put_slot(path, (0, 2, 8))
    asked = Asked(ports)
    assert bring(path, asked) == (0, 2, 8)
    assert asked.starts == [0, 8 * SECTOR] and asked.came == 4 * SECTOR


def test_goes_on_after_a_power_cut(ports, path):
    """The slot has the beginning."""
    count = (size_of(path) + SECTOR - 1) // SECTOR
    for begin in (1, 5, count - 1):
        put_slot(path, tuple(range(begin, count)))
        asked = Asked(ports)
        assert len(bring(path, asked)) == count - begin
        assert asked.starts == [begin * SECTOR] and asked.came == size_of(path) - begin * SECTOR


def test_links_that_break_in_between(ports, path):
    put_slot(path, (1, 6, 7))
    asked = Asked(ports, "cut=6000", "")
    assert bring(path, asked) == (1, 6, 7)
    assert asked.starts == [SECTOR, 6 * SECTOR]
    asked = Asked(ports, "cut=21000", "cut=0", "cut=4095", "")
    assert bring(path, asked) == (1, 6, 7)
    assert asked.starts == [SECTOR, SECTOR + 21000, SECTOR + 21000, SECTOR + 25095]


def test_servers_that_know_no_parts(ports, path):
    """All is read, from the begin, and only once."""
    for options in ("ranges=0", "ranges=0&etag=none", "etag=W/%22one%22"):
        put_slot(path, (3, 9))
        asked = Asked(ports, options)
        assert bring(path, asked) == (3, 9)
        assert asked.starts == ([3 * SECTOR] if "ranges" in options else [3 * SECTOR, 9 * SECTOR])
    put_slot(path, (3, 9))
    asked = Asked(ports, "ranges=0&cut=30000", "ranges=0")
    assert bring(path, asked) == (3, 9)
    assert asked.starts == [3 * SECTOR, 9 * SECTOR]
    put_slot(path, (9,))
    asked = Asked(ports, "ranges=0&cut=30000")  # never gets there
    assert "hung up" in failure(path, asked, False, bring)
    assert len(asked.starts) == 6


def test_file_that_changes_in_between(ports, path):
    put_slot(path, (1, 8))
    for options in ("etag=%22two%22", "status=416"):
        asked = Asked(ports, "", options)
        assert "changed" in failure(path, asked, True, bring)
        assert asked.starts == [SECTOR, 8 * SECTOR]


def test_takes_no_buffer_for_each_sector(ports, path):
    put_slot(path, tuple(range(20)))
    body = ranged.Ranged(Asked(ports), size_of(path), crcs_of(path), Partition("ota_1"))
    view = memoryview(bytearray(SECTOR))

    async def run():
        taken = []
        for number in range(3):
            gc.collect()
            before = gc.mem_alloc()
            assert await body.bring(number)
            while await body.readinto(view):
                pass
            taken.append(gc.mem_alloc() - before)
        body.close()
        return taken

    taken = asyncio.run(run())
    assert min(taken) < SECTOR * 2, taken  # bytes of 64-bit words, of which a chip has half


def an_update(ports, path):
    """Whole, then what is missing after a power cut at some operations."""
    sha256 = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            data = file.read(SECTOR)
            if not data:
                break
            sha256.update(data)
    digest, crcs = sha256.digest(), crcs_of(path)

    def update(asked, is_delta):
        gc.collect()
        web.ota = web.Ota(Partition(Partition.RUNNING))
        body = ranged.Ranged(asked, size_of(path), *((crcs, Partition("ota_1")) if is_delta else ()))
        base = web.ota.tag() if is_delta else None
        try:
            asyncio.run(updater.Updater(web.ota).receive(body, size_of(path), False, digest, None, base))
        finally:
            body.close()

    def assert_new():
        assert [number for number, data in enumerate(sectors_of(path)) if not is_there(number, data)] == []
        assert otadata()[1].seq == 2

    def is_there(number, data):
        return _chip.read(OTA_1 + number * SECTOR, SECTOR) == data

    update(Asked(ports, "cut=20000", ""), False)
    assert_new()
    for cut in (3, 9, 14):
        _chip.erase(0xD000 + 0x1000, SECTOR)
        put_slot(path, tuple(range(20)))
        _chip.operations, _chip.cut_at = 0, cut
        error_of(_chip.PowerCut, update, Asked(ports), True)
        _chip.cut_at = None
        asked = Asked(ports, "cut=7000", "")
        update(asked, True)
        assert_new()
        assert asked.came < size_of(path) or cut < 4
