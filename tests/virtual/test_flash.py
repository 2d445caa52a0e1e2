import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.board.board import Board
from kit.errors import BoardError, UpdateError
from kit.faults.flash import half_write, lying_read, power_cut, stuck_bit, stuck_sector
from kit.image.table import MICROPYTHON_OTA
from kit.image.update_image import UpdateImage, build
from kit.virtual.flash import SECTOR, SIZE, Flash, FlashInUseError, NoPowerError


@pytest.fixture
def flash(tmp_path: Path) -> Flash:
    flash = Flash(tmp_path / "flash.bin", pace=0)
    yield flash
    flash.close()


def test_a_new_flash_is_erased(flash: Flash):
    assert flash.read(0, SIZE) == b"\xff" * SIZE


def test_a_write_only_clears_bits(flash: Flash):
    flash.write(10, b"\xf0\x0f")
    flash.write(10, b"\x3c\xff")
    assert flash.read(9, 4) == b"\xff\x30\x0f\xff"


def test_erase_takes_whole_sectors_and_no_more(flash: Flash):
    flash.write(0, bytes(3 * SECTOR))
    flash.erase(SECTOR, SECTOR)
    assert flash.read(0, 3 * SECTOR) == bytes(SECTOR) + b"\xff" * SECTOR + bytes(SECTOR)


@pytest.mark.parametrize(("address", "length"), [(1, SECTOR), (SECTOR, 1), (0, SECTOR + 1)])
def test_erase_refuses_parts_of_sectors(flash: Flash, address: int, length: int):
    with pytest.raises(OSError, match="not whole sectors"):
        flash.erase(address, length)


@pytest.mark.parametrize(("address", "length"), [(SIZE, 1), (SIZE - 1, 2), (-1, 1)])
def test_nothing_outside_is_read_or_written(flash: Flash, address: int, length: int):
    with pytest.raises(OSError, match="outside the flash"):
        flash.read(address, length)
    with pytest.raises(OSError, match="outside the flash"):
        flash.write(address, bytes(length))


def test_operations_are_counted(flash: Flash):
    flash.erase(0, 2 * SECTOR)
    flash.write(0, b"x")
    flash.read(0, 1)
    assert (flash.erases, flash.writes, flash.reads) == (2, 1, 1)


