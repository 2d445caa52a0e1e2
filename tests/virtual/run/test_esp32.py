"""esp32.Partition of the run mode, at the level of flash: what truth/rollback-scenarios.txt saw on real builds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kit.image import otadata
from kit.image.otadata import ABORTED, NEW, PENDING_VERIFY, UNDEFINED, VALID
from kit.image.standin import app

OTADATA, OTA_0, OTA_1, VFS = 0xD000, 0x10000, 0x190000, 0x310000
BLANK = (0xFFFFFFFF, UNDEFINED)
SLOTS = {OTA_0: "ota_0", OTA_1: "ota_1"}
ROWS = {
    "ota_0": (0, 16, 65536, 1572864, "ota_0", False),
    "ota_1": (0, 17, 1638400, 1572864, "ota_1", False),
    "nvs": (1, 2, 36864, 16384, "nvs", False),
    "otadata": (1, 0, 53248, 8192, "otadata", False),
    "phy_init": (1, 1, 61440, 4096, "phy_init", False),
    "vfs": (1, 129, 3211264, 983040, "vfs", False),
}
VALIDATE_FAILED = "OSError(-5379, 'ESP_ERR_OTA_VALIDATE_FAILED')"
GUARD = "from esp32 import Partition as P\ndef t(f, *a):\n  try: return f(*a)\n  except OSError as e: return e\n"


class Board:
    """Boots run mode again and again on one flash, with the bootloader's changes of the records in between."""

    def __init__(self, start: Callable, flash: bytearray) -> None:
        self.flash = flash
        self._start = start
        self._write(0, (1, VALID))  # what the bootloader writes at the first boot
        image = app()
        flash[OTA_1 : OTA_1 + len(image)] = image
        self.reset(cause=1)

    @property
    def records(self) -> list[tuple[int, int]]:
        return [(record.seq, record.state) for record in otadata.parse(self.flash[OTADATA : OTADATA + otadata.SIZE])]

    def _write(self, number: int, record: tuple[int, int]) -> None:
        start = OTADATA + otadata.RECORD_OFFSETS[number]
        self.flash[start : start + 32] = otadata.pack(*record)

    def reset(self, cause: int = 2) -> None:
        """What the bootloader does before it loads an app: expire what did not confirm, follow the higher number."""
        for number, (seq, state) in enumerate(self.records):
            if state == PENDING_VERIFY:
                self._write(number, (seq, ABORTED))
        good = [(seq, -number) for number, (seq, state) in enumerate(self.records) if state in (NEW, VALID)]
        seq, number = max(good)
        if self.records[-number][1] == NEW:
            self._write(-number, (seq, PENDING_VERIFY))
        self.running = (OTA_0, OTA_1)[(seq - 1) % 2]
        self.life = self._start(self.flash, running=self.running, reset_cause=cause)
        self.life.prompt()
        self.life.enter_raw()

    def call(self, expression: str) -> str:
        self.life.run(GUARD)
        return self.life.value(expression)

    def boots(self) -> tuple[str, str]:
        """Labels of RUNNING and BOOT."""
        return tuple(self.call(f"P(P.{which}).info()[4]").strip("'") for which in ("RUNNING", "BOOT"))


@pytest.fixture
def board(start: Callable, flash: bytearray) -> Board:
    return Board(start, flash)


def test_an_unconfirmed_update_is_rolled_back_and_can_be_tried_again(board: Board):  # A
    assert board.boots() == ("ota_0", "ota_0")
    assert board.call("t(P('ota_1').set_boot)") == "None"
    assert board.records == [(1, VALID), (2, NEW)]
    assert board.boots() == ("ota_0", "ota_1")
    board.reset()
    assert (board.boots(), board.records) == (("ota_1", "ota_1"), [(1, VALID), (2, PENDING_VERIFY)])
    board.reset()
    assert (board.boots(), board.records) == (("ota_0", "ota_0"), [(1, VALID), (2, ABORTED)])
    board.call("t(P('ota_1').set_boot)")
    assert board.records == [(1, VALID), (2, NEW)]
    board.reset()
    for _ in range(2):  # confirming twice changes nothing more
        assert board.call("P.mark_app_valid_cancel_rollback()") == "None"
        assert board.records == [(1, VALID), (2, VALID)]
    board.reset()
    assert board.boots() == ("ota_1", "ota_1")


def test_a_power_cycle_rolls_back_too(board: Board):  # B
    board.call("P('ota_1').set_boot()")
    for states, slot in (((VALID, PENDING_VERIFY), "ota_1"), ((VALID, ABORTED), "ota_0")):
        board.reset(cause=1)
        assert board.boots() == (slot, slot)
        assert tuple(state for _, state in board.records) == states
        assert board.call("__import__('machine').reset_cause()") == "1"


