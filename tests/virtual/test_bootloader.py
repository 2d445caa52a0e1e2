"""Slot selection, states and rollback, as the facts of ESP-IDF have them and truth/ shows them."""

import re
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from kit.image import otadata, standin
from kit.image.otadata import ABORTED, INVALID, NEW, PENDING_VERIFY, VALID
from kit.image.partition import Partition
from kit.image.table import MICROPYTHON_OTA, PartitionTable
from kit.virtual.board import _appimage
from kit.virtual.bootloader import Bootloader
from kit.virtual.flash import Flash

OTADATA, SLOTS = 0xD000, (0x10000, 0x190000)
BLANK = None
SMALL_SLOTS = tuple(Partition(f"ota_{n}", 0, 0x10 + n, 0x10000 + n * 0x150000, 0x150000) for n in range(2))
FACTORY = Partition("factory", 0, 0x00, 0x2B0000, 0x150000)
TEST = Partition("test", 0, 0x20, 0x2B0000, 0x150000)


class PowerCutError(Exception):
    pass


class FlashWithACut(Flash):
    """Loses its power after so many erases and writes."""

    left = sys.maxsize

    def erase(self, address: int, length: int) -> None:
        self._spend()
        super().erase(address, length)

    def write(self, address: int, data: bytes) -> None:
        self._spend()
        super().write(address, data)

    def _spend(self) -> None:
        if not self.left:
            raise PowerCutError
        self.left -= 1


class Chip:
    """A flash with apps in both slots, and the log of its last boot."""

    def __init__(self, flash: FlashWithACut) -> None:
        self.flash = flash
        self.log = ""
        flash.write(0x8000, MICROPYTHON_OTA.to_bytes())
        for address in SLOTS:
            flash.write(address, standin.app())

    def records(self, *records: tuple[int, int] | None) -> None:
        self.flash.erase(OTADATA, otadata.SIZE)
        for number, record in enumerate(records):
            if record:
                self.flash.write(OTADATA + number * 0x1000, otadata.pack(*record))

    def states(self) -> list[tuple[int, int] | None]:
        records = otadata.parse(self.flash.read(OTADATA, otadata.SIZE))
        return [None if record.seq == 0xFFFFFFFF else (record.seq, record.state) for record in records]

    def boot(self) -> int | None:
        lines: list[str] = []
        address = Bootloader(self.flash, lines.append).select()
        self.log = "".join(lines)
        return SLOTS.index(address) if address in SLOTS else address


@pytest.fixture
def chip(tmp_path: Path) -> Chip:
    flash = FlashWithACut(tmp_path / "flash.bin", pace=0)
    yield Chip(flash)
    flash.close()


def damage(chip: Chip, slot: int) -> None:
    chip.flash.write(SLOTS[slot] + 0x2000, bytes(16))


@pytest.mark.parametrize(
    ("before", "slot", "after"),
    [
        ((BLANK, BLANK), 0, [(1, VALID), BLANK]),
        (((1, VALID), BLANK), 0, [(1, VALID), BLANK]),
        (((1, VALID), (2, VALID)), 1, [(1, VALID), (2, VALID)]),
        (((3, VALID), (2, VALID)), 0, [(3, VALID), (2, VALID)]),
        (((1, VALID), (2, NEW)), 1, [(1, VALID), (2, PENDING_VERIFY)]),
        (((1, VALID), (2, PENDING_VERIFY)), 0, [(1, VALID), (2, ABORTED)]),
        (((1, VALID), (2, ABORTED)), 0, [(1, VALID), (2, ABORTED)]),
        (((1, VALID), (2, INVALID)), 0, [(1, VALID), (2, INVALID)]),
        (((3, PENDING_VERIFY), (2, NEW)), 1, [(3, ABORTED), (2, PENDING_VERIFY)]),  # truth D, r2
        (((2, NEW), (2, VALID)), 1, [(2, PENDING_VERIFY), (2, VALID)]),  # a tie: record 0 counts
        (((1, ABORTED), (2, ABORTED)), 0, [(1, ABORTED), (2, ABORTED)]),  # nothing valid: slot 0, records as they are
    ],
)
def test_slot_and_states(chip: Chip, before: tuple, slot: int, after: list):
    chip.records(*before)
    assert chip.boot() == slot
    assert chip.states() == after
    assert chip.log == ""


