"""What travels of an image, by what a board says of its slot."""

import random
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from kit.errors import BoardError, UpdateError
from kit.ota.answer import read
from kit.ota.exchange import Answer
from kit.ota.parcel import changed, entire
from kit.security.keys import new_key
from kit.security.signature import signature_sector

SECTOR = 4096
IMAGE = random.Random(15).randbytes(20 * SECTOR)


def says(body: bytes, status: int = 200, **headers: str) -> SimpleNamespace:
    """A board that answers like this whatever it is asked for."""
    answer = Answer("/sectors", status, "", {"ETag": '"1-0"'} | headers, body)
    return SimpleNamespace(request=lambda method, path: answer)


def held(data: bytes, sectors: int = 384) -> bytes:
    """What GET /sectors says of a slot with some bytes in it."""
    slot = data.ljust(sectors * SECTOR, b"\xff")
    sums = [zlib.crc32(slot[start : start + SECTOR]) for start in range(0, len(slot), SECTOR)]
    return struct.pack(f"<{sectors + 1}I", sectors, *sums)


def with_other(*numbers: int, image: bytes = IMAGE) -> bytes:
    data = bytearray(image)
    for number in numbers:
        data[number * SECTOR] ^= 1
    return bytes(data)


def test_everything():
    parcel = entire(IMAGE, {"x-MD5": "0"})
    assert (parcel.method, parcel.body, parcel.sectors, parcel.size) == ("POST", IMAGE, None, len(IMAGE))
    assert parcel.headers == {"Content-Type": "application/octet-stream", "x-MD5": "0"}
    assert parcel.during("write") == "write"


def test_what_differs():
    parcel = changed(says(held(with_other(3, 7))), IMAGE)
    assert (parcel.method, parcel.sectors, parcel.size) == ("PATCH", (3, 7), 2 * SECTOR)
    assert parcel.body == b"".join(
        struct.pack("<H", number) + IMAGE[number * SECTOR : (number + 1) * SECTOR] for number in (3, 7)
    )
    assert parcel.headers["Content-Type"] == f"application/vnd.esp32-sectors; size={len(IMAGE)}"
    assert parcel.headers["If-Match"] == '"1-0"'
    assert parcel.headers["Repr-Digest"].startswith("sha-256=:")
    assert parcel.during("write") == "2 of 20 sectors, 8,192 bytes · write"


def test_nothing_differs():
    parcel = changed(says(held(IMAGE)), IMAGE)
    assert (parcel.sectors, parcel.body) == ((), b"")


def test_the_signature_always_travels(tmp_path: Path):
    """Another one in the slot has the same CRC-32."""
    key = new_key(tmp_path / "team.pem")
    one, other = (IMAGE + signature_sector(data, [key]) for data in (IMAGE, with_other(3)))
    assert one[-SECTOR:] != other[-SECTOR:]
    assert zlib.crc32(one[-SECTOR:]) == zlib.crc32(other[-SECTOR:])
    assert changed(says(held(other)), one).sectors == (20,)


def test_image_that_ends_within_a_sector():
    """Behind its end the board has what it has erased."""
    image = IMAGE[:-1000]
    assert changed(says(held(image)), image).sectors == ()
    parcel = changed(says(held(with_other(19, image=image))), image)
    assert parcel.sectors == (19,)
    assert parcel.body[2:] == image[19 * SECTOR :].ljust(SECTOR, b"\xff")


@pytest.mark.parametrize("missing", [18, 19, 20])
def test_worth_it_where_it_saves_more_than_a_sector(missing: int):
    parcel = changed(says(held(with_other(*range(missing)))), IMAGE)
    assert (parcel is None) == (missing > 18)


@pytest.mark.parametrize("sectors", [0, 1, 19])
def test_slot_that_is_too_small(sectors: int):
    """The board will refuse the image, whichever way it comes."""
    assert changed(says(held(IMAGE[: sectors * SECTOR], sectors)), IMAGE) is None


def test_image_of_more_sectors_than_have_a_number():
    assert changed(says(held(b"")), b"\xff" * (0x10001 * SECTOR)) is None


def test_firmware_that_knows_whole_images_only():
    assert changed(says(b'{"error": "NOT_FOUND"}', 404), IMAGE) is None


def test_nobody_answers():
    """The upload itself will say why."""

    def fail(method: str, path: str) -> None:
        raise BoardError("Nobody.", "Look.")

    assert changed(SimpleNamespace(request=fail), IMAGE) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"\0\0\0",
        b"\xff\xff\xff\xff",
        held(IMAGE)[:-1],
        held(IMAGE)[:-4],
        held(IMAGE) + b"\0\0\0\0",
        b"<html>Log in</html>",
        b"[" * 60_000,
    ],
)
def test_answer_that_is_no_list_of_sectors(body: bytes):
    with pytest.raises(BoardError, match="/sectors answered 200, not as our firmware does"):
        changed(says(body), IMAGE)


@pytest.mark.parametrize("status", [401, 403, 409, 429, 500, 503])
def test_refusals(status: int):
    """They are those of an upload."""
    refusal = b'{"error": "UPDATE_ERROR_BUSY", "message": "Another update is running.", "advice": "Wait."}'
    with pytest.raises(UpdateError, match="UPDATE_ERROR_BUSY"):
        changed(says(refusal, status), IMAGE)
    with pytest.raises(BoardError) as caught:
        changed(says(b"", status), IMAGE)
    with pytest.raises(BoardError, match=str(caught.value)[:20]):
        read(Answer("/sectors", status, "", {}, b""))
