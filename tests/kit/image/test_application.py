import ast
import gzip
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from littlefs import LittleFS

import kit
from kit.errors import ImageError
from kit.image import application, filesystem
from kit.image.application import MADE_BY, new_app, set_constant, strip

MODULES = sorted((application.firmware_dir() / "app").glob("*.py"))
MPY_HEADER = b"M\x06"  # "M", and the bytecode version that MicroPython 1.23 and later load


def pack(folder: Path, compiled: bool) -> bytes:
    return application.pack(folder, compiled=compiled, room=0x40000)


def files_in(data: bytes) -> dict[str, bytes]:
    """The files of a littlefs image with blocks of 512 bytes."""
    sizes = {"read_size": 32, "prog_size": 32, "cache_size": 128, "lookahead_size": 32}
    filesystem = LittleFS(block_size=512, block_count=len(data) // 512, **sizes, mount=False)
    filesystem.context.buffer[:] = data
    filesystem.mount()
    found = {}
    for folder, _, names in filesystem.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}".lstrip("/")
            with filesystem.open(path, "rb") as file:
                found[path] = file.read()
    return found


def test_a_virtual_board_gets_stripped_modules(app_folder: Path):
    data = pack(app_folder, compiled=False)
    files = files_in(data)
    assert len(data) % 4096 == 0
    assert files["main.py"] == b'""\n\nimport page\n\nprint(page.COLOUR)\n'
    assert files["www/index.html"] == b"<h1>Hello</h1>\n"
    assert set(files) == {"main.py", "page.py", "www/index.html"}


def test_style_and_script_are_packed(app_folder: Path):
    """Where the application knows that; one of an older kit sends them as they are."""
    script = b"let isPacked = true;\n" * 50
    (app_folder / "www/ota.js").write_bytes(script)
    assert files_in(pack(app_folder, compiled=False))["www/ota.js"] == script
    (app_folder / "page.py").write_text('COLOUR = "blue"\nPACKED = ".gz"\n')
    files = files_in(pack(app_folder, compiled=False))
    assert "www/ota.js" not in files
    assert gzip.decompress(files["www/ota.js.gz"]) == script
    (app_folder / "www/ota.js.gz").write_bytes(b"by hand")  # both stay as they are
    files = files_in(pack(app_folder, compiled=False))
    assert (files["www/ota.js"], files["www/ota.js.gz"]) == (script, b"by hand")


def test_a_chip_gets_bytecode(app_folder: Path):
    files = files_in(pack(app_folder, compiled=True))
    assert set(files) == {"main.mpy", "page.mpy", "www/index.html"}
    assert all(data.startswith(MPY_HEADER) for name, data in files.items() if name.endswith(".mpy"))
    assert b"main.py" in files["main.mpy"]  # what a traceback on the board names


START = """
sys.path[:0] = ["/app", "/app/lib"]
import main, tool
print(open("/app/www/index.html").read(), tool.__file__)
"""


@pytest.mark.parametrize("compiled", [False, True])
def test_a_real_micropython_mounts_and_runs_it(
    micropython: str, mount: str, app_folder: Path, tmp_path: Path, compiled: bool
):
    (app_folder / "lib").mkdir()
    (app_folder / "lib" / "tool.py").write_text("A = 1\n")
    (tmp_path / "app.lfs").write_bytes(pack(app_folder, compiled=compiled))
    (tmp_path / "mount.py").write_text(mount + START)
    command = [micropython, tmp_path / "mount.py", tmp_path / "app.lfs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    suffix = "mpy" if compiled else "py"
    assert done.stdout == f"green\n<h1>Hello</h1>\n /app/lib/tool.{suffix}\n", done.stderr


@pytest.mark.parametrize("compiled", [False, True])
def test_the_same_application_gives_the_same_bytes(
    app_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
):
    first = pack(app_folder, compiled=compiled)
    moved = app_folder.rename(tmp_path / "elsewhere")
    for path in moved.rglob("*"):
        os.utime(path, (0, 0))
    as_listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: reversed(list(as_listed(self))))
    assert pack(moved, compiled=compiled) == first