def test_an_update_that_is_never_confirmed_is_undone(chip: Chip):
    chip.records((1, VALID), (2, NEW))
    assert [chip.boot(), chip.boot(), chip.boot()] == [1, 0, 0]
    assert chip.states() == [(1, VALID), (2, ABORTED)]


def spoil(chip: Chip, *numbers: int) -> None:
    """Give records a wrong checksum."""
    for number in numbers:
        chip.flash.write(OTADATA + number * 0x1000 + 28, bytes(4))


def test_a_record_with_a_wrong_checksum_does_not_count(chip: Chip):
    chip.records((1, VALID), (2, VALID))
    spoil(chip, 1)
    assert chip.boot() == 0


def test_the_state_changes_and_nothing_else(chip: Chip):
    """Byte for byte: an unused label and a wrong checksum stay, since only the state was meant."""
    chip.records((1, VALID), (2, PENDING_VERIFY))
    chip.flash.write(OTADATA + 0x1004, b"label")
    spoil(chip, 1)
    before = chip.flash.read(OTADATA, otadata.SIZE)
    chip.boot()
    assert chip.flash.read(OTADATA, otadata.SIZE) == before[:0x1018] + b"\4\0\0\0" + before[0x101C:]


def test_initial_contents_are_replaced_whole(chip: Chip):
    chip.records((1, INVALID), BLANK)
    chip.flash.write(OTADATA + 4, b"label")
    spoil(chip, 0)
    chip.boot()
    assert chip.flash.read(OTADATA, otadata.SIZE) == otadata.pack(1, VALID).ljust(otadata.SIZE, b"\xff")


@pytest.mark.parametrize(
    ("before", "slots"),
    [
        ((BLANK, BLANK), [0, 0, 0]),
        (((1, VALID), (2, NEW)), [1, 0, 0]),  # not marked yet; blank; started and not confirmed
        (((1, VALID), (2, PENDING_VERIFY)), [0, 0, 0]),
        (((3, PENDING_VERIFY), (2, VALID)), [1, 1, 1]),
        (((3, PENDING_VERIFY), (2, NEW)), [1, 1, 1, 0, 0]),
    ],
)
def test_a_power_cut_at_any_write_of_the_bootloader(chip: Chip, before: tuple, slots: list[int]):
    """A record that was erased and not written again is blank, and the other one decides."""
    for operations, slot in enumerate(slots):
        chip.records(*before)
        chip.flash.left = operations
        with nullcontext() if operations == len(slots) - 1 else pytest.raises(PowerCutError):
            chip.boot()
        chip.flash.left = sys.maxsize
        assert chip.boot() == slot
        assert chip.log == ""


def test_a_damaged_app_is_passed_over_after_its_state_was_written(chip: Chip):
    chip.records((1, VALID), (2, NEW))
    damage(chip, 1)
    assert chip.boot() == 0  # truth F
    assert chip.states() == [(1, VALID), (2, PENDING_VERIFY)]
    assert "\x1b[0;31mE (" in chip.log
    assert "esp_image: Checksum failed. Calculated 0x" in chip.log
    assert chip.log.endswith("boot: OTA app partition slot 1 is not bootable\x1b[0m\r\n")


