import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import kit
from kit.board.board import Board
from kit.board.boot_log import CORRUPT
from kit.board.cable import disturbed
from kit.board.contents import Files, read_contents
from kit.board.control import ask
from kit.board.loader import download_mode
from kit.board.port import open_port
from kit.errors import AddressError, BoardError, ImageError, KitError, SettingsError, TableError
from kit.image.base import BaseImage
from kit.image.partition import Partition
from kit.image.release import base_image
from kit.image.table import PartitionTable
from kit.image.update_image import UpdateImage, build
from kit.virtual.control import register_path
from kit.virtual.flash import Flash, FlashInUseError


def test_connect_says_which_board_and_why(board: Board, capsys: pytest.CaptureFixture):
    kit.connect()
    kit.connect("virtual")
    assert capsys.readouterr().out == "virtual board (KIT_BOARD)\nvirtual board (asked for)\n"


def test_a_second_connect_joins_the_same_board(board: Board):
    assert kit.connect().address == board.address


def test_from_blank_to_serving(board: Board):
    image = build("1.0.0", board=board)
    assert "invalid header: 0xffffffff" in board.reset()
    board.flash(image)
    contents = board.partitions()
    assert [partition.label for partition in contents] == ["nvs", "otadata", "phy_init", "ota_0", "ota_1", "vfs"]
    assert contents.used == {"ota_0": image.size, "ota_1": 0}
    assert contents.is_virtual
    assert board.read(0x10000, image.size) == image.data
    board.install()
    log = board.reset()
    assert "Firmware Version: 1.0.0" in log
    assert "virtual-password" not in log
    assert kit.OtaClient(board.url).info()["version"] == "1.0.0"


def test_flashing_again_keeps_settings_and_files(board: Board):
    board.ready(2)
    board.flash(build("2.0.0", board=board))
    assert kit.OtaClient(board.url).info()["version"] == "2.0.0"


def test_erase_takes_settings_and_files_with_it(board: Board):
    board.ready(2)
    board.flash(build("2.0.0", board=board), erase=True)
    assert "Firmware Version" not in board.reset()


def test_ready_does_nothing_on_a_ready_board(board: Board, monkeypatch: pytest.MonkeyPatch):
    board.ready(2)
    monkeypatch.setattr(Board, "flash", lambda *_: pytest.fail("it flashed again"))
    board.ready(2)


@pytest.mark.parametrize("lesson", [0, 99, "2", None, 1.5])
def test_ready_for_a_lesson_that_there_is_not(board: Board, tmp_path: Path, lesson: object):
    with pytest.raises(BoardError, match="There is no lesson"):
        board.ready(lesson)
    assert (tmp_path / "flash.bin").read_bytes() == b"\xff" * 0x400000


def test_a_program_that_only_prints_does_not_lock_the_board(board: Board, tmp_path: Path):
    app = kit.new_app(tmp_path / "app")
    (app / "main.py").write_text("def run():\n    while True:\n        print('hello world')\n")
    board.ready(2)
    board.flash(build("2.0.0", board=board, app=app))
    assert board.reset().count("hello world\r\n") > 100
    board.ready(2)


def test_ready_on_a_chip_that_another_project_has_used(board: Board, tmp_path: Path):
    board.flash(build("1.0.0", board=board))
    with open_port(board.address) as port, download_mode(port) as loader:
        loader.write([(0x310000, b"SPIFFS" * 1000)])
    assert CORRUPT in board.reset()
    for verb in (board.install, board.files):
        with pytest.raises(BoardError, match=r"erase=True"):
            verb()
    assert board.read(0x310000, 6) == b"SPIFFS"
    board.ready(2)
    assert kit.OtaClient(board.url).info()["version"] == "1.0.0"


def test_console_shows_what_the_board_says(board: Board, capsys: pytest.CaptureFixture):
    board.console(2)  # the ROM tries again and again
    assert "invalid header: 0xffffffff\n" in capsys.readouterr().out


def test_listening_while_something_goes_on(board: Board, wait_until: Callable):
    with board.listening() as log:
        ask(board.control, "power", on=False)
        ask(board.control, "power", on=True)
        wait_until(lambda: "invalid header" in repr(log))
    assert "rst:0x1 (POWERON_RESET)" in repr(log)
    assert "\r" not in repr(log)
    assert log.lines("POWERON", "nobody") == ["rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)"]
    board.console(0.1)  # the port is free again