def test_the_image_is_as_small_as_it_can_be(app_folder: Path):
    data = pack(app_folder, compiled=True)
    files = files_in(data)
    assert len(data) < 1.5 * sum(map(len, files.values())) + 8192
    (app_folder / "big.bin").write_bytes(bytes(60_000))
    assert 60_000 <= len(pack(app_folder, compiled=True)) - len(data) < 72_000


def test_what_is_far_too_large_is_not_even_tried(app_folder: Path, monkeypatch: pytest.MonkeyPatch):
    with (app_folder / "video.mp4").open("wb") as file:
        file.truncate(3 << 30)  # of holes
    monkeypatch.delattr(filesystem, "LittleFS")
    monkeypatch.delattr(Path, "read_bytes")
    with pytest.raises(
        ImageError, match=r"too large: 3,221,\d+,\d+ bytes of files .* exceed the 262,144 left in a slot"
    ):
        pack(app_folder, compiled=False)


def test_files_of_editors_stay_out(app_folder: Path):
    for name in (".ipynb_checkpoints/main.py", "__pycache__/main.pyc", ".DS_Store", "www/.hidden"):
        (app_folder / name).parent.mkdir(exist_ok=True)
        (app_folder / name).write_bytes(b"\0")
    names = files_in(pack(app_folder, compiled=False))
    assert not [name for name in names if "/." in f"/{name}" or "__pycache__" in name]


def test_lib_is_a_name_like_any_other(app_folder: Path):
    (app_folder / "lib").write_text("A letter.")
    assert files_in(pack(app_folder, compiled=False))["lib"] == b"A letter."


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("source", "line"),
    [
        (b"x = 1\nif x\n    pass\n", 2),
        (b"x = 1\n\n\nmatch x:\n    case 1: pass\n", 4),  # Python 3.10, not MicroPython
        (b"x = (1,\n", 1),
        (b"x = 1\nif x:\n        y = 1\n\tz = 2\n", 4),  # a tab is no eight spaces
        (b"x = 1\nreturn 2\n", 2),  # CPython's parser lets it pass, mpy-cross does not
        (b"x = '\0'\n", 1),
        (b"if 1:\n        x = 1\n    y = 2\n", 3),
        (b"x = 1\ny = '\xff'\n", 2),
    ],
)
def test_a_syntax_error_is_named_by_file_and_line(app_folder: Path, source: bytes, line: int, compiled: bool):
    (app_folder / "page.py").write_bytes(source)
    with pytest.raises(ImageError, match=rf"^page\.py, line {line}: "):
        pack(app_folder, compiled=compiled)


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "+".join(["1"] * 20_000),
        "x = " + "-" * 50_000 + "1",
        "x = a" + ".b" * 20_000,
        "f" + "(1)" * 20_000,
        "x = " + "[" * 1000 + "]" * 1000,
    ],
)
def test_an_endless_expression_is_one_clear_error(app_folder: Path, source: str):
    (app_folder / "page.py").write_text(source)
    with pytest.raises(ImageError, match=r"^page\.py.*: .*\. Correct (it|this line) and build again\.$") as caught:
        pack(app_folder, compiled=True)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def make_link(path: Path) -> None:
    path.with_name("outside").symlink_to("/etc/hostname")


def make_link_inside(path: Path) -> None:
    path.with_name("again").symlink_to(path.parent, target_is_directory=True)


def make_dead_link(path: Path) -> None:
    path.with_name("dead").symlink_to("nowhere")


def make_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("pipe.py"))


def make_other_encoding(path: Path) -> None:
    os.close(os.open(os.fsencode(path.parent) + b"/gr\xfcn.txt", os.O_CREAT))


def make_long_name(path: Path) -> None:
    path.with_name("m" * 252 + ".py").touch()


