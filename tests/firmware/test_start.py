"""The image that a real board gets, on a real MicroPython: compiled, in littlefs, started by the boot files.

Nothing of the application is on the interpreter's path here; it has the heap of a board.
"""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from kit.image import otadata
from kit.image.application import compile_module, new_app, pack
from kit.image.base import BaseImage
from kit.image.layout import make
from kit.image.partition import SECTOR
from kit.image.standin import image_set
from kit.image.table import MICROPYTHON_OTA
from kit.image.update_image import UpdateImage, build
from kit.settings import hash_password

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RELEASE_SIZE = 1_447_440  # bytes of the app image of MicroPython 1.26.0
OTADATA, OTA_0, OTA_1 = 0xD000, 0x10000, 0x190000
PASSWORD = "a password of our own"
LINE = 1088  # bytes of heap: the largest object of a client's, 1 kB received and not read (firmware/app/client.py)
HEAP = 71_000  # bytes in the 64-bit words of this computer, which are twice those of a chip
CHIP = SimpleNamespace(is_virtual=False)


def make_bare(compiled, folder: Path):
    """A real MicroPython that knows the chip's modules and the boot files, and no more."""
    chip = [path.stem for path in (*(ROOT / "kit/virtual/board").glob("*.py"), *(HERE / "chip").rglob("*.py"))]
    boot = {path.stem for path in (ROOT / "firmware").glob("*.py")} - {"main"} | {"boot_main"}
    for name in {*chip, *boot, "start", "_otadata"} - {"__init__"}:
        (folder / f"{name}.mpy").write_bytes((compiled.folders[0] / f"{name}.mpy").read_bytes())
    return type(compiled)(compiled.name, compiled.command, (folder,))


@pytest.fixture(scope="session")
def bare(compiled, tmp_path_factory: pytest.TempPathFactory):
    return make_bare(compiled, tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="session")
def bare_and_old(compiled, oldest: Path, tmp_path_factory: pytest.TempPathFactory):
    """With the oldest boot files that are in the field."""
    bare = make_bare(compiled, tmp_path_factory.mktemp("old"))
    for path in oldest.glob("*.py"):
        name = "boot_main" if path.stem == "main" else path.stem
        (bare.folders[0] / f"{name}.mpy").write_bytes(compile_module(path.name, path.read_text()))
    return bare


@pytest.fixture(scope="session")
def release() -> BaseImage:
    """As large as MicroPython's release, and no stand-in."""
    descriptor = image_set().app[0x20:0x120]
    app = make([(0x3F400020, descriptor.ljust(RELEASE_SIZE - 1024, b"\x5a")), (0x40080000, bytes(256))], 0x40080000)
    return BaseImage(b"", MICROPYTHON_OTA, app, is_stand_in=False, name="release")


def for_a_chip(version: str, base: BaseImage) -> UpdateImage:
    return build(version, base=base, board=CHIP)


@pytest.mark.parametrize(("boot_files", "reads"), [("bare", range(100, 450)), ("bare_and_old", range(500, 2000))])
def test_from_1_0_0_to_1_1_0(boot_files: str, reads: range, request, release: BaseImage, make_flash, serve) -> None:
    """Whichever boot files the board has. `reads`: of blocks of the flash, to load everything."""
    bare = request.getfixturevalue(boot_files)
    old, new = for_a_chip("1.0.0", release), for_a_chip("1.1.0", release)
    salt = os.urandom(16)
    stored = (salt + hash_password(PASSWORD, salt)).hex()
    flash = make_flash(slot_0=old.data)
    board = serve(bare, flash, stored, 0x10000, body="start")
    info = board.get("/info").json()
    assert (info["name"], info["version"], info["chip"], info["running"]) == ("esp32-ota", "1.0.0", "ESP32", "ota_0")
    assert info["sketch_size"] == old.size
    assert "mDNS: http://esp32-ota-0110.local" in board.output().splitlines()
    assert int(board.output().partition("READS ")[2].split()[0]) in reads

    board.log_in(PASSWORD)
    answer = board.update(new.data, headers={"x-MD5": new.md5})
    assert answer.status_code == 200, board.output()
    assert answer.json()["version"] == "1.1.0"
    assert board.wait() == 42, board.output()  # machine.reset

    with flash.open("r+b") as file:  # what the bootloader does
        file.seek(OTADATA + 0x1000)
        file.write(otadata.pack(2, otadata.PENDING_VERIFY))
    board = serve(bare, flash, stored, OTA_1, body="start")
    board.wait_for("Update confirmed")
    info = board.get("/info").json()
    assert (info["version"], info["running"], info["image_state"]) == ("1.1.0", "ota_1", "VALID")