def test_waiting_for_what_a_board_prints(board: Board, monkeypatch: pytest.MonkeyPatch):
    """In the order in which it comes; a text that does not come is an error."""
    with board.listening() as log:
        ask(board.control, "power", on=False)
        ask(board.control, "power", on=True)
        log.wait_for("POWERON")
        log.wait_for("invalid header")
        monkeypatch.setattr("kit.board.listener.PATIENCE", 0.2)
        with pytest.raises(BoardError, match="has not printed 'POWERON' within"):
            log.wait_for("POWERON")  # it came before


def test_listening_where_nothing_is():
    with pytest.raises(AddressError), Board("/dev/nothing").listening():
        pass


def test_a_blank_board_has_no_partitions(board: Board):
    with pytest.raises(TableError, match="blank"):
        board.partitions()


def test_a_damaged_table_is_named_and_left(board: Board):
    board.flash(build("1.0.0", board=board))
    with disturbed(board.address) as port, download_mode(port) as loader:
        damaged = b"\x00" + loader.read(0x8000, 0x1000)[1:]
        loader.write([(0x8000, damaged)])
    with pytest.raises(TableError, match=r"partition 0 invalid magic number 0x5000"):
        board.partitions()
    assert board.read(0x8000, 0x1000) == damaged


def test_what_lies_in_a_slot_cannot_be_more_than_the_slot():
    """Neither an image whose segments or application run past the end, nor bytes that only look like one."""
    table = PartitionTable((Partition("ota_0", 0, 0x10, 0x10000, 0x10000),))
    start = b"\xe9\x02".ljust(24, b"\0")
    for content in (
        start + (0).to_bytes(4, "little") + (0xFFE8 - 24 - 8).to_bytes(4, "little"),  # the second header is cut off
        start + (0).to_bytes(4, "little") + (0xFFDC - 24 - 8).to_bytes(4, "little") + bytes(0xFFDC - 56),
        start + (0).to_bytes(4, "little") + (0x7FFFFFFF).to_bytes(4, "little"),
    ):
        flash = bytes(0x8000) + table.to_bytes().ljust(0x8000, b"\xff") + content.ljust(0x10000, b"\0")

        def read(address: int, length: int, flash: bytes = flash) -> bytes:
            assert address + length <= len(flash)
            return flash[address : address + length]

        assert read_contents(read, len(flash), False).used["ota_0"] <= 0x10000


@pytest.mark.parametrize("verb", [Board.install, Board.files])
def test_a_board_without_a_program_is_named_at_once(board: Board, verb: Callable[[Board], object]):
    started = time.monotonic()
    with pytest.raises(BoardError, match=r"There is no program on the board"):
        verb(board)
    assert time.monotonic() - started < 9  # mpremote would ask for ten seconds


def test_the_end_of_the_flash_is_the_end(board: Board):
    assert board.read(0x3FFFFC, 4) == b"\xff" * 4
    assert board.read(0x400000, 0) == b""
    for offset, size in ((0x3FFFFD, 4), (1 << 40, 1), (0, 1 << 40)):
        with pytest.raises(BoardError, match=r"The flash ends at 0x400000\."):
            board.read(offset, size)


@pytest.mark.parametrize("password", ["admin123", "brief", "x" * 65])
def test_install_takes_no_bad_password(board: Board, monkeypatch: pytest.MonkeyPatch, password: str):
    monkeypatch.setenv("KIT_PASSWORD", password)
    with pytest.raises(SettingsError, match="The OTA password is too short") as caught:
        board.install()
    assert password not in str(caught.value)


def test_otadata_names_the_slot_that_runs(board: Board):
    board.ready(2)
    records = board.otadata()
    assert records.active == 0
    assert records.slots == ("ota_0", "ota_1")
    assert "0          1  ota_0   VALID           right  <- active" in repr(records)


def test_erase_leaves_nothing(board: Board, tmp_path: Path):
    board.ready(2)
    board.erase()
    assert (tmp_path / "flash.bin").read_bytes() == b"\xff" * 0x400000
    assert "invalid header: 0xffffffff" in board.reset()


