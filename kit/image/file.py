"""Files of a learner: read whole, and written whole or not at all."""

import os
from pathlib import Path

from kit.errors import ImageError


def read_file(path: str | Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        ImageError: there is no such file, or it is a folder, empty or unreadable.
    """
    if not isinstance(path, str | os.PathLike):
        raise ImageError(f"A file has a name, and this is a {type(path).__name__}.", "Give the path of a .bin file.")
    if os.path.isdir(path):
        raise ImageError(f"{path} is a folder, not a file.", "Give the path of a .bin file.")
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageError(f"There is no file {path}.", "Check the path and the working folder.") from None
    except (OSError, ValueError) as error:  # ValueError: no operating system can have such a name
        raise ImageError(f"The file cannot be read: {error}.", "Check its name and permissions.") from None
    if not data:
        raise ImageError(f"{path} is empty.", "Build or download it once more.")
    return data


def save(path: str | Path, data: bytes) -> Path:
    """Write a file.

    Raises:
        ImageError: it cannot be written there.
    """
    try:
        return write_whole(Path(path), data)
    except (OSError, TypeError, ValueError) as error:  # ValueError: no name at all, or one with a NUL
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path} cannot be written: {reason}.", "Choose another file.") from None


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file, or leave the one that was there, as when the disk is full."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")  # another process may write it too
    try:
        draft.write_bytes(data)
        return draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