def test_a_soft_reset_does_not_count(board: Board):  # C
    board.call("P('ota_1').set_boot()")
    board.reset()
    board.life.send(b"\x04")
    board.life.until(b"soft reboot\r\nraw REPL; CTRL-B to exit\r\n>")
    assert board.call("__import__('machine').reset_cause()") == "5"
    assert (board.boots(), board.records) == (("ota_1", "ota_1"), [(1, VALID), (2, PENDING_VERIFY)])
    board.call("P.mark_app_valid_cancel_rollback()")
    assert board.records == [(1, VALID), (2, VALID)]


def test_set_boot_back_to_the_running_slot(board: Board):  # D
    board.call("P('ota_1').set_boot()")
    board.call("P('ota_0').set_boot()")
    assert (board.boots(), board.records) == (("ota_0", "ota_0"), [(3, NEW), (2, NEW)])
    board.reset()
    assert (board.boots(), board.records) == (("ota_0", "ota_0"), [(3, PENDING_VERIFY), (2, NEW)])
    board.reset()
    assert (board.boots(), board.records) == (("ota_1", "ota_1"), [(3, ABORTED), (2, PENDING_VERIFY)])


def test_set_boot_twice_writes_both_records(board: Board):
    board.call("P('ota_1').set_boot()")
    board.call("P('ota_1').set_boot()")
    assert board.records == [(2, NEW), (2, NEW)]


@pytest.mark.parametrize("offset", [0, 1, 12, 0x100, 700_000, len(app()) - 33, len(app()) - 1])
def test_set_boot_refuses_a_damaged_image(board: Board, offset: int):  # E
    board.flash[OTA_1 + offset] ^= 0x40
    assert board.call("t(P('ota_1').set_boot)") == VALIDATE_FAILED
    assert (board.boots(), board.records) == (("ota_0", "ota_0"), [(1, VALID), BLANK])
    board.flash[OTA_1 + offset] ^= 0x40
    assert board.call("t(P('ota_1').set_boot)") == "None"
    board.call("P('ota_1').ioctl(6, 0)")
    assert board.call("t(P('ota_1').set_boot)") == VALIDATE_FAILED
    assert board.records == [(1, VALID), (2, NEW)]


def test_a_blind_confirm_marks_the_record_and_not_the_running_slot(board: Board):  # F
    board.call("P('ota_1').set_boot()")
    board._write(1, (2, PENDING_VERIFY))  # the bootloader found ota_1 damaged, after this, and started ota_0
    assert board.boots() == ("ota_0", "ota_1")
    board.call("P.mark_app_valid_cancel_rollback()")
    assert board.records == [(1, VALID), (2, VALID)]


def test_rows_and_look_up(board: Board):
    assert board.call("[p.info() for p in P.find()]") == repr([ROWS["ota_0"], ROWS["ota_1"]])
    data = [ROWS[label] for label in ("nvs", "otadata", "phy_init", "vfs")]
    assert board.call("[p.info() for p in P.find(P.TYPE_DATA)]") == repr(data)
    assert board.call("[p.info() for p in P.find(1, label='nvs')]") == repr([ROWS["nvs"]])
    assert board.call("P.find(1, 0x80)") == "[]"
    assert board.call("P('ota_0').get_next_update().info()[4], P('ota_1').get_next_update().info()[4]") == repr(
        ("ota_1", "ota_0")
    )
    assert board.call("t(P, 'nothing')") == "OSError(2,)"
    text = "<Partition type=0, subtype=17, address=1638400, size=1572864, label=ota_1, encrypted=0>"
    assert board.call("P('ota_1')") == text


def test_a_table_without_its_md5_row_is_no_table(start: Callable, flash: bytearray):
    flash[0x8000 + 32 * 5 + 16] ^= 1
    life = start(flash)
    life.prompt()
    life.enter_raw()
    assert life.run("from esp32 import Partition as P; print(P.find(), P.find(1))") == ("[] []\n", "")