def test_what_was_written_outlives_a_killed_process(tmp_path: Path):
    path = tmp_path / "flash.bin"
    code = (
        "import os, sys; from pathlib import Path; from kit.virtual.flash import Flash;"
        "Flash(Path(sys.argv[1]), 0).write(100, b'kept'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False)
    flash = Flash(path, pace=0)
    assert flash.read(100, 4) == b"kept"
    flash.close()


def test_a_file_belongs_to_one_board(tmp_path: Path):
    flash = Flash(tmp_path / "flash.bin", pace=0)
    with pytest.raises(FlashInUseError):
        Flash(tmp_path / "flash.bin", pace=0)
    flash.close()


@pytest.mark.parametrize("data", [b"dear", b"\xff" * (SIZE - 1) + b"\0\0", b"\xff" * (SIZE + 1), b"\xff" * (SIZE // 4)])
def test_a_file_of_another_size_is_left_alone(tmp_path: Path, data: bytes):
    path = tmp_path / "letter.txt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"{len(data)} bytes long"):
        Flash(path, pace=0)
    assert path.read_bytes() == data


@pytest.mark.parametrize("length", [1, SECTOR, SIZE - 1])
def test_a_file_whose_making_was_cut_short_is_made_whole(tmp_path: Path, length: int):
    (tmp_path / "flash.bin").write_bytes(b"\xff" * length)
    flash = Flash(tmp_path / "flash.bin", pace=0)
    assert flash.read(0, SIZE) == b"\xff" * SIZE
    flash.close()


def test_modelled_time_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    waited = []
    monkeypatch.setattr("kit.virtual.flash.time.sleep", waited.append)
    monkeypatch.setattr("kit.virtual.flash.time.monotonic", lambda: sum(waited))
    flash = Flash(tmp_path / "flash.bin", pace=2)
    flash.erase(0, SECTOR)
    flash.write(0, bytes(SECTOR))
    assert sum(waited) == pytest.approx(2 * (0.037142 + 0.006367))
    flash.close()


def test_two_boards_that_start_at_once_do_not_harm_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "flash.bin"
    first = Flash(path, pace=0)
    first.write(0, b"mine")
    monkeypatch.setattr(Path, "exists", lambda self: False)  # what the second one saw a moment ago
    with pytest.raises(FlashInUseError):
        Flash(path, pace=0)
    assert first.read(0, 4) == b"mine"
    assert path.stat().st_size == SIZE
    first.close()


def test_a_power_cut_comes_after_so_many_operations(flash: Flash):
    cuts = []
    flash.on_cut = lambda: cuts.append(flash.powered)
    flash.write(0, b"before")
    flash.plant("power_cut", 2, on=True)
    flash.erase(SECTOR, SECTOR)
    flash.read(0, 1)  # does not count
    flash.write(SECTOR, b"done")
    for act in (lambda: flash.write(SECTOR, b"\0"), lambda: flash.erase(SECTOR, SECTOR), lambda: flash.read(0, 1)):
        with pytest.raises(NoPowerError):
            act()
    assert cuts == [False]
    flash.powered = True
    assert flash.read(SECTOR, 4) == b"done"
    flash.write(SECTOR, b"\0")  # it was cut once


def test_a_power_cut_in_the_middle_of_an_erase_of_several_sectors(flash: Flash):
    flash.write(0, bytes(3 * SECTOR))
    flash.plant("power_cut", 2, on=True)
    with pytest.raises(NoPowerError):
        flash.erase(0, 3 * SECTOR)
    flash.powered = True
    assert flash.read(0, 3 * SECTOR) == b"\xff" * 2 * SECTOR + bytes(SECTOR)


def test_half_a_write(flash: Flash):
    flash.plant("half_write", 0, on=True)
    with pytest.raises(NoPowerError):
        flash.write(0, b"whole")
    flash.powered = True
    assert flash.read(0, 5) == b"wh\xff\xff\xff"


def test_a_torn_write(flash: Flash):
    """The next one in that sector, whatever is written elsewhere before."""
    flash.plant("torn_write", SECTOR, on=True)
    flash.write(0, b"whole")
    flash.write(2 * SECTOR, b"whole")
    flash.erase(SECTOR, SECTOR)
    with pytest.raises(NoPowerError):
        flash.write(SECTOR + 8, b"half")
    flash.powered = True
    assert flash.read(SECTOR + 8, 4) == b"ha\xff\xff"
    flash.write(SECTOR, b"whole")  # once


def test_half_a_write_that_is_an_erase_does_nothing(flash: Flash):
    flash.write(0, bytes(SECTOR))
    flash.plant("half_write", 0, on=True)
    with pytest.raises(NoPowerError):
        flash.erase(0, SECTOR)
    flash.powered = True
    assert flash.read(0, SECTOR) == bytes(SECTOR)


def test_a_sector_that_is_not_erased(flash: Flash):
    flash.write(0, bytes(3 * SECTOR))
    flash.plant("stuck_sector", SECTOR + 5, on=True)
    flash.erase(0, 3 * SECTOR)
    assert flash.read(0, 3 * SECTOR) == b"\xff" * SECTOR + bytes(SECTOR) + b"\xff" * SECTOR
    flash.plant("stuck_sector", SECTOR + 5, on=False)
    flash.erase(0, 3 * SECTOR)
    assert flash.read(0, 3 * SECTOR) == b"\xff" * 3 * SECTOR


def test_a_bit_that_is_not_programmed(flash: Flash):
    flash.plant("stuck_bit", 1, on=True)
    flash.write(0, b"\xff\xff")
    flash.write(0, b"\x0f\x4b\xf0")
    assert flash.read(0, 3) == b"\x0f\x4f\xf0"
    flash.write(1, b"\0")
    assert flash.read(0, 3) == b"\x0f\x04\xf0"  # the same bit again
    flash.plant("stuck_bit", 1, on=False)
    flash.write(1, b"\0")
    assert flash.read(0, 3) == b"\x0f\0\xf0"


def test_a_read_that_lies(flash: Flash):
    flash.write(0, b"truth")
    flash.plant("lying_read", 1, on=True)
    assert (flash.read(0, 5), flash.read(1, 1), flash.read(2, 3)) == (b"tsuth", b"s", b"uth")
    flash.plant("lying_read", 1, on=False)
    assert flash.read(0, 5) == b"truth"


@pytest.mark.parametrize("fault", [("fire", 0), ("power_cut", -1), ("stuck_bit", SIZE), ("stuck_bit", True), ([], 0)])
def test_faults_that_make_no_sense(flash: Flash, fault: tuple):
    with pytest.raises(ValueError, match="there is no fault"):
        flash.plant(*fault, on=True)
    flash.erase(0, SECTOR)
    flash.write(0, b"\0")
    assert flash.read(0, 1) == b"\0"


OTA_0, OTA_1 = 0x10000, 0x190000


@pytest.fixture(scope="session")
def newer() -> UpdateImage:
    return build("1.1.0")


def version(installed) -> str:
    info = installed.client().info()
    return f"{info['version']} {info['running']} {info['image_state']}"


def test_power_cut_during_an_upload(installed, newer: UpdateImage, wait_until: Callable):
    board, ota = installed.board(), installed.client()
    ota.login()
    fault = power_cut(board, 120)
    assert repr(fault) == "the power goes after 120 operations of the flash"
    with pytest.raises(BoardError):
        ota.upload(newer)
    with pytest.raises(BoardError, match="prints nothing"):
        board.reset()  # no reset line helps
    fault.remove()
    assert "URL: " in board.reset()
    assert version(installed) == "1.0.0 ota_0 VALID"
    ota.login()
    ota.upload(newer)
    assert version(installed) == "1.1.0 ota_1 VALID"


def test_waiting_for_a_power_cut(installed):
    board, ota = installed.board(), installed.client()
    with power_cut(board, 0) as fault:
        with pytest.raises(BoardError, match=r"^The power has not gone within 0\.1 s\."):
            fault.wait(0.1)
        with pytest.raises(BoardError):
            ota.login()  # the board writes that down
        fault.wait()
    assert "URL: " in board.reset()


def test_power_cut_while_the_kit_flashes(start: Callable, newer: UpdateImage):
    board = start().board()
    with power_cut(board, 100), pytest.raises(BoardError):
        board.flash(newer)
    board.flash(newer)
    assert board.read(OTA_0, newer.size) == newer.data


def test_a_power_cut_that_never_came(installed):
    board = installed.board()
    with power_cut(board, 1000):
        assert version(installed) == "1.0.0 ota_0 VALID"
    assert version(installed) == "1.0.0 ota_0 VALID"  # it did not restart either: there is no wait


@pytest.mark.parametrize(
    ("plant", "text"), [(stuck_bit, "a bit at {:#x} stays 1"), (lying_read, "a bit at {:#x} reads wrong")]
)
def test_an_update_into_a_flash_that_fails(installed, newer: UpdateImage, plant: Callable, text: str):
    """The driver reports nothing; the updater reads back, and refuses."""
    board, ota = installed.board(), installed.client()
    ota.login()
    address = OTA_1 + len(newer.data.rstrip(b"\xff")) - 1
    with plant(board, address) as fault:
        assert repr(fault) == text.format(address)
        with pytest.raises(UpdateError, match="UPDATE_ERROR_WRITE"):
            ota.upload(newer)
        assert version(installed) == "1.0.0 ota_0 VALID"
    ota.upload(newer)
    assert version(installed) == "1.1.0 ota_1 VALID"


def test_a_sector_that_stays_as_it_was(installed, newer: UpdateImage):
    ota = installed.client()
    for image, running in ((newer, "ota_1"), (build("1.2.0"), "ota_0")):
        ota.login()
        ota.upload(image)
        assert f" {running} " in version(installed)
    ota.login()
    with stuck_sector(installed.board(), OTA_1 + 0x30) as fault:
        assert repr(fault) == "the sector at 0x190030 is not erased"
        with pytest.raises(UpdateError, match="UPDATE_ERROR_WRITE"):
            ota.upload(build("1.3.0"))
    assert version(installed) == "1.2.0 ota_0 VALID"


@pytest.mark.parametrize("plant", [power_cut, stuck_sector, stuck_bit, lying_read])
def test_a_real_board_has_no_faults_on_request(plant: Callable):
    with pytest.raises(BoardError, match="virtual"):
        plant(Board("/dev/null"), 0)


def test_half_a_write_needs_a_partition_of_a_virtual_board():
    with pytest.raises(BoardError, match="virtual"):
        half_write(Board("/dev/null"), MICROPYTHON_OTA.find("otadata"))
    for place in (0, "otadata", None):
        with pytest.raises(BoardError, match="is no partition"):
            half_write(Board("/dev/null"), place)


@pytest.mark.parametrize("place", [-1, SIZE, "here", None, 0.5])
def test_a_place_that_does_not_exist(start: Callable, place: object):
    with pytest.raises(BoardError, match="refuses"):
        stuck_bit(start().board(), place)