def make_deep_folders(path: Path) -> None:
    folder = path.parent.joinpath(*"d" * 300)
    folder.mkdir(parents=True)
    (folder / "file.txt").touch()


def make_twins(path: Path) -> None:
    path.with_name("page.mpy").touch()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_link, "outside is a link"),
        (make_link_inside, "again is a link"),
        (make_dead_link, "dead is a link"),
        (make_fifo, r"pipe\.py is no file and no folder"),
        (make_other_encoding, r"gr\\xfcn\.txt has a name that is not UTF-8"),
        (make_long_name, r"m+\.py has a name of more than 255 bytes"),
        (make_deep_folders, "(d/)+d lies more than 16 folders deep"),
        (make_twins, r"page\.py and page\.mpy are the same module"),
    ],
)
def test_what_a_board_cannot_have_is_named(
    app_folder: Path, make: Callable[[Path], None], message: str, compiled: bool
):
    make(app_folder / "www" / "index.html" if make is make_fifo else app_folder / "main.py")
    with pytest.raises(ImageError, match=rf"^(www/)?{message}.*\. Rename it, put a file in its place, or take it out"):
        pack(app_folder, compiled)


def test_names_as_long_and_as_odd_as_a_board_takes_them(app_folder: Path):
    names = {"m" * 251 + ".py", "t" * 255, "ü" * 127, "a b", "grün.txt"}
    for name in names:
        (app_folder / name).touch()
    assert names < set(files_in(pack(app_folder, compiled=False)))


def test_a_link_to_the_whole_folder_is_followed(app_folder: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(app_folder)
    assert pack(tmp_path / "link", compiled=False) == pack(app_folder, compiled=False)


@pytest.mark.parametrize("unreadable", ["page.py", "www"])
def test_what_may_not_be_read_is_named(app_folder: Path, monkeypatch: pytest.MonkeyPatch, unreadable: str):
    def refuse(verb: Callable) -> Callable:
        def refused(path: Path) -> object:
            if path.name == unreadable:  # root may read all, and tests may run as root
                raise PermissionError(13, "Permission denied", str(path))
            return verb(path)

        return refused

    for verb in ("read_bytes", "iterdir"):
        monkeypatch.setattr(Path, verb, refuse(getattr(Path, verb)))
    with pytest.raises(ImageError, match=rf"{unreadable} cannot be read: Permission denied\. Check its permissions"):
        pack(app_folder, compiled=False)


def test_no_application(tmp_path: Path):
    with pytest.raises(ImageError, match="There is no folder"):
        pack(tmp_path / "none", compiled=False)
    with pytest.raises(ImageError, match="There is no folder 5"):
        pack(5, compiled=False)
    with pytest.raises(ImageError, match=r"There is no main\.py"):
        pack(tmp_path, compiled=False)


SOURCE = '''"""Module,
in two lines."""

import os  # why


class Page:
    """Only a docstring."""


def show(text: str = "# no comment") -> str:
    """Say ü
    something."""; done = 1
    # a comment of its own
    value = """not
    a docstring"""  # but a value
    return value + text
'''


def test_strip_keeps_lines_and_code():
    stripped = strip("page.py", SOURCE)
    assert stripped.count("\n") == SOURCE.count("\n")
    assert "# why" not in stripped
    assert "something" not in stripped
    assert "a comment" not in stripped
    before, after = {}, {}
    exec(SOURCE, before)
    exec(stripped, after)
    assert after["show"]() == before["show"]() == "not\n    a docstring# no comment"
    assert after["Page"].__doc__ == ""
    lines = [node.lineno for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Return | ast.Import)]
    assert [node.lineno for node in ast.walk(ast.parse(stripped)) if isinstance(node, ast.Return | ast.Import)] == lines


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_strip_changes_no_code(path: Path):
    """Nor the line of any: a traceback names it."""
    source = path.read_text()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, application.DOCUMENTED) and ast.get_docstring(node):
            node.body[0].value.value = ""
    stripped = strip(path.name, source)
    assert ast.dump(ast.parse(stripped)) == ast.dump(tree)
    lines = [
        [node.lineno for node in ast.walk(parsed) if isinstance(node, ast.Call)]
        for parsed in (tree, ast.parse(stripped))
    ]
    assert lines[0] == lines[1]


