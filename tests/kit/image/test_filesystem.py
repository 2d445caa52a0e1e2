"""Edits of the kit's own application move little of its littlefs: each is measured in sectors that changed."""

import hashlib
import json
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from littlefs import LittleFS, UserContext, lfs

from kit.errors import ImageError
from kit.image import application
from kit.image.application import firmware_dir, pack
from kit.image.filesystem import LITTLEFS, capacity, make_image
from kit.image.folder import read_folder

APP = firmware_dir() / "app"
ROOM = 0x40000
SECTOR = 4096
BOTH_KINDS = pytest.mark.parametrize("compiled", [False, True], ids=["py", "mpy"])
# more than two blocks, as .py and as .mpy
LINES = "".join(f"    print('value {n}', a * {n} + b * {n * 37} + len('text number {n}'))\n" for n in range(20))
FUNCTION = f"def added(a, b):\n{LINES}"

Edit = Callable[[Path], object]


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A learner's copy of the kit's own application."""
    return shutil.copytree(APP, tmp_path / "edited")


def changed(before: bytes, after: bytes) -> int:
    """Sectors to send to a board that has `before`, of which it tells the CRC-32."""
    pairs = [(before[at : at + SECTOR], after[at : at + SECTOR]) for at in range(0, len(after), SECTOR)]
    differ = [old != new for old, new in pairs]
    assert [zlib.crc32(old) != zlib.crc32(new) for old, new in pairs] == differ
    return sum(differ)


def files_in(data: bytes) -> dict[str, bytes]:
    mounted = LittleFS(UserContext(buffer=bytearray(data)), **LITTLEFS, block_count=len(data) // 512, mount=False)
    mounted.mount()
    found = {}
    for folder, _, names in mounted.walk("/"):
        for name in names:
            with mounted.open(f"{folder}/{name}", "rb") as file:
                found[f"{folder}/{name}".lstrip("/")] = file.read()
    return found


def files_of(folder: Path, compiled: bool) -> dict[str, bytes]:
    """What a board gets of an application."""
    return application._on_board(read_folder(folder, ROOM), read_folder(APP, ROOM), compiled)


def colour(text: str) -> Edit:
    return lambda folder: application.set_constant(folder / "page.py", "COLOUR", text)


def function(name: str) -> Edit:
    """Add a function in the middle of a module."""

    def edit(folder: Path) -> None:
        parts = (folder / name).read_text().split("\n\n\n")
        parts.insert(len(parts) // 2, FUNCTION.strip())
        (folder / name).write_text("\n\n\n".join(parts))

    return edit


def new(name: str, text: str = FUNCTION) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    return edit


def no(name: str) -> Edit:
    return lambda folder: (folder / name).unlink()


def half(name: str) -> Edit:
    """Leave out the second half of a module."""

    def edit(folder: Path) -> None:
        parts = (folder / name).read_text().split("\n\n\n")
        (folder / name).write_text("\n\n\n".join(parts[: len(parts) // 2]) + "\n")

    return edit


def edits(*several: Edit) -> Edit:
    return lambda folder: [edit(folder) for edit in several]


MANY = edits(
    colour("green"), *map(function, ("auth.py", "request.py")), no("seldom.py"), half("web.py"), new("lib/a.py")
)


# The most that was measured, of some 25 sectors (.py) and 18 (.mpy): with a version of the kit's own application that
# fills its last sector, so that what is new needs one more and a superblock that says so, and with one that does not.
@pytest.mark.parametrize(
    ("edit", "most"),
    [
        pytest.param(edits(), (0, 0), id="nothing"),
        pytest.param(colour("#dc2626"), (2, 2), id="constant"),
        pytest.param(colour("green"), (2, 2), id="constant of another length"),
        pytest.param(function("web.py"), (5, 5), id="function late"),
        pytest.param(function("request.py"), (4, 4), id="function in the middle"),
        pytest.param(function("auth.py"), (4, 4), id="function early"),
        pytest.param(half("web.py"), (2, 3), id="less"),
        pytest.param(new("aaa.py"), (3, 4), id="new and first"),
        pytest.param(new("zzz.py"), (3, 3), id="new and last"),
        pytest.param(new("lib/a.py"), (3, 3), id="new in a folder"),
        pytest.param(new("data.txt", "text" * 8000), (11, 11), id="new and large"),  # 8 sectors of its own
        pytest.param(no("seldom.py"), (2, 3), id="removed"),
        pytest.param(MANY, (9, 9), id="many"),
    ],
)
@BOTH_KINDS
def test_an_edit_moves_little(edited: Path, edit: Edit, most: tuple[int, int], compiled: bool):
    before = pack(APP, compiled=compiled, room=ROOM)
    edit(edited)
    after = pack(edited, compiled=compiled, room=ROOM)
    sectors = changed(before, after)
    assert sectors <= most[compiled]
    assert files_in(after) == files_of(edited, compiled)
    assert len(after) % SECTOR == 0


@BOTH_KINDS
def test_one_edit_after_the_other_moves_little(edited: Path, compiled: bool):
    function("web.py")(edited)
    first = pack(edited, compiled=compiled, room=ROOM)
    function("request.py")(edited)
    sectors = changed(first, pack(edited, compiled=compiled, room=ROOM))
    assert sectors <= (5 if compiled else 7)


WALK = """
import hashlib, json, os

