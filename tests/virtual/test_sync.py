"""Only what the slot lacks travels: the kit's client and the firmware together, on a virtual board."""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import kit
from kit.errors import BoardError, KitError, UpdateError
from kit.faults.link import Link
from kit.image.update_image import UpdateImage, build
from kit.ota import upload as sending
from kit.ota.client import OtaClient
from kit.ota.parcel import Parcel, changed

SECTOR, OTA_0, OTA_1 = 4096, 0x10000, 0x190000


@pytest.fixture(scope="module")
def newer() -> UpdateImage:
    return build("1.1.0")


@pytest.fixture
def board(installed_file: Path, tmp_path: Path, start: Callable, newer: UpdateImage):
    """Function that returns a running board with 1.0.0 in ota_0, and some bytes in ota_1."""

    def begin(held: bytes = b""):
        data = bytearray(installed_file.read_bytes())
        data[OTA_1 : OTA_1 + len(held)] = held
        path = tmp_path / "flash.bin"
        path.write_bytes(data)
        virtual = start(path)
        board = virtual.board()
        board.reset()
        return board

    return begin


def logged_in(url: str) -> OtaClient:
    ota = OtaClient(url, virtual=True)
    ota.login()
    return ota


def missing(held: bytes, image: bytes) -> list[int]:
    return [
        start // SECTOR
        for start in range(0, len(image), SECTOR)
        if held[start : start + SECTOR] != image[start : start + SECTOR]
    ]


def test_first_update_then_one_changed_line(board, newer: UpdateImage, tmp_path: Path, capsys):
    board = board()
    result = logged_in(board.url).upload(newer)
    assert (result.sectors, repr(result)) == (None, f"1.1.0 in ota_1: {newer.size:,} bytes accepted, confirmed")
    app = kit.new_app(tmp_path / "app")
    kit.set_constant(app / "page.py", "COLOUR", "#b45309")
    image = kit.build("1.2.0", board=board, app=app)
    lacks = missing(board.read(OTA_0, image.size), image.data)
    result = logged_in(board.url).upload(image)
    assert list(result.sectors) == lacks
    assert len(lacks) * SECTOR < image.size / 50
    count = image.size // SECTOR
    assert (
        repr(result)
        == f"1.2.0 in ota_0: {len(lacks)} of {count} sectors, {len(lacks) * SECTOR:,} bytes accepted, confirmed"
    )
    assert board.read(OTA_0, image.size) == image.data
    result = logged_in(board.url).upload(kit.build("1.3.0", board=board, app=app), whole=True)
    assert result.sectors is None


def test_nothing_is_missing(board, newer: UpdateImage):
    board = board(newer.data)
    result = logged_in(board.url).upload(newer)
    assert result.sectors == ()
    assert repr(result).startswith(f"1.1.0 in ota_1: 0 of {newer.size // SECTOR} sectors, 0 bytes accepted")


def test_another_interpreter(board, newer: UpdateImage):
    """The whole image, by itself: nothing stands where it did."""
    noise = random.Random(1).randbytes(newer.size)
    board = board(noise)
    assert logged_in(board.url).upload(newer, wait=False).sectors is None


@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_a_broken_upload_goes_on(board, newer: UpdateImage, share: float):
    """With a client that knows nothing of the first one: another cell, or another kernel."""
    board = board()
    with Link(board) as link:
        link.drop(int(newer.size * share))
        with pytest.raises(BoardError, match="The link broke"):
            logged_in(link.url).upload(newer)
    lacks = missing(board.read(OTA_1, newer.size), newer.data)
    assert len(lacks) <= newer.size * (1 - share) / SECTOR + 2  # the first one, and what had come of the next one
    result = logged_in(board.url).upload(newer)
    assert list(result.sectors) == lacks
    assert board.read(OTA_1, newer.size) == newer.data


