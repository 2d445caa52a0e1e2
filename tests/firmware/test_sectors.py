"""GET /sectors and PATCH /update over HTTP, on both interpreters."""

import base64
import hashlib
import json
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.image import otadata

PASSWORD = "a password of our own"
OTA_1, SLOT, SECTOR = 0x190000, 0x180000, 4096
UNTOUCHED = [(1, otadata.VALID), (0xFFFFFFFF, 0xFFFFFFFF)]
KIND = "application/vnd.esp32-sectors; size={}"


def sectors_of(data: bytes) -> list[bytes]:
    return [data[start : start + SECTOR] for start in range(0, len(data), SECTOR)]


def body_of(data: bytes, *numbers: int) -> bytes:
    return b"".join(struct.pack("<H", number) + sectors_of(data)[number] for number in numbers)


def repr_digest(data: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


@pytest.fixture
def board(interpreter, make_flash, serve, make_image):
    """A running board with version 1.0.0, and 1.1.0 in its other slot but for sectors 2 and 5."""
    data = bytearray(make_image("1.1.0").data)
    for number in (2, 5):
        data[number * SECTOR : (number + 1) * SECTOR] = b"\x5a" * SECTOR
    board = serve(interpreter, make_flash(slot_1=bytes(data)), password=PASSWORD)
    board.log_in(PASSWORD)
    return board


@pytest.fixture
def image(make_image) -> bytes:
    return make_image("1.1.0").data


def tag_of(board) -> str:
    return board.get("/sectors", headers=board.bearer).headers["ETag"]


def patch(board, image: bytes, *numbers: int, body: bytes | None = None, **headers: str | None):
    """Send some sectors of an image; a header that is None is left out."""
    usual = {"Content-Type": KIND.format(len(image)), "Repr-Digest": repr_digest(image), "If-Match": None}
    if "If_Match" not in headers:
        usual["If-Match"] = tag_of(board)
    usual |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in usual.items() if value is not None} | board.bearer
    return board.patch("/update", data=body_of(image, *numbers) if body is None else body, headers=sent)


def test_sectors(board, image: bytes) -> None:
    answer = board.get("/sectors", headers=board.bearer)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["ETag"].startswith('"')
    count, *found = struct.unpack(f"<{len(answer.content) // 4}I", answer.content)
    assert count == len(found) == SLOT // SECTOR
    expected = [zlib.crc32(data) for data in sectors_of(image)]
    blank = zlib.crc32(b"\xff" * SECTOR)
    assert [number for number in range(len(expected)) if found[number] != expected[number]] == [2, 5]
    assert set(found[len(expected) :]) == {blank}
    assert tag_of(board) == answer.headers["ETag"]


def test_sectors_need_a_token(board, assert_refused) -> None:
    assert_refused(board.get("/sectors"), 401, "UNAUTHORIZED")
    assert_refused(board.post("/sectors", headers=board.bearer), 405, "BAD_METHOD")


def test_six_who_ask_at_once(board, image: bytes) -> None:
    """As many as the board serves; each holds a sector in its memory, and none takes it from the update after."""
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: board.get("/sectors", headers=board.bearer).content, range(6)))
    assert len(set(found)) == 1
    assert patch(board, image, 2, 5).status_code == 200


def test_changed_sectors(board, image: bytes) -> None:
    answer = patch(board, image, 2, 5)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["slot"], said["version"], said["bytes"]) == ("ota_1", "1.1.0", len(image))
    assert set(said["seconds"]) == {"receive", "write", "verify", "commit"}
    board.wait()
    assert board.flash.read_bytes()[OTA_1 : OTA_1 + len(image)] == image
    assert board.records()[1] == (2, otadata.NEW)


def test_basic(board, image: bytes) -> None:
    """Who may send a whole image may send a part of one."""
    headers = {"Content-Type": KIND.format(len(image)), "Repr-Digest": repr_digest(image), "If-Match": tag_of(board)}
    wrong = board.patch("/update", data=body_of(image, 2, 5), headers=headers, auth=("admin", "wrong"))
    assert wrong.status_code == 401
    right = board.patch("/update", data=body_of(image, 2, 5), headers=headers, auth=("admin", PASSWORD))
    assert right.status_code == 200