def walk(folder):
    for name, kind, *_ in os.ilistdir("/app" + folder):
        if kind == 0x4000:
            yield from walk(folder + "/" + name)
        else:
            yield folder + "/" + name

print(json.dumps({p[1:]: hashlib.sha256(open("/app" + p, "rb").read()).digest().hex() for p in walk("")}))
"""


@BOTH_KINDS
def test_a_real_micropython_reads_every_file(
    micropython: str, mount: str, edited: Path, tmp_path: Path, compiled: bool
):
    MANY(edited)
    (tmp_path / "app.lfs").write_bytes(pack(edited, compiled=compiled, room=ROOM))
    (tmp_path / "mount.py").write_text(mount + WALK)
    command = [micropython, tmp_path / "mount.py", tmp_path / "app.lfs"]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    expected = files_of(edited, compiled)
    assert json.loads(printed) == {name: hashlib.sha256(data).hexdigest() for name, data in expected.items()}


@BOTH_KINDS
def test_the_kits_own_is_as_small_as_without_places(compiled: bool):
    smallest = make_image(files_of(APP, compiled), {}, ROOM)
    assert len(pack(APP, compiled=compiled, room=ROOM)) == len(smallest)


def test_an_application_of_ones_own_has_no_places(tmp_path: Path):
    (tmp_path / "main.py").write_text("print(1)\n")
    assert len(pack(tmp_path, compiled=False, room=ROOM)) == SECTOR


@BOTH_KINDS
@pytest.mark.parametrize("file", ["config.py", "www/ota.js"])
def test_without_room_for_places_an_image_goes_without(edited: Path, file: str, compiled: bool):
    no(file)(edited)
    sources = read_folder(edited, ROOM)
    smallest = make_image(application._on_board(sources, sources, compiled), {}, ROOM)
    assert len(pack(edited, compiled=compiled, room=ROOM)) > len(smallest)
    assert pack(edited, compiled=compiled, room=len(smallest)) == smallest
    with pytest.raises(ImageError, match="too large"):
        pack(edited, compiled=compiled, room=len(smallest) - SECTOR)


@BOTH_KINDS
def test_the_same_edits_give_the_same_bytes(edited: Path, tmp_path: Path, compiled: bool):
    MANY(edited)
    again = shutil.copytree(edited, tmp_path / "again")
    assert pack(again, compiled=compiled, room=ROOM) == pack(edited, compiled=compiled, room=ROOM)


def test_of_the_kits_own_only_what_differs_is_compiled_too(edited: Path, monkeypatch: pytest.MonkeyPatch):
    compiled, compile_module = [], application.compile_module
    monkeypatch.setattr(
        application, "compile_module", lambda name, *rest: compiled.append(name) or compile_module(name, *rest)
    )
    application._module.cache_clear()
    colour("green")(edited)
    pack(edited, compiled=True, room=ROOM)
    assert sorted(compiled) == sorted([*(path.name for path in edited.glob("*.py")), "page.py"])


@pytest.mark.parametrize(
    ("places", "files"),
    [
        ({"a/b": b"x" * 900}, {"a": b"a file now"}),
        ({"a": b"x" * 900}, {"a/b": b"in a folder now"}),
        ({"a/b/c": b"x", "a/d": b""}, {"a/d": b"x" * 65}),
        ({"a": b"x" * 9000}, {"a": b""}),
        ({"a": b""}, {"a": b"x" * 9000}),
        ({"a": b"x" * 512}, {"a": b"x" * 513}),
        ({"a": b"x" * 64}, {"a": b"x" * 65}),
        ({"a": b"x" * 65}, {"a": b"x" * 64}),
    ],
)
def test_a_place_is_left_for_anything(places: dict[str, bytes], files: dict[str, bytes]):
    assert files_in(make_image(files, places, ROOM)) == files


def test_capacity_is_that_of_littlefs():
    mounted = LittleFS(**LITTLEFS, block_count=200)
    empty = mounted.used_block_count
    size = 0
    for blocks in range(70):
        size = capacity(size)
        for length in (size, size + 1):
            file = lfs.file_open(mounted.fs, "file", "wb")
            lfs.file_write(mounted.fs, file, bytes(length))
            lfs.file_close(mounted.fs, file)
            assert mounted.used_block_count - empty == blocks + (length > size)
        size += 1
