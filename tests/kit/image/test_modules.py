"""The modules of an application are one packed file on a board, which packed.py unpacks."""

import ast
import hashlib
import json
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from littlefs import LittleFS, UserContext

from kit.image import application
from kit.image.application import GRAIN, INDEX, MODULES, UNPACKED, WINDOW, deflated, firmware_dir, joined, pack
from kit.image.filesystem import LITTLEFS
from kit.image.folder import read_folder

APP = firmware_dir() / "app"
ROOM = 0x40000
BOTH_KINDS = pytest.mark.parametrize("compiled", [False, True], ids=["py", "mpy"])
PLACES = {"auth": b"a" * 100, "page": b"p" * 64, "web": b"w" * 130}  # of 2, 1 and 3 grains


def files_in(data: bytes) -> dict[str, bytes]:
    mounted = LittleFS(UserContext(buffer=bytearray(data)), **LITTLEFS, block_count=len(data) // 512, mount=False)
    mounted.mount()
    found = {}
    for folder, _, names in mounted.walk("/"):
        for name in names:
            with mounted.open(f"{folder}/{name}", "rb") as file:
                found[f"{folder}/{name}".lstrip("/")] = file.read()
    return found


def unpacked(files: dict[str, bytes]) -> dict[str, bytes]:
    """Modules by name, as zlib unpacks what stands where the index says; more than the window is refused."""
    found = {}
    for line in files[INDEX].decode().split("\n")[1:-1]:
        name, place = line.split(" ")
        engine = zlib.decompressobj(wbits=-WINDOW)
        found[name] = engine.decompress(files[MODULES][int(place) * GRAIN :])
        assert engine.eof
    return found


def places(index: bytes) -> dict[str, int]:
    return {name: int(place) for name, place in (line.split(" ") for line in index.decode().split("\n")[1:-1])}


def constant(name: str) -> object:
    source = (APP / "packed.py").read_text(encoding="utf-8")
    return ast.literal_eval(re.search(rf"^{name} = const\((.*)\)  #", source, re.MULTILINE)[1])


def test_both_sides_agree():
    source = (APP / "packed.py").read_text(encoding="utf-8")
    assert (constant("_GRAIN"), constant("_WINDOW")) == (GRAIN, WINDOW)
    assert f'"/{MODULES}"' in source
    assert f'"/{INDEX}"' in source
    assert "deflate.RAW, _WINDOW" in source


@BOTH_KINDS
def test_every_module_is_packed_as_it_is(compiled: bool):
    sources = read_folder(APP, ROOM)
    files = files_in(pack(APP, compiled=compiled, room=ROOM))
    names = {name.removesuffix(".py") for name in sources if name.endswith(".py") and name not in UNPACKED}
    assert unpacked(files) == {
        name: application._module(f"{name}.py", sources[f"{name}.py"])[compiled] for name in names
    }
    assert {name for name in files if name.endswith((".py", ".mpy"))} == {
        application.on_chip(name) if compiled else name for name in UNPACKED
    }


def test_a_window_refers_back_no_further_than_the_board_keeps():
    data = bytes(range(256)) * 4
    far = deflated(data + bytes(1024) + data)
    assert zlib.decompressobj(wbits=-WINDOW).decompress(far) == data + bytes(1024) + data


def test_modules_have_the_places_of_others():
    assert places(joined(PLACES, PLACES)[0]) == {"auth": 0, "page": 2, "web": 3}
    assert joined({}, PLACES)[0] == b"\n"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"page": b"q" * 64}, {"auth": 0, "page": 2, "web": 3}, id="edited"),
        pytest.param({"page": b"q" * 65}, {"auth": 0, "page": 6, "web": 3}, id="grown"),
        pytest.param({"auth": b"b" * 128}, {"auth": 0, "page": 2, "web": 3}, id="grown within its last grain"),
        pytest.param({"auth": b"b"}, {"auth": 0, "page": 2, "web": 3}, id="shrunk"),
        pytest.param({"auth": None}, {"page": 2, "web": 3}, id="gone"),
        pytest.param({"aaa": b"n" * 65, "zzz": b"z"}, {"aaa": 6, "auth": 0, "page": 2, "web": 3, "zzz": 8}, id="new"),
        pytest.param({"auth": None, "new": b"n"}, {"new": 6, "page": 2, "web": 3}, id="one for another"),
    ],
)
def test_what_changes_moves_nothing_else(changes: dict[str, bytes | None], expected: dict[str, int]):
    modules = {name: data for name, data in sorted((PLACES | changes).items()) if data is not None}
    index, file = joined(modules, PLACES)
    assert places(index) == expected
    for name, data in modules.items():
        assert file[expected[name] * GRAIN :].startswith(data)
    before = joined(PLACES, PLACES)[1]
    for name in set(PLACES) - set(changes):  # with all that fills its grains
        place = slice(expected[name] * GRAIN, -(-(expected[name] * GRAIN + len(PLACES[name])) // GRAIN) * GRAIN)
        assert file[place] == before[place]


@BOTH_KINDS
def test_an_edited_copy_keeps_places(tmp_path: Path, compiled: bool):
    edited = shutil.copytree(APP, tmp_path / "edited")
    application.set_constant(edited / "page.py", "COLOUR", "#dc2626")
    (edited / "seldom.py").unlink()
    (edited / "aaa.py").write_text("A = 1\n")
    before, after = (files_in(pack(folder, compiled=compiled, room=ROOM)) for folder in (APP, edited))
    old, new = places(before[INDEX]), places(after[INDEX])
    assert new.keys() == old.keys() - {"seldom"} | {"aaa"}
    assert new["aaa"] >= len(before[MODULES]) // GRAIN
    assert {name for name in old.keys() & new.keys() if old[name] != new[name]} <= {"page"}
    assert unpacked(after).keys() == new.keys()


@BOTH_KINDS
def test_who_has_no_packed_py_gets_modules_one_by_one(app_folder: Path, tmp_path: Path, compiled: bool):
    """An application of one's own, and a copy that an older kit made; one that is called alike is another thing."""
    older = shutil.copytree(APP, tmp_path / "older")
    (older / "packed.py").unlink()
    for folder in (app_folder, older):
        for own in (None, '"""Something else."""\n'):
            if own:
                (folder / "packed.py").write_text(own)
            files = files_in(pack(folder, compiled=compiled, room=2 * ROOM))
            assert not {MODULES, INDEX} & files.keys()
            modules = {path.name for path in folder.glob("*.py")}
            assert {application.on_chip(name) if compiled else name for name in modules} <= files.keys()


# What it runs comes over stdin.
START = """
sys.path[:0] = ["/app", "/app/lib"]
import main
exec(sys.stdin.read())
"""


@pytest.fixture
def run(micropython: str, mount: str, tmp_path: Path) -> Callable[[Path, bool, str], str]:
    """Function that runs a program on a real MicroPython, beside an application; it returns what is printed."""

    def run_(folder: Path, compiled: bool, program: str) -> str:
        (tmp_path / "app.lfs").write_bytes(pack(folder, compiled=compiled, room=ROOM))
        (tmp_path / "mount.py").write_text(mount + START)
        command = [micropython, tmp_path / "mount.py", tmp_path / "app.lfs"]
        done = subprocess.run(command, input=program, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run_


READ = """
import hashlib, json
names = open("/app/modules.txt").read().split()[::2]
print(json.dumps({n: hashlib.sha256(open("/unpacked/" + n + END, "rb").read()).digest().hex() for n in names}))
"""


@BOTH_KINDS
def test_a_real_micropython_unpacks_every_module(run, tmp_path: Path, compiled: bool):
    folder = shutil.copytree(APP, tmp_path / "whole")
    (folder / "main.py").write_text("import packed\n")
    end = ".mpy" if compiled else ".py"
    expected = unpacked(files_in(pack(folder, compiled=compiled, room=ROOM)))
    printed = json.loads(run(folder, compiled, f"END = {end!r}\n{READ}"))
    assert printed == {name: hashlib.sha256(data).hexdigest() for name, data in expected.items()}


@pytest.fixture
def learners(app_folder: Path) -> Path:
    """A small application with packed.py, 30 modules, a package, and modules in lib/."""
    (app_folder / "main.py").write_text("import packed\n")
    shutil.copy(APP / "packed.py", app_folder)
    for number in range(30):
        (app_folder / f"m{number}.py").write_text(f"# {'-' * number}\nNUMBER = {number}\nTEXT = 'text {number}' * 9\n")
    (app_folder / "broken.py").write_text('"""Fails."""\n\n\ndef fail():\n    return 1 // 0\n')
    for name, text in {
        "rooms/__init__.py": "KIND = 'package'\n",
        "rooms/attic.py": "from m3 import NUMBER\n",
        "plain/cellar.py": "DEPTH = 2\n",
        "lib/tool.py": "USE = 'saw'\n",
        "lib/chest/__init__.py": "from chest.drawer import SIZE\n",
        "lib/chest/drawer.py": "SIZE = 7\n",
    }.items():
        (app_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (app_folder / name).write_text(text)
    return app_folder


@BOTH_KINDS
def test_a_real_micropython_imports_every_module(run, learners: Path, compiled: bool):
    program = "print([__import__('m%d' % n).NUMBER for n in range(30)], __import__('page').COLOUR)\n"
    assert run(learners, compiled, program) == f"{list(range(30))} green\n"


@BOTH_KINDS
def test_packages_and_modules_in_lib_are_imported(run, learners: Path, compiled: bool):
    program = "import rooms, rooms.attic, plain.cellar, tool, chest\n"
    program += "print(rooms.KIND, rooms.attic.NUMBER, plain.cellar.DEPTH, tool.USE, chest.SIZE, tool.__file__)\n"
    end = "mpy" if compiled else "py"
    assert run(learners, compiled, program) == f"package 3 2 saw 7 /app/lib/tool.{end}\n"


@BOTH_KINDS
def test_pages_are_read_beside_the_modules(run, learners: Path, compiled: bool):
    program = 'print(open("/unpacked/www/index.html").read(), __import__("page").__file__)\n'
    program += 'try:\n    open("/unpacked/www/none.html")\nexcept OSError as error:\n    print(error.errno)\n'
    end = "mpy" if compiled else "py"
    assert run(learners, compiled, program) == f"<h1>Hello</h1>\n /unpacked/page.{end}\n2\n"


@BOTH_KINDS
@pytest.mark.parametrize("name", ["nothing", "m", "m30", "modules", "rooms.cellar", "plain.attic", "nowhere.attic"])
def test_a_module_that_is_missing_is_named(run, learners: Path, compiled: bool, name: str):
    program = f"try:\n    import {name}\nexcept ImportError as error:\n    print(error)\n"
    missing = "nowhere" if name == "nowhere.attic" else name
    assert run(learners, compiled, program) == f"no module named '{missing}'\n"


@BOTH_KINDS
def test_a_traceback_names_file_and_line(run, learners: Path, compiled: bool):
    program = "import broken, sys\ntry:\n    broken.fail()\n"
    program += "except ZeroDivisionError as error:\n    sys.print_exception(error, sys.stdout)\n"
    folder = "/app" if compiled else "/unpacked"
    assert f'File "{folder}/broken.py", line 5, in fail\n' in run(learners, compiled, program)