def test_erase_shows_how_far_it_is(board: Board, monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setattr("kit.board.board.Progress.update", lambda progress, done: seen.append(done))
    board.erase()
    assert seen == list(range(0x40000, 0x400001, 0x40000))


def test_erase_returns_when_the_rom_speaks_again(board: Board):
    board.erase()
    with open_port(board.address) as port:
        port.timeout = 5
        assert b"invalid header: 0xffffffff" in port.read_until(b"invalid header: 0xffffffff")


def test_files_are_those_on_vfs(board: Board, cells: Callable):
    board.flash(build("1.0.0", board=board))
    with board.repl() as repl:
        repl.fs_mkdir("/data")
        repl.fs_mkdir("/data/empty")
        repl.fs_writefile("/data/numbers.txt", b"1" * 1234)
        repl.fs_writefile("/boot.py", MOUNT)
        repl.fs_mkdir("/app")  # hidden by what is mounted there
    files = board.files()
    assert files.sizes == {"/boot.py": len(MOUNT), "/data/numbers.txt": 1234}
    assert repr(files) == "  147  /boot.py\n1,234  /data/numbers.txt\n1,381  bytes in 2 files"
    assert ["/data/numbers.txt", "1,234 bytes"] in cells(files._repr_html_())


# Code for the board: another file system at /app, with a file on it.
MOUNT = b"""import esp32, vfs
slot = esp32.Partition("ota_1", block_size=512)
vfs.VfsLfs2.mkfs(slot)
vfs.mount(slot, "/app")
open("/app/main.py", "w").close()
"""


def test_a_name_is_no_markup():
    assert "&lt;b&gt;.py" in Files({"/<b>.py": 1})._repr_html_()


def test_a_full_file_system_is_named(board: Board):
    board.flash(build("1.0.0", board=board))
    with board.repl() as repl:
        repl.exec("file = open('/large', 'wb')\nfor _ in range(234):\n file.write(bytes(4096))\nfile.close()")
    with pytest.raises(BoardError, match=r"MicroPython stops with OSError: 28\. .* is full"):
        board.install()
    assert "MicroPython v1.26.0" in board.reset()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("KIT_PACE", "abc", "Set KIT_PACE to a number from 0 to 100"),
        ("KIT_PACE", "-1", "Set KIT_PACE to a number from 0 to 100"),
        ("KIT_PACE", "inf", "Set KIT_PACE to a number from 0 to 100"),
        ("KIT_PACE", "nan", "Set KIT_PACE to a number from 0 to 100"),
        ("KIT_FLASH", "/", "/ cannot be a flash: Is a directory. Name another file"),
        ("KIT_FLASH", __file__, "Name another file"),
    ],
)
def test_a_virtual_board_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
):
    monkeypatch.setenv("KIT_FLASH", str(tmp_path / "flash.bin"))
    monkeypatch.setenv(name, value)
    with pytest.raises(BoardError) as caught:
        kit.connect()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: kit.connect(5), AddressError),
        (lambda: Board("/dev/ttyNothing").read(-1, 4), BoardError),
        (lambda: Board("/dev/ttyNothing").read(0, -4), BoardError),
        (lambda: Board("/dev/ttyNothing").read(0.5, 4), BoardError),
        (lambda: Board("/dev/ttyNothing").read("0x8000", 4), BoardError),
        (lambda: Board("/dev/ttyNothing").read(0, None), BoardError),
        (lambda: Board("/dev/ttyNothing").console(-1), BoardError),
        (lambda: Board("/dev/ttyNothing").console(float("nan")), BoardError),
        (lambda: Board("/dev/ttyNothing").console("10"), BoardError),
        (lambda: kit.connect("rfc2217://").reset(), AddressError),
        (lambda: kit.connect("rfc2217://127.0.0.1:x").reset(), AddressError),
        (lambda: kit.build(1.1), ImageError),
        (lambda: kit.build(None), ImageError),
        (lambda: kit.build("1.0.0", app=5), ImageError),
        (lambda: kit.build("1.0.0", board="virtual"), ImageError),
        (lambda: kit.new_app("/proc/nothing"), ImageError),
        (lambda: kit.OtaClient(None), AddressError),
        (lambda: kit.OtaClient("http://[::1"), AddressError),
    ],
)
def test_wrong_arguments_are_named(call: Callable[[], object], error: type[KitError]):
    with pytest.raises(error) as caught:
        call()
    assert caught.value.cause
    assert caught.value.advice


