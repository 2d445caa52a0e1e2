"""The folder of an application: what is in it, and what a board could not have."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from kit.errors import ImageError

MOST_FILES = 200  # many times what an application needs; more of them take a littlefs long to fill
MOST_BYTES = 1 << 20  # four times what a slot has left for them; sources may be larger than what they become
LONGEST_NAME = 255  # bytes: LFS_NAME_MAX of littlefs 2
DEEPEST = 16  # folders in one another; each takes two blocks


def read_folder(app_dir: str | Path, room: int) -> dict[str, bytes]:
    """Return the files of an application by name, such as "www/page.html".

    Args:
        app_dir: the folder.
        room: bytes that a slot has for them, for the words of an error.

    Raises:
        ImageError: no such folder, no main.py in it, or something that a board cannot have.
    """
    if not isinstance(app_dir, str | Path) or not os.path.isdir(app_dir):
        raise ImageError(f"There is no folder {app_dir}.", 'Make one with kit.new_app("my_app"), or check the path.')
    try:
        paths = dict(_files(Path(app_dir)))
        if "main.py" not in paths:
            raise ImageError(
                f"There is no main.py in {app_dir}, so it is no application.", "Give the folder with main.py."
            )
        if len(paths) > MOST_FILES:
            raise ImageError(f"{app_dir} holds {len(paths)} files.", f"Keep an application to {MOST_FILES} files.")
        if (size := sum(path.stat().st_size for path in paths.values())) > MOST_BYTES:
            raise too_large(size, room)
        return {name: path.read_bytes() for name, path in paths.items()}
    except OSError as error:
        raise ImageError(f"{error.filename} cannot be read: {error.strerror}.", "Check its permissions.") from None


def _files(folder: Path, inside: str = "") -> Iterator[tuple[str, Path]]:
    """Yield name and path of each file; what is hidden, or Python's own, is left out.

    Links are refused wherever they lead: what is outside could be anything of this computer, and inside they can go
    round for ever.
    """
    for path in sorted(folder.iterdir()):
        name = inside + path.name
        if re.match(r"\.|__pycache__", path.name):
            continue
        if reason := _reason_against(path, name):
            shown = os.fsencode(name).decode(errors="backslashreplace")
            raise ImageError(f"{shown} {reason}.", "Rename it, put a file in its place, or take it out of the folder.")
        if path.is_dir():
            yield from _files(path, f"{name}/")
        else:
            yield name, path


def _reason_against(path: Path, name: str) -> str | None:
    """Return why a board cannot have a file or folder, None where it can."""
    encoded = os.fsencode(path.name)
    module = name.endswith(".py")
    if encoded.decode(errors="ignore").encode() != encoded:
        return "has a name that is not UTF-8"
    if len(encoded) + module > LONGEST_NAME:
        return f"has a name of more than {LONGEST_NAME} bytes as a board would have it"
    if name.count("/") > DEEPEST:
        return f"lies more than {DEEPEST} folders deep"
    if path.is_symlink():
        return "is a link"
    if not (path.is_file() or path.is_dir()):
        return "is no file and no folder"
    if module and os.path.lexists(path.with_suffix(".mpy")):
        return f"and {path.stem}.mpy are the same module"
    return None


def too_large(size: int, room: int) -> ImageError:
    """Return the error that names the bytes of an application, and those that a slot has for it."""
    return ImageError(
        f"The application is too large: {size:,} bytes of files and their littlefs exceed the {room:,} left in a slot.",
        "Take files out of the application, or make them smaller.",
    )