def test_a_break_and_then_the_rest(board, image: bytes) -> None:
    head = (
        "PATCH /update HTTP/1.1",
        f"Content-Type: {KIND.format(len(image))}",
        f"If-Match: {tag_of(board)}",
        f"Repr-Digest: {repr_digest(image)}",
        f"Authorization: Bearer {board.token}",
    )
    body = body_of(image, 2, 5)
    with board.connect(*head, f"Content-Length: {len(body)}", data=body[:4100]):
        board.wait_until(lambda progress: progress["written"] > 2 * SECTOR)
    board.wait_until(lambda progress: progress["phase"] == "idle")
    assert board.progress()["error"] == "UPDATE_ERROR_ABORT"
    found = struct.unpack_from(f"<{len(image) // SECTOR}I", board.get("/sectors", headers=board.bearer).content, 4)
    missing = [number for number, data in enumerate(sectors_of(image)) if found[number] != zlib.crc32(data)]
    assert missing == [0, 5]
    assert patch(board, image, *missing).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({"Repr_Digest": None}, 422, "UPDATE_ERROR_MD5"),
        ({"Repr_Digest": ""}, 422, "UPDATE_ERROR_MD5"),
        ({"Repr_Digest": "sha-256=:AAAA:"}, 422, "UPDATE_ERROR_MD5"),
        ({"Repr_Digest": "sha-256=::"}, 422, "UPDATE_ERROR_MD5"),
        ({"Repr_Digest": "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:"}, 422, "UPDATE_ERROR_MD5"),
        ({"x_MD5": "zz"}, 422, "UPDATE_ERROR_MD5"),
        ({"If_Match": None}, 412, "UPDATE_ERROR_BASE"),
        ({"If_Match": ""}, 412, "UPDATE_ERROR_BASE"),
        ({"If_Match": '"00000000-0"'}, 412, "UPDATE_ERROR_BASE"),
        ({"Content_Type": None}, 413, "UPDATE_ERROR_SIZE"),
        ({"Content_Type": "application/octet-stream"}, 413, "UPDATE_ERROR_SIZE"),
        ({"Content_Type": KIND.format("")}, 413, "UPDATE_ERROR_SIZE"),
        ({"Content_Type": KIND.format("many")}, 413, "UPDATE_ERROR_SIZE"),
        ({"Content_Type": KIND.format("-4096")}, 413, "UPDATE_ERROR_SIZE"),
        ({"Content_Type": KIND.format(0)}, 413, "UPDATE_ERROR_SIZE"),
        ({"Content_Type": KIND.format(SLOT + 1)}, 413, "UPDATE_ERROR_SIZE"),
        ({"Content_Type": KIND.format("9" * 400)}, 413, "UPDATE_ERROR_SIZE"),
    ],
)
def test_announced_wrongly(headers: dict, status: int, error: str, board, image: bytes, assert_refused) -> None:
    """Nothing is erased, and the next one is taken."""
    before = board.flash.read_bytes()
    tag = tag_of(board)
    assert_refused(patch(board, image, 2, 5, **headers), status, error)
    assert board.flash.read_bytes() == before
    assert tag_of(board) == tag
    assert patch(board, image, 2, 5).status_code == 200


@pytest.mark.parametrize("change", [-4098, -1, 1])
def test_body_of_another_length(change: int, board, image: bytes, assert_refused) -> None:
    before = board.flash.read_bytes()
    body = (body_of(image, 2, 5) + b"\0")[: 2 * 4098 + change]
    if change == -4098:  # a sector less is the right length, and not the announced image
        assert_refused(patch(board, image, body=body), 412, "UPDATE_ERROR_BASE")
    else:
        assert_refused(patch(board, image, body=body), 413, "UPDATE_ERROR_SIZE")
        assert board.flash.read_bytes() == before
    assert board.records() == UNTOUCHED
    missing = [0] * (change == -4098) + [2, 5]
    assert patch(board, image, *missing).status_code == 200


def test_empty_body(board, image: bytes, assert_refused) -> None:
    """It says that all is there."""
    assert_refused(patch(board, image), 412, "UPDATE_ERROR_BASE")
    held = bytearray(image)
    for number in (2, 5):
        held[number * SECTOR : (number + 1) * SECTOR] = b"\x5a" * SECTOR
    assert_refused(patch(board, bytes(held)), 422, "UPDATE_ERROR_ACTIVATE")
    assert patch(board, image, 2, 5).status_code == 200


def test_wrong_md5(board, image: bytes, assert_refused) -> None:
    assert_refused(patch(board, image, 2, 5, x_MD5="0" * 32), 422, "UPDATE_ERROR_MD5")
    assert board.records() == UNTOUCHED
    assert patch(board, image, 0, x_MD5=hashlib.md5(image).hexdigest()).status_code == 200