@pytest.mark.parametrize(("compiled", "least"), [(True, 3), (False, 3)], ids=["mpy", "py"])
def test_room(release: BaseImage, compiled: bool, least: int, record_property: Callable[[str, object], None]) -> None:
    """Sectors behind the application on the release, of which a signature takes one.

    A chip gets .mpy; only a virtual board that is given a real interpreter gets .py on it.
    """
    slot = MICROPYTHON_OTA.slots[0].size
    start = -(-RELEASE_SIZE // SECTOR) * SECTOR + SECTOR
    size = start + len(pack(ROOT / "firmware/app", compiled=compiled, room=slot - start))
    left = (slot - size) // SECTOR
    record_property("left", left)  # for benchmarks/
    assert left >= least


def test_heap(bare, release: BaseImage, make_flash, serve, record_property: Callable[[str, object], None]) -> None:
    """What boot files, file system and application take at rest; ten uploads, forms among them, add nothing."""
    salt = os.urandom(16)
    stored = (salt + hash_password(PASSWORD, salt)).hex()
    image = for_a_chip("1.1.0", release).data
    board = serve(bare, make_flash(slot_0=for_a_chip("1.0.0", release).data), stored, 0x10000, 0, body="start")
    board.log_in(PASSWORD)
    heap = [heap_at_rest(board, 0)]
    for number in range(10):
        sent = {"data": image} if number % 2 else {"data": None, "files": {"image": image}}
        assert board.update(**sent).status_code == 200, board.output()
        heap.append(heap_at_rest(board, number + 1))
    record_property("heap", heap)  # for benchmarks/
    # A collection that takes a leftover on the stack for a pointer keeps an object; what an upload leaves adds up.
    assert heap[0] < HEAP, heap
    assert sum(after > before for before, after in pairwise(heap)) < 5, heap
    assert min(heap[-3:]) <= min(heap[1:4]) + 2 * LINE, heap


def heap_at_rest(board, number: int) -> int:
    """Bytes in use once nobody is connected, for the `number`th time."""
    assert board.get("/heap").status_code == 200
    board.wait_for(f"HEAP {number} ")
    return int(board.output().partition(f"HEAP {number} ")[2].split()[0])


def test_a_real_chip_refuses_a_stand_in(bare, release: BaseImage, make_flash, serve) -> None:
    salt = os.urandom(16)
    stored = (salt + hash_password(PASSWORD, salt)).hex()
    board = serve(bare, make_flash(slot_0=for_a_chip("1.0.0", release).data), stored, 0x10000, body="start")
    board.log_in(PASSWORD)
    answer = board.update(build("1.1.0", base=image_set()).data)
    assert (answer.status_code, answer.json()["error"]) == (415, "UPDATE_ERROR_MAGIC_BYTE")
    assert "stand-in" in answer.json()["message"]


def test_a_mistake_in_the_pages_is_not_confirmed(bare, release: BaseImage, make_flash, serve, tmp_path: Path) -> None:
    """They are loaded when they are asked for, but for once at the start too. The version before says where it was."""
    app = new_app(tmp_path / "app")
    page = app / "page.py"
    page.write_text(page.read_text() + "\nno_such_name\n")
    line = len(page.read_text().splitlines())
    new = build("1.1.0", base=release, board=CHIP, app=app)
    records = (1, otadata.VALID), (2, otadata.PENDING_VERIFY)
    flash = make_flash(*records, slot_0=for_a_chip("1.0.0", release).data, slot_1=new.data)
    board = serve(bare, flash, "00", OTA_1, body="start", until="RESET")
    assert board.wait() == 42
    assert "NameError" in board.output()

    with flash.open("r+b") as file:  # what the bootloader does
        file.seek(OTADATA + 0x1000)
        file.write(otadata.pack(2, otadata.ABORTED))
    board = serve(bare, flash, "00", OTA_0, body="start")
    cause = f"NameError in page.py, line {line}"
    assert f"Version 1.1.0 was given up: {cause}. It had come to this step: found.\n" in board.output()
    info = board.get("/info").json()
    assert (info["version"], info["running"], info["image_state"]) == ("1.0.0", "ota_0", "VALID")
    outcome = {"outcome": "rolled back", "step": "found", "cause": cause}
    assert info["last_update"] == {"version": "1.1.0", "slot": "ota_1"} | outcome
