# Runs on CPython and on MicroPython.
"""A look for an update, against a real server: what is taken, what is not, what is kept of it, and power cuts."""

import asyncio
import binascii
import json
import os

import _appimage
import _chip
import _literals  # noqa: F401  names are not resolved here
import _otadata
import _without_notes  # noqa: F401
import boot_files
import clock
import dns
import fetching
import look
import ntp
import outgoing
import pair
import pull
import ranged
import source
import web
from esp32 import NVS, Partition

OTA_1, SLOT = 0x190000, 0x180000


class Fetching:
    """What a look sees of fetching.py."""

    phase = "looking"

    def utc(self):
        return 850_000_000


def active():
    """Slot that the bootloader would try first, and the state of its record."""
    records = [_otadata.unpack(_chip.read(0xD000 + offset, 32)) for offset in (0, 0x1000)]
    record = records[_otadata.active(*records)]
    return _otadata.slot_of(record.seq, 2), record.state


def has_image(path):
    """Tell whether ota_1 holds this file, as it can be started."""
    _appimage.verify(_chip.read, OTA_1, SLOT)
    with open(path, "rb") as file:
        address = OTA_1
        while True:
            data = file.read(4096)
            if not data:
                return True
            if _chip.read(address, len(data)) != data:
                return False
            address += len(data)


def start(texts):
    """As a board that starts with these settings: url and so on, and "signer"."""
    settings = json.loads(texts)
    signer = settings.pop("signer", None)
    if signer:
        nvs = NVS("kit")
        nvs.set_blob("signers1", binascii.unhexlify(signer))
        nvs.set_i32("signers", 1)
        nvs.commit()
    if settings:
        pair.write("pull", json.dumps(settings).encode())
    ranged.PAUSE = 0.01
    begin()


def begin():
    web.pins = None, None
    web.fetching = Fetching()
    web.restart_soon = lambda: None
    web.ota = web.Ota(Partition(Partition.RUNNING))


def run():
    """Look once, and return what came of it."""
    if hasattr(asyncio, "new_event_loop"):
        asyncio.new_event_loop()  # on MicroPython the tasks of one that a power cut ended are still there
    asyncio.run(look.look())
    return pull.outcome()


def test_outcome(texts, *expected):
    """Look as often as there is something expected: an outcome, and behind a colon what the cause says."""
    start(texts)
    for text in expected:
        outcome, _, cause = text.partition(": ")
        begin()
        found = run()
        assert found["outcome"] == outcome, found
        assert cause in (found["cause"] or ""), found
        assert found["begun"] == 0
        is_failure = outcome in ("failed", "refused")
        assert (found["failures"] > 0) == is_failure, found
        assert active() == ((1, _otadata.NEW) if outcome == "installed" else (0, _otadata.VALID))
        _chip.erase(0xE000, 0x1000)


def test_takes(texts, path):
    start(texts)
    found = run()
    assert found["outcome"] == "installed", found
    assert found["version"] == found["taken"] == "1.1.0"
    assert has_image(path)
    assert active() == (1, _otadata.NEW)


def test_fetches_what_the_slot_lacks(texts, path):
    """It holds the image but for its first sector, as after a power cut at the last moment, for one more, and for the
    last one, which is a signature as of another version: with the same CRC-32."""
    start(texts)
    assert run()["outcome"] == "installed"
    for sector in (0, 5):
        _chip.erase(OTA_1 + sector * 0x1000, 0x1000)
    change_signature(path)
    _chip.erase(0xE000, 0x1000)
    begin()
    forget()
    assert run()["outcome"] == "installed"
    assert web.ota.progress["received"] == 3 * 4096, web.ota.progress
    assert has_image(path)


def change_signature(path):
    """Put another signature into the last sector of the slot, which ends with a CRC-32 of itself."""
    address = OTA_1 + os.stat(path)[6] - 0x1000
    block = bytearray(_chip.read(address, 0x1000))
    before = binascii.crc32(block)
    block[4] ^= 1
    block[1196:1200] = binascii.crc32(block[:1196]).to_bytes(4, "little")
    _chip.erase(address, 0x1000)
    _chip.write(address, block)
    assert binascii.crc32(_chip.read(address, 0x1000)) == before


def forget():
    """What came of looks before."""
    nvs = NVS("kit")
    nvs.set_i32("pulled", 0)
    nvs.commit()


def count_operations(texts):
    start(texts)
    _chip.operations = 0
    assert run()["outcome"] == "installed"
    print("OPERATIONS", _chip.operations, web.ota.progress["received"])


def cut(texts, number):
    """Cut the power in the middle of an operation on the flash."""
    start(texts)
    _chip.operations, _chip.cut_at = 0, int(number)
    try:
        run()
        raise AssertionError("no power cut")
    except _chip.PowerCut:
        pass