@pytest.mark.parametrize("length", [0x300000, 0xFFFFF0])
def test_a_segment_past_the_end_of_the_flash(chip: Chip, length: int):
    chip.flash.erase(SLOTS[1], 0x1000)
    chip.flash.write(SLOTS[1], standin.app()[:0x1C] + length.to_bytes(4, "little") + standin.app()[0x20:0x1000])
    chip.records((2, VALID), BLANK)
    assert chip.boot() == 0
    assert re.search(r"esp_image: bootloader_mmap\(0x\w+, 0x\w+\) failed", chip.log)
    assert "boot: OTA app partition slot 1 is not bootable" in chip.log


def test_two_damaged_apps_do_not_boot(chip: Chip):
    chip.records((1, VALID), BLANK)
    damage(chip, 0)
    damage(chip, 1)
    assert chip.boot() is None
    assert "slot 0 is not bootable" in chip.log
    assert "slot 1 is not bootable" in chip.log
    assert "No bootable app partitions in the partition table" in chip.log


def test_with_blank_otadata_the_slot_that_boots_is_recorded(chip: Chip):
    chip.records(BLANK, BLANK)
    damage(chip, 0)
    assert chip.boot() == 1
    assert chip.states() == [(2, VALID), BLANK]


def table(chip: Chip, data: bytes) -> None:
    chip.flash.erase(0x8000, 0x1000)
    chip.flash.write(0x8000, data)


def test_a_blank_table_has_nothing_to_boot(chip: Chip):
    table(chip, b"\xff" * 0xC00)
    assert chip.boot() is None
    assert "No bootable app partitions in the partition table" in chip.log


@pytest.mark.parametrize(
    ("offset", "data", "message"),
    [
        (0, b"\x00\x00", "flash_parts: partition 0 invalid magic number 0x0"),
        (0x45, b"\x00", "flash_parts: Incorrect MD5 checksum"),
    ],
)
def test_a_damaged_table_stops_the_boot(chip: Chip, offset: int, data: bytes, message: str):
    chip.flash.write(0x8000 + offset, data)
    assert chip.boot() is None
    assert message in chip.log
    assert "boot: Failed to verify partition table" in chip.log


def test_a_partition_past_the_end_of_the_flash_stops_the_boot(chip: Chip):
    rows = (*MICROPYTHON_OTA, Partition("vfs", 1, 0x81, 0x310000, 0xF1000))
    table(chip, PartitionTable(rows).to_bytes())
    assert chip.boot() is None
    assert "partition 5 invalid - offset 0x310000 size 0xf1000 exceeds flash chip size 0x400000" in chip.log


def test_small_otadata_stops_the_boot(chip: Chip):
    rows = [p if p.label != "otadata" else Partition("otadata", 1, 0, 0xD000, 0x1000) for p in MICROPYTHON_OTA]
    table(chip, PartitionTable(tuple(rows)).to_bytes())
    assert chip.boot() is None
    assert "ota_info partition size 4096 is too small (minimum 8192 bytes)" in chip.log


def test_otadata_out_of_line_is_written_where_it_is(chip: Chip):
    rows = [p if p.label != "otadata" else Partition("otadata", 1, 0, 0xD100, 0x2000) for p in MICROPYTHON_OTA]
    table(chip, PartitionTable(tuple(rows)).to_bytes())
    assert chip.boot() == 0
    assert chip.flash.read(0xD100, 32) == otadata.pack(1, VALID)


def test_without_otadata_the_factory_app_boots(chip: Chip):
    factory = Partition("factory", 0, 0, 0x10000, 0x180000)
    table(chip, PartitionTable((Partition("nvs", 1, 2, 0x9000, 0x6000), factory)).to_bytes())
    assert chip.boot() == 0  # at 0x10000


def test_without_otadata_and_factory_app_the_slots_are_tried_from_the_first(chip: Chip):
    table(chip, PartitionTable(tuple(p for p in MICROPYTHON_OTA if p.label != "otadata")).to_bytes())
    assert chip.boot() == 0
    damage(chip, 0)
    assert chip.boot() == 1
    assert chip.log.endswith("boot: OTA app partition slot 0 is not bootable\x1b[0m\r\n")