def test_strip_keeps_no_space_that_means_nothing():
    source = """
class Page:
    def show(self,
             text = 'a  b'):
        if not text:
            return [
                1, 2 .real,
            ]
        value = '''
        not code''' "more" f"{ text } in" 'it'
        total = 1 + \\
            2
        return value if text is not -1 else(0)
"""
    assert strip("page.py", source).split("\n") == [
        "",
        "class Page:",
        " def show(self,",
        "text='a  b'):",
        "  if not text:",
        "   return[",
        "1,2 .real,",
        "]",
        "  value='''",
        "        not code''' \"more\" f\"{ text } in\" 'it'",
        "  total=1+\\",
        "2",
        "  return value if text is not-1 else(0)",
        "",
    ]
    assert ast.dump(ast.parse(strip("page.py", source))) == ast.dump(ast.parse(source))


def test_strip_reads_windows_files(app_folder: Path):
    (app_folder / "page.py").write_bytes(b"\xef\xbb\xbfCOLOUR = 1  # one\r\n")
    assert files_in(pack(app_folder, compiled=False))["page.py"] == b"COLOUR=1\n"


@pytest.fixture
def kits_app(monkeypatch: pytest.MonkeyPatch, app_folder: Path) -> None:
    """A kit whose own application is the small one."""
    firmware = app_folder.parent / "firmware"
    firmware.mkdir()
    app_folder.rename(firmware / "app")
    monkeypatch.setattr(application, "firmware_dir", lambda: firmware)


@pytest.mark.usefixtures("kits_app")
def test_new_app_copies_the_kits_own(tmp_path: Path):
    (tmp_path / "firmware" / "app" / "__pycache__").mkdir()
    folder = new_app(tmp_path / "mine" / "app")
    assert folder == tmp_path / "mine" / "app"
    assert sorted(path.name for path in folder.iterdir()) == [MADE_BY, "main.py", "page.py", "www"]
    assert MADE_BY not in files_in(pack(folder, compiled=False))


@pytest.mark.usefixtures("kits_app")
def test_new_app_keeps_what_was_made_before(tmp_path: Path):
    (tmp_path / "mine").mkdir()
    new_app(tmp_path / "mine")
    (tmp_path / "mine" / "page.py").write_text("edited")
    assert new_app(tmp_path / "mine") == tmp_path / "mine"
    assert (tmp_path / "mine" / "page.py").read_text() == "edited"


