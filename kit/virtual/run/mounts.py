"""The mount table and the functions of `os` and `vfs` that follow it (extmod/vfs.c of v1.26)."""

import functools
import itertools
import posixpath
from collections.abc import Callable, Iterator

from .errors import BoardOSError, board_error
from .littlefs import DIRECTORY, VfsLfs2

OF_BOARD = ("chdir", "getcwd", "ilistdir", "listdir", "rename")  # functions of `os`
OF_FILE_SYSTEM = ("mkdir", "remove", "rmdir", "stat", "statvfs")  # those that are methods of a file system, too


class Mounts:
    """File systems by mount point; the one at "/" comes last."""

    def __init__(self) -> None:
        self._table: list[tuple[str, object]] = []
        self._cwd = "/"

    def _absolute(self, path: str) -> str:
        return "/" + posixpath.normpath(posixpath.join(self._cwd, path)).lstrip("/")

    def _find(self, path: str) -> tuple[object, str]:
        """Return the file system that `path` is in, and the path inside it."""
        path = self._absolute(path)
        for point, fs in self._table:
            if path == point or path.startswith(point.rstrip("/") + "/"):
                return fs, path[len(point.rstrip("/")) :] or "/"
        raise board_error("ENODEV")

    def functions(self) -> dict[str, Callable]:
        """Return what `os` takes from here."""
        names = {name: getattr(self, name) for name in OF_BOARD}
        names.update({name: functools.partial(self._call, name) for name in OF_FILE_SYSTEM})
        return {**names, "unlink": names["remove"]}

    def _call(self, name: str, path: str) -> object:
        fs, inner = self._find(path)
        return getattr(fs, name)(inner)

    def mount(self, *args: object, readonly: bool = False, mkfs: bool = False) -> list | None:
        if not args:
            return [(fs, point) for point, fs in self._table]
        fs, point = args
        if not hasattr(fs, "mount"):
            try:
                fs = VfsLfs2(fs)
            except BoardOSError:
                raise board_error("ENODEV") from None  # there is no FAT here
        fs.mount(readonly, mkfs)
        if any(f"{point}/".startswith(f"{taken}/") for taken, _ in self._table):
            raise board_error("EPERM")
        self._table.append((point, fs))
        self._table.sort(key=lambda mount: mount[0] == "/")
        return None

    def umount(self, which: object) -> None:
        for mount in self._table:
            if which in mount:
                self._table.remove(mount)
                if f"{self._cwd}/".startswith(f"{mount[0]}/"):
                    self._cwd = "/"
                return mount[1].umount()
        raise board_error("EINVAL")

    def open(self, file: str, mode: str = "r", buffering: int = -1, encoding: str | None = None) -> object:
        fs, inner = self._find(file)
        return fs.open(inner, mode)

    def chdir(self, path: str) -> None:
        fs, inner = self._find(path)
        # A mount point is not asked for: mpremote's `mount` goes there before it serves its files.
        if inner != "/" and not fs.stat(inner)[0] & DIRECTORY:
            raise board_error("ENOENT")
        self._cwd = self._absolute(path)

    def getcwd(self) -> str:
        return self._cwd

    def ilistdir(self, path: str = "") -> Iterator[tuple]:
        inside = self._call("ilistdir", path)
        points = [point[1:] for point, _ in self._table] if self._absolute(path) == "/" else []
        return itertools.chain(((point, DIRECTORY, 0) for point in points if point), inside)

    def listdir(self, path: str = "") -> list:
        return [entry[0] for entry in self.ilistdir(path)]

    def rename(self, old: str, new: str) -> None:
        fs, inner = self._find(old)
        new_fs, new_inner = self._find(new)
        if fs is not new_fs:
            raise board_error("EPERM")
        fs.rename(inner, new_inner)

    def kind(self, path: str) -> str | None:
        """Return "file" or "directory", None where there is nothing."""
        try:
            fs, inner = self._find(path)
            return "directory" if fs.stat(inner)[0] & DIRECTORY else "file"
        except BoardOSError:
            return None