def test_tries_go_on_where_the_one_before_has_ended(board, newer: UpdateImage, capsys):
    board = board()
    with Link(board) as link:
        link.flaky(400_000)
        ota = logged_in(link.url)
        result = ota.upload(newer, tries=20)
    sent = sum(samples[-1][1] for samples in (*result.broken, result.samples))
    assert len(result.broken) > 1
    assert sent <= newer.size + 2 * SECTOR * len(result.broken)
    assert capsys.readouterr().out.count("Try ") == len(result.broken)


def test_a_changed_update_that_breaks_goes_on(board, newer: UpdateImage):
    held = bytearray(newer.data)
    for number in (10, 20, 30):
        held[number * SECTOR] ^= 0xFF
    board = board(bytes(held))
    with Link(board) as link:
        link.drop(2 * 4098 + 100)
        with pytest.raises(BoardError, match="The link broke"):
            logged_in(link.url).upload(newer)
        assert "was dropped after" in repr(link)
    assert logged_in(board.url).upload(newer).sectors == (0, 30)


def test_a_slot_that_is_not_what_it_seemed(board, newer: UpdateImage, monkeypatch, capsys):
    """The board finds it out, and the whole image follows by itself."""
    held = bytearray(newer.data)
    held[10 * SECTOR] ^= 0xFF
    held[20 * SECTOR] ^= 0xFF

    def forgetful(web, data: bytes) -> Parcel:
        parcel = changed(web, data)
        return replace(parcel, body=parcel.body[:4098], sectors=parcel.sectors[:1])

    monkeypatch.setattr(sending, "changed", forgetful)
    board = board(bytes(held))
    result = logged_in(board.url).upload(newer)
    assert (result.sectors, result.broken) == (None, ())
    assert board.read(OTA_1, newer.size) == newer.data


def test_a_stale_look(board, newer: UpdateImage, monkeypatch):
    def late(web, data: bytes) -> Parcel:
        parcel = changed(web, data)
        return replace(parcel, headers=parcel.headers | {"If-Match": '"yesterday-7"'})

    monkeypatch.setattr(sending, "changed", late)
    board = board(newer.data[: 300 * SECTOR])
    assert logged_in(board.url).upload(newer, wait=False).sectors is None


def test_older_firmware(board, tmp_path: Path):
    """Which knows neither of the two requests."""
    board = board()
    app = kit.new_app(tmp_path / "old")
    web = app / "web.py"
    web.write_text(re.sub(r'@app.on\("(GET /sectors|PATCH /update)".*\n', "", web.read_text()))
    logged_in(board.url).upload(kit.build("1.1.0", board=board, app=app))
    result = logged_in(board.url).upload(kit.build("1.2.0", board=board))
    assert result.sectors is None
    assert logged_in(board.url).upload(kit.build("1.3.0", board=board), wait=False).sectors is not None


def test_a_refused_image(board, newer: UpdateImage):
    """Whichever way it comes, it is refused, and the next one is taken."""
    board = board(newer.data)
    damaged = bytearray(newer.data)
    damaged[-5000] ^= 0xFF
    with pytest.raises(UpdateError, match="UPDATE_ERROR_ACTIVATE"):
        logged_in(board.url).upload(bytes(damaged))
    with pytest.raises(UpdateError, match="UPDATE_ERROR_VERSION"):
        logged_in(board.url).upload(kit.build("1.0.0", board=board))
    assert logged_in(board.url).upload(newer).version == "1.1.0"


def test_power_cut(board, newer: UpdateImage):
    held = bytearray(newer.data)
    for number in range(40, 60):
        held[number * SECTOR] ^= 0xFF
    board = board(bytes(held))
    ota = logged_in(board.url)
    with pytest.raises(KitError), kit.faults.power_cut(board, 45):  # notes and log among them
        ota.upload(newer)
    assert "1.0.0" in board.reset()
    result = logged_in(board.url).upload(newer)
    assert 2 < len(result.sectors) < 19
    assert board.read(OTA_1, newer.size) == newer.data