def test_blocks(board: Board):
    board.flash[OTA_1 : OTA_1 + 0x3000] = b"\0" * 0x3000
    assert (
        board.call("P('ota_1').ioctl(4, 0), P('ota_1').ioctl(5, 0), P('ota_1', 512).ioctl(4, 0)") == "(384, 4096, 3072)"
    )
    board.call("P('ota_1').writeblocks(1, b'new' + b'\\xff' * 4093)")  # erases
    assert board.flash[OTA_1 + 0xFFF : OTA_1 + 0x1004] == b"\0new\xff"
    board.call("P('ota_1').writeblocks(1, b'\\x0f', 3)")  # does not erase
    board.call("P('ota_1').writeblocks(1, b'\\xf3', 3)")
    assert board.flash[OTA_1 + 0x1000 : OTA_1 + 0x1005] == b"new\x03\xff"
    board.call("P('ota_1', 512).writeblocks(10, b's' * 1024)")  # keeps the rest of the sector
    assert board.flash[OTA_1 + 0x1000 : OTA_1 + 0x1005] == b"new\x03\xff"
    assert board.flash[OTA_1 + 0x13FF : OTA_1 + 0x1801] == b"\xff" + b"s" * 1024 + b"\xff"
    assert board.call("P('ota_1').ioctl(6, 1), P('ota_1', 512).ioctl(6, 1)") == "(0, -22)"
    assert board.flash[OTA_1 + 0x1000 : OTA_1 + 0x2000] == b"\xff" * 0x1000
    assert board.flash[OTA_1 + 0x2000] == 0
    assert board.call("[b := bytearray(3), P('ota_0').readblocks(0, b, 4), b][2]") == repr(bytearray(app()[4:7]))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("P('ota_1').writeblocks, 0, bytes(100)", "OSError(-260, 'ESP_ERR_INVALID_SIZE')"),
        ("P('ota_1').readblocks, 383, bytearray(4097)", "OSError(-260, 'ESP_ERR_INVALID_SIZE')"),
        ("P('ota_1').readblocks, 385, bytearray(1)", "OSError(-258, 'ESP_ERR_INVALID_ARG')"),
        ("P('ota_1').ioctl, 6, 384", "OSError(-260, 'ESP_ERR_INVALID_SIZE')"),
        ("P('nvs').set_boot", VALIDATE_FAILED),
    ],
)
def test_what_the_chip_refuses(board: Board, call: str, error: str):
    assert board.call(f"t({call})") == error


@pytest.mark.parametrize("call", ["writeblocks(0, bytes(4096))", "ioctl(6, 3)", "writeblocks(0, b'x', 0)"])
def test_writing_the_running_slot_ends_in_a_reset(board: Board, call: str):
    before = bytes(board.flash)
    board.life.send(f"from esp32 import Partition\nPartition(Partition.RUNNING).{call}\x04".encode())
    assert board.life.wait_for_reset() == 2
    assert b"abort() was called" in board.life.until(b"Rebooting...\r\n")
    assert board.flash == before


def test_without_valid_records(board: Board):
    board._write(0, (1, ABORTED))
    assert board.call("t(P.mark_app_valid_cancel_rollback)") == "OSError(1, 'ESP_FAIL')"
    assert board.call("P(P.BOOT).info()[4]") == "'ota_0'"
    board.call("P('ota_1').set_boot()")
    assert board.records == [(2, NEW), BLANK]


def test_without_otadata(start: Callable, flash: bytearray):
    flash[0x8000 + 32 : 0x8000 + 64] = flash[0x8000 : 0x8000 + 32]  # a second nvs row in its place
    import hashlib

    flash[0x8000 + 176 : 0x8000 + 192] = hashlib.md5(flash[0x8000 : 0x8000 + 160]).digest()
    life = start(flash)
    life.prompt()
    life.enter_raw()
    life.run(GUARD)
    assert life.value("t(P, P.BOOT)") == "OSError(2,)"
    assert life.value("t(P('ota_1').set_boot)") == VALIDATE_FAILED
    assert life.value("t(P('ota_0').set_boot)") == "OSError(-261, 'ESP_ERR_NOT_FOUND')"
    assert life.value("t(P.mark_app_valid_cancel_rollback)") == "OSError(-261, 'ESP_ERR_NOT_FOUND')"


def test_a_flash_that_fails_raises(board: Board):
    board.life.fail_writes = True
    assert board.call("t(P('ota_1').ioctl, 6, 0)") == "OSError(-24577, 'ESP_ERR_FLASH_OP_FAIL')"
    assert board.call("t(P('ota_1').writeblocks, 0, b'x', 0)") == "OSError(-24577, 'ESP_ERR_FLASH_OP_FAIL')"


def test_nvs_survives(board: Board):
    board.life.run("from esp32 import NVS\nn = NVS('kit')\nn.set_i32('n', 7)\nn.commit()")
    board.reset()
    assert board.call("__import__('esp32').NVS('kit').get_i32('n')") == "7"