def go_on(texts, path, most):
    """Start again: the board boots a whole image, and the next look fetches no more than so many bytes."""
    start(texts)
    if active()[0] == 0:
        found = run()
        assert found["outcome"] == "installed", found
        assert web.ota.progress["received"] <= int(most), web.ota.progress
    assert active() == (1, _otadata.NEW)
    assert has_image(path)


def test_paces(texts, expected):
    """Pairs of what came of the last look, and the seconds until the next one."""
    start(texts)
    for state, now, looked, seconds in json.loads(expected):
        kept = pull.outcome()
        kept.update({"tried": None, "failures": 0, "begun": 0})
        kept.update(state)
        pull.keep(kept)
        assert pull.plan(now, looked)[0] == seconds, (state, now, looked, pull.plan(now, looked))


def has_given_back(places):
    """Tell whether others have what the look has taken from them."""
    return not outgoing.turn.locked() and (web.app.places, web.app.newcomers) == places


def test_slow(texts, seconds):
    """A server that never comes to an end."""
    start(texts)
    places = web.app.places, web.app.newcomers
    look.MOST_SECONDS = float(seconds)
    found = run()
    assert found["outcome"] == "failed" and "takes longer" in found["cause"], found
    assert has_given_back(places)


class BrokenTls:
    is_paused = False

    async def pause(self):
        self.is_paused = True
        raise MemoryError


def test_gives_back(texts):
    """There is no memory even to wait for the end of a session."""
    start(texts)
    places, web.app.tls = (web.app.places, web.app.newcomers), BrokenTls()
    assert run()["outcome"] == "failed"
    assert has_given_back(places)
    assert not web.app.tls.is_paused


def test_no_socket(texts):
    async def resolve(name):
        raise OSError(23)  # ENFILE

    start(texts)
    dns.resolve = resolve
    found = run()
    assert (found["outcome"], found["failures"], found["begun"]) == ("failed", 1, 0), found
    assert found["cause"] == "updates.example takes no connection.", found


ASSET = '{"url": "%s/releases/assets/7", "name": "manifest.json", "size": 1}'


def test_assets():
    """The token goes with what is asked for, so that only the server of the repository has it."""
    found = source.Source("https://api.github.com/repos/a/b", "secret", None)
    for server in ("https://api.github.com.example.org/repos/a/b", "https://api.github.company/repos/a/b", "http://x"):
        found._take_assets((ASSET % server).encode())
    assert not found._assets, found._assets
    found._take_assets((ASSET % "https://api.github.com/repos/a/b").encode())
    assert found._assets == {"manifest.json": "https://api.github.com/repos/a/b/releases/assets/7"}


def test_watches_on(texts):
    """Planning finds no memory, nor does a look; both are tried again, and not at once."""
    start(texts)
    now, plans, looks = [1000], [], []
    clock.seconds = lambda: now[0]

    def plan(*arguments):
        plans.append(now[0])
        if len(plans) < 3:
            raise MemoryError
        return 5, None, {"outcome": None}

    async def look_now():
        looks.append(now[0])
        raise MemoryError

    pull.plan, look.look = plan, look_now

    async def watch():
        fetches = fetching.Fetching()
        while now[0] < 1130:
            await fetches._turn()
            now[0] += 1
        return fetches

    fetches = asyncio.run(watch())
    assert plans[:3] == [1000, 1060, 1120], plans
    assert looks == [1125], looks
    assert fetches.phase == "idle"


def test_logs_once(texts):
    """A network without NTP, and one where it comes back."""
    start(texts)
    now, asked, logged = [1000], [], []
    clock.seconds = lambda: now[0]

    async def ask(server):
        asked.append(now[0])
        if len(asked) != 4:
            raise OSError("The time server does not answer.")

    ntp.ask = ask
    boot_files.log = lambda event, **facts: logged.append((now[0], event))

    async def watch():
        fetches = fetching.Fetching()
        while now[0] < 1180 + 86400 + 130:
            await fetches._turn()
            now[0] += 1 if now[0] < 1200 else 10

    asyncio.run(watch())
    assert asked[:4] == [1000, 1060, 1120, 1180], asked
    assert 6 <= len(asked) <= 8 and asked[4] >= 1180 + 86400, asked
    assert logged == [(1000, "CLOCK"), (asked[4], "CLOCK")], logged


def test_an_upload_came_first(texts):
    """The log says of whom that is."""
    start(texts)
    web.ota.address = "10.0.0.9"
    web.ota.progress["phase"] = "check"
    found = run()
    assert found["outcome"] == "refused" and "host" not in found, found
    assert web.ota.address == "10.0.0.9"