def test_same_version(board, make_image, assert_refused) -> None:
    old = make_image("1.0.0").data
    numbers = [
        number for number, data in enumerate(sectors_of(old)) if data != sectors_of(make_image("1.1.0").data)[number]
    ]
    numbers = sorted({*numbers, 2, 5})
    assert_refused(patch(board, old, *numbers), 409, "UPDATE_ERROR_VERSION")


def test_busy(board, image: bytes, large, assert_refused) -> None:
    """Both refuse while another update runs, which goes on; what a client has learnt before is stale then."""
    tag = tag_of(board)
    data = large("1.1.0").data
    with board.start_upload(len(data), data[:100_000]):
        board.wait_until(lambda progress: progress["phase"] == "write")
        assert_refused(board.get("/sectors", headers=board.bearer), 409, "UPDATE_ERROR_BUSY")
        assert_refused(patch(board, image, 2, 5, If_Match=tag), 409, "UPDATE_ERROR_BUSY")
        assert board.progress()["phase"] == "write"
    board.wait_until(lambda progress: progress["phase"] == "idle")
    assert_refused(patch(board, image, 2, 5, If_Match=tag), 412, "UPDATE_ERROR_BASE")
    assert patch(board, image, *range(len(image) // SECTOR)).status_code == 200


def test_default_password(interpreter, make_flash, serve, image: bytes, assert_refused) -> None:
    board = serve(interpreter, make_flash())
    board.log_in("admin123")
    assert_refused(patch(board, image, 2), 403, "UPDATE_ERROR_PASSWORD")


def test_image_that_ends_within_a_sector(interpreter, make_flash, serve, image: bytes) -> None:
    """Just the image is hashed; what comes behind it in its last sector is not kept."""
    header = image.rindex(b"APP1")
    application = image[header + SECTOR : -1536]
    data = image[:header] + struct.pack("<4sI32s", b"APP1", len(application), hashlib.sha256(application).digest())
    data = data.ljust(header + SECTOR, b"\xff") + application
    board = serve(interpreter, make_flash(slot_1=image), password=PASSWORD)
    board.log_in(PASSWORD)
    last = len(data) // SECTOR
    body = body_of(data, header // SECTOR) + struct.pack("<H", last) + data[last * SECTOR :].ljust(SECTOR, b"x")
    assert patch(board, data, body=body).status_code == 200
    board.wait()
    assert board.flash.read_bytes()[OTA_1 : OTA_1 + len(data) + 1536] == data + b"\xff" * 1536


def test_over_a_flash_that_costs_nothing(compiled, make_flash, serve, large, record_property) -> None:
    """What it takes is for benchmarks/: milliseconds of GET /sectors, and of a PATCH that changes five sectors."""
    old, new = large("1.0.0").data, bytearray(large("1.1.0").data)
    for number in (100, 200, 300):
        new[number * SECTOR] ^= 1
    numbers = [at // SECTOR for at in range(0, len(new), SECTOR) if new[at : at + SECTOR] != old[at : at + SECTOR]]
    flash = make_flash(slot_0=old, slot_1=old)
    board = serve(compiled, flash, f"password={PASSWORD}", "restarts=0", body="free_flash")
    board.log_in(PASSWORD)
    looks, patches = [], []
    for _ in range(5):
        started = time.perf_counter()
        tag = tag_of(board)
        looks.append(time.perf_counter() - started)
        started = time.perf_counter()
        answer = patch(board, bytes(new), *numbers, If_Match=tag)
        patches.append(time.perf_counter() - started)
        assert answer.status_code == 200, answer.text
    record_property("looks", json.dumps([1000 * seconds for seconds in looks]))
    record_property("patches", json.dumps([1000 * seconds for seconds in patches]))
    record_property("sectors", len(new) // SECTOR)


def test_no_second_slot(interpreter, make_flash, serve, image: bytes, assert_refused) -> None:
    from kit.image.table import MICROPYTHON_OTA, PartitionTable

    table = PartitionTable(tuple(row for row in MICROPYTHON_OTA if row.label != "ota_1"))
    board = serve(interpreter, make_flash(table=table), password=PASSWORD)
    board.log_in(PASSWORD)
    assert_refused(board.get("/sectors", headers=board.bearer), 409, "UPDATE_ERROR_NO_PARTITION")
    assert_refused(patch(board, image, 2, If_Match='"x"'), 409, "UPDATE_ERROR_NO_PARTITION")