def test_records_that_name_no_valid_slot_fall_back(chip: Chip):
    chip.records((1, VALID), (2, VALID))
    spoil(chip, 0, 1)
    assert chip.boot() == 0
    assert "ota data partition invalid and no factory, will try all partitions" in chip.log


def with_third_app(chip: Chip, third: Partition, *bootable: Partition) -> None:
    """Make room for a third app beside two slots; only those named are bootable."""
    chip.flash.erase(0x10000, 0x3F0000)
    for partition in bootable:
        chip.flash.write(partition.offset, standin.app())
    table(chip, PartitionTable((*MICROPYTHON_OTA[:3], *SMALL_SLOTS, third)).to_bytes())


@pytest.mark.parametrize(
    ("records", "damaged", "message"),
    [
        ((BLANK, BLANK), (), ""),
        (((1, INVALID), (2, ABORTED)), (), ""),
        (((1, VALID), (2, VALID)), (0, 1), "ota data partition invalid, falling back to factory"),
    ],
)
def test_without_a_usable_record_the_factory_app_boots(chip: Chip, records: tuple, damaged: tuple, message: str):
    with_third_app(chip, FACTORY, *SMALL_SLOTS, FACTORY)
    chip.records(*records)
    spoil(chip, *damaged)
    before = chip.flash.read(OTADATA, otadata.SIZE)
    assert chip.boot() == FACTORY.offset
    assert chip.flash.read(OTADATA, otadata.SIZE) == before  # only slots are recorded
    assert message in chip.log
    assert bool(message) == bool(chip.log)


def test_the_search_goes_down_to_the_factory_app_before_it_goes_up(chip: Chip):
    with_third_app(chip, FACTORY, SMALL_SLOTS[1], FACTORY)
    chip.records((1, VALID), BLANK)
    assert chip.boot() == FACTORY.offset
    chip.flash.erase(FACTORY.offset, 0x1000)
    assert chip.boot() == SMALL_SLOTS[1].offset
    assert "OTA app partition slot 0 is not bootable" in chip.log.partition("Factory app partition is not bootable")[0]


def test_the_test_app_comes_last(chip: Chip):
    with_third_app(chip, TEST, SMALL_SLOTS[0], TEST)
    chip.records((2, VALID), BLANK)
    assert chip.boot() == 0
    chip.flash.erase(SMALL_SLOTS[0].offset, 0x1000)
    assert chip.boot() == TEST.offset
    assert "\x1b[0;33mW (" in chip.log
    assert chip.log.endswith("boot: Falling back to test app as only bootable partition\x1b[0m\r\n")


def test_a_slot_above_their_number_is_never_tried(chip: Chip):
    rows = (*MICROPYTHON_OTA[:3], Partition("ota_1", 0, 0x11, 0x190000, 0x180000))
    table(chip, PartitionTable(rows).to_bytes())
    assert chip.boot() is None
    assert "slot" not in chip.log


def test_a_firmware_bin_in_a_slot_does_not_boot(chip: Chip, firmware_bin: bytes):
    """The trap: the bootloader at its head is a valid image, so that set_boot takes it."""
    chip.flash.erase(SLOTS[1], 0x180000)
    chip.flash.write(SLOTS[1], firmware_bin)
    assert _appimage.verify(chip.flash.read, SLOTS[1], 0x180000) < 0x7000
    chip.records((1, VALID), (2, NEW))
    assert chip.boot() == 0
    assert "esp_image: Segment 0 0x3fff0030-0x3fff134c invalid: overlaps bootloader data" in chip.log
    assert chip.log.endswith("boot: OTA app partition slot 1 is not bootable\x1b[0m\r\n")
    assert chip.states() == [(1, VALID), (2, PENDING_VERIFY)]
    assert chip.boot() == 0
    assert chip.states() == [(1, VALID), (2, ABORTED)]