@pytest.fixture
def old_copy(kits_app: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an edited copy, here, that a kit of another version made."""
    monkeypatch.chdir(tmp_path)
    new_app("my_app")
    Path("my_app/page.py").write_text("edited")
    Path("my_app", MADE_BY).write_text("0.0.9\n")
    return "my_app"


def test_a_copy_of_another_version_says_so(old_copy: str, capsys: pytest.CaptureFixture):
    told = f"my_app was made by version 0.0.9 of the kit, and this is {kit.__version__}: "
    told += 'kit.new_app("my_app", fresh=True) makes it anew, and moves yours aside.\n'
    assert new_app(old_copy) == Path("my_app")
    assert capsys.readouterr().out == told
    Path("my_app/page.py").write_text("COLOUR = 1\n")
    kit.build("1.0.0", app=old_copy)
    assert capsys.readouterr().out == told


def test_a_fresh_copy_loses_nothing(old_copy: str, capsys: pytest.CaptureFixture):
    for _ in range(3):
        assert new_app(old_copy, fresh=True) == Path("my_app")
        assert Path("my_app/page.py").read_text() == 'COLOUR = "green"\n'
        Path("my_app/page.py").write_text("edited again")
    assert new_app(old_copy) == Path("my_app")
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in Path().glob("my_app*")) == [
        "my_app",
        "my_app.old",
        "my_app.old2",
        "my_app.old3",
    ]
    assert Path("my_app.old/page.py").read_text() == "edited"
    assert Path("my_app.old3/page.py").read_text() == "edited again"


def test_a_fresh_copy_is_made_of_nothing_else(kits_app: None, tmp_path: Path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter.txt").write_text("dear")
    with pytest.raises(ImageError, match="is no application"):
        new_app(tmp_path / "letters", fresh=True)
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["letter.txt"]
    assert (new_app(tmp_path / "first", fresh=True) / "main.py").is_file()


@pytest.mark.parametrize("note", [None, b"", b"\xff\xfe", b"same"])
def test_an_application_of_ones_own_is_nobodys_copy(
    app_folder: Path, capsys: pytest.CaptureFixture, note: bytes | None
):
    if note is not None:
        (app_folder / MADE_BY).write_bytes(note.replace(b"same", kit.__version__.encode()))
    new_app(app_folder)
    kit.build("1.0.0", app=app_folder)
    assert capsys.readouterr().out == ""


def test_new_app_leaves_other_things_alone(tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "letter.txt").write_text("dear")
    for name in ("file", "folder"):
        with pytest.raises(ImageError, match="is no application"):
            new_app(tmp_path / name)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["letter.txt"]


def test_set_constant_changes_one_line(app_folder: Path):
    page = app_folder / "page.py"
    page.write_text('# COLOUR = "no"\nCOLOUR = "green"  # of the page\nSIZE = "1"\n')
    for value in ("red", 'gr"ün', "blue"):
        line = set_constant(page, "COLOUR", value)
    assert line == 'COLOUR = "blue"  # of the page'
    assert page.read_text() == '# COLOUR = "no"\nCOLOUR = "blue"  # of the page\nSIZE = "1"\n'


def test_set_constant_names_what_is_missing(app_folder: Path):
    with pytest.raises(ImageError, match="has no line SHAPE"):
        set_constant(app_folder / "page.py", "SHAPE", "round")
    with pytest.raises(ImageError, match="There is no file"):
        set_constant(app_folder / "nothing.py", "COLOUR", "red")


MACHINE = """\
class Machine:
    # Why it waits.
    async def wait(self, seconds):
        if seconds:

            await sleep(seconds)
        return seconds

    def stop(self):
        pass
"""


def test_a_function_is_shown_with_the_comment_above_it(tmp_path: Path):
    (tmp_path / "machine.py").write_text(MACHINE)
    assert kit.read_function(tmp_path / "machine.py", "wait").splitlines() == [
        "# Why it waits.",
        "async def wait(self, seconds):",
        "    if seconds:",
        "",
        "        await sleep(seconds)",
        "    return seconds",
    ]
    assert kit.read_function(tmp_path / "machine.py", "stop") == "def stop(self):\n    pass"


def test_a_function_that_is_not_there(tmp_path: Path):
    (tmp_path / "machine.py").write_text(MACHINE)
    with pytest.raises(ImageError, match="has no function 'sto'"):
        kit.read_function(tmp_path / "machine.py", "sto")
    with pytest.raises(ImageError, match="There is no file"):
        kit.read_function(tmp_path / "none.py", "stop")


def test_an_application_of_very_many_files(app_folder: Path):
    for number in range(300):
        (app_folder / f"{number}.txt").write_text("x")
    with pytest.raises(ImageError, match="holds 303 files"):
        pack(app_folder, False)


def test_an_application_of_many_files_fits(app_folder: Path):
    for number in range(197):
        (app_folder / f"{number}.py").write_text("x = 1")
    assert pack(app_folder, False)


@pytest.mark.parametrize("folder", [None, 3, "a" * 300, "a\0b"])
def test_a_place_that_there_cannot_be(folder: object):
    with pytest.raises(ImageError, match="cannot be made"):
        kit.new_app(folder)
