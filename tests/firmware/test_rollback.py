"""POST /rollback on both interpreters."""

import pytest

from kit.image import otadata
from kit.image.table import MICROPYTHON_OTA, PartitionTable

PASSWORD = "a password of our own"
NEW, PENDING_VERIFY, VALID = otadata.NEW, otadata.PENDING_VERIFY, otadata.VALID
OTA_1 = 0x190000
RECORDS = [(1, VALID), (2, VALID)]


@pytest.fixture
def confirmed(interpreter, make_flash, make_image, serve):
    """Function that starts a board that runs 1.1.0 in ota_1, confirmed, and has something in ota_0; logged in."""

    def start(slot_0: bytes | None = None, **options):
        flash = make_flash(*RECORDS, slot_0=slot_0, slot_1=make_image("1.1.0").data)
        board = serve(interpreter, flash, password=PASSWORD, running=OTA_1, **options)
        board.log_in(PASSWORD)
        return board

    return start


def test_rollback(confirmed) -> None:
    """The other slot becomes the boot slot, on probation; otadata keeps the way back."""
    board = confirmed()
    response = board.post("/rollback", headers=board.bearer)
    assert (response.status_code, response.json()) == (200, {"slot": "ota_0", "version": "1.0.0"})
    assert board.wait() == 42, board.output()
    assert "Rebooting...\nRESET 2\n" in board.output()
    assert board.records() == [(3, NEW), (2, VALID)]


def test_nothing_else_begins_before_the_restart(confirmed, make_image, assert_refused) -> None:
    board = confirmed()
    assert board.post("/rollback", headers=board.bearer).status_code == 200
    assert_refused(board.update(make_image("1.2.0").data), 409, "UPDATE_ERROR_BUSY")
    assert_refused(board.post("/rollback", headers=board.bearer), 409, "UPDATE_ERROR_BUSY")
    assert board.wait() == 42
    assert board.records() == [(3, NEW), (2, VALID)]


def damaged(image, at: int) -> bytes:
    data = bytearray(image.data)
    data[at] ^= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("slot_0", "reason"),
    [
        (lambda image: b"", "no app image"),
        (lambda image: image.data[:-1000], "SHA-256 of the application is wrong"),
        (lambda image: image.data[: image.app_length], "no application"),
        (lambda image: damaged(image, image.size - 1), "SHA-256 of the application is wrong"),
        (lambda image: damaged(image, 0x1000), "ESP_ERR_OTA_VALIDATE_FAILED"),
    ],
    ids=["blank", "cut short", "no application", "application damaged", "app image damaged"],
)
def test_a_slot_that_cannot_be_started(slot_0, reason: str, confirmed, make_image, assert_refused) -> None:
    board = confirmed(slot_0(make_image("1.0.0")))
    flash = board.flash.read_bytes()
    response = board.post("/rollback", headers=board.bearer)
    assert_refused(response, 409, "UPDATE_ERROR_ACTIVATE")
    assert reason in response.json()["message"]
    assert board.flash.read_bytes() == flash
    assert board.progress()["phase"] == "idle"
    assert board.update(make_image("1.2.0").data).status_code == 200


def test_without_a_token(confirmed, assert_refused) -> None:
    board = confirmed()
    for headers in ({}, {"Authorization": "Bearer " + "0" * 32}):
        assert_refused(board.post("/rollback", headers=headers), 401, "UNAUTHORIZED")
    assert board.records() == RECORDS


def test_while_an_update_runs(confirmed, make_image, assert_refused) -> None:
    board = confirmed()
    image = make_image("1.2.0")
    with board.start_upload(image.size, image.data[:5000]) as upload:
        board.wait_until(lambda progress: progress["phase"] == "write")
        assert_refused(board.post("/rollback", headers=board.bearer), 409, "UPDATE_ERROR_BUSY")
        assert board.records() == RECORDS
        upload.sendall(image.data[5000:])
        assert b" 200 " in upload.makefile("rb").readline()


def test_while_the_running_version_is_unconfirmed(interpreter, make_flash, make_image, serve, assert_refused) -> None:
    # The bootloader refused ota_1 and runs ota_0, which was not confirmed either: it does not confirm here.
    records = [(1, PENDING_VERIFY), (2, PENDING_VERIFY)]
    board = serve(interpreter, make_flash(*records, slot_1=make_image("1.1.0").data), password=PASSWORD)
    board.log_in(PASSWORD)
    assert_refused(board.post("/rollback", headers=board.bearer), 409, "UPDATE_ERROR_UNCONFIRMED")
    assert board.records() == records


def test_without_a_second_slot(interpreter, make_flash, serve, assert_refused) -> None:
    table = PartitionTable(tuple(row for row in MICROPYTHON_OTA if row.label != "ota_1"))
    board = serve(interpreter, make_flash(table=table), password=PASSWORD)
    board.log_in(PASSWORD)
    assert_refused(board.post("/rollback", headers=board.bearer), 409, "UPDATE_ERROR_NO_PARTITION")
    assert board.records()[0] == (1, VALID)