def test_the_first_error_is_the_one_that_is_told(board: Board, monkeypatch: pytest.MonkeyPatch):
    def fail(port: object) -> bool:
        raise BoardError("Another error.", "Do something else.")

    monkeypatch.setattr("kit.board.cable.restart", fail)
    with pytest.raises(TableError, match="blank"):
        board.partitions()


def test_a_board_runs_on_after_a_verb_that_failed(board: Board, monkeypatch: pytest.MonkeyPatch):
    board.ready(2)
    monkeypatch.setattr("kit.board.installation.STORE_SETTINGS", "raise ValueError('{blobs}'[:0])")
    with pytest.raises(BoardError):
        board.install()
    assert kit.OtaClient(board.url).info()["version"] == "1.0.0"


@pytest.mark.parametrize("image", [b"\xe9", "update.bin", None])
def test_what_is_no_update_image_is_not_flashed(image: object):
    with pytest.raises(ImageError, match="is not an update image"):
        Board("/dev/ttyNothing").flash(image)


def test_a_stand_in_is_not_for_a_real_chip(app_folder: Path):
    image = build("1.0.0", app=app_folder, base=base_image())
    with pytest.raises(ImageError, match="does not run on a real chip"):
        Board("/dev/ttyNothing").flash(image)


def test_a_table_that_would_not_boot_is_not_flashed(real_image: UpdateImage):
    too_far = PartitionTable((*real_image.base.table, Partition("more", 1, 0x81, 0x310000, 0x200000)))
    image = replace(real_image, base=replace(real_image.base, table=too_far))
    with pytest.raises(TableError, match="exceeds flash chip size"):
        Board("/dev/ttyNothing").flash(image)


def test_erasing_a_real_board_must_be_confirmed(real_image: UpdateImage):
    board = Board("/dev/ttyNothing")  # opening it would be another error
    with pytest.raises(BoardError, match="confirm=True"):
        board.flash(real_image, erase=True)
    with pytest.raises(BoardError, match="confirm=True"):
        board.erase()
    with pytest.raises(AddressError, match="There is no port"):
        board.erase(confirm=True)


@pytest.fixture
def real_image(app_folder: Path, firmware_bin: bytes) -> UpdateImage:
    return build("1.0.0", app=app_folder, base=BaseImage.from_firmware_bin(firmware_bin, "firmware.bin"))


def test_the_address_is_asked_for_before_it_is_known():
    with pytest.raises(BoardError, match=r"board\.reset\(\)"):
        _ = Board("/dev/ttyNothing").url


def test_kit_url_overrides(board: Board, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KIT_URL", "http://hub.example/board")
    assert kit.connect().url == "http://hub.example/board"
    assert kit.connect(url="http://other.example").url == "http://other.example"


def test_the_virtual_board_ends_when_its_last_user_is_killed(tmp_path: Path):
    flash = tmp_path / "flash.bin"
    code = "import kit, os; board = kit.connect(); board.reset(); os.kill(os.getpid(), 9)"
    environment = os.environ | {"KIT_FLASH": str(flash)}
    done = subprocess.run(
        [sys.executable, "-u", "-c", code], env=environment, capture_output=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == (b"virtual board (KIT_BOARD)\n", b"")
    deadline = time.monotonic() + 30
    while True:
        try:
            Flash(flash, pace=0).close()  # a board that runs holds its flash
            break
        except FlashInUseError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert not register_path(flash).exists()


def test_the_flash_bar_counts_bytes_of_all_files(board: Board, monkeypatch: pytest.MonkeyPatch):
    shown = []

    class Bar:
        def __init__(self, label: str, total_bytes: int) -> None:
            shown.append(total_bytes)

        def __enter__(self):
            return self

        def update(self, done: int) -> None:
            shown.append(done)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr("kit.board.board.Progress", Bar)
    board.flash(build("1.0.0", board=board))
    total, *done = shown
    assert done == sorted(done)
    assert len(done) > 20
    assert done[-1] == total
