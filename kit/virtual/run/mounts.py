"""The mount table and the functions of `os` and `vfs` that follow it (extmod/vfs.c of v1.26)."""

from __future__ import annotations

from collections.abc import Iterator

from .errors import BoardOSError, board_error
from .littlefs import DIRECTORY, VfsLfs2

MAGIC_OFFSET, MAGIC = 8, b"littlefs"  # of a superblock, in block 0 or 1
NO_STAT = (DIRECTORY, 0, 0, 0, 0, 0, 0, 0, 0, 0)  # of the root, which belongs to no file system


class Mounts:
    """File systems by mount point; the one at "/" comes last."""

    def __init__(self) -> None:
        self._table: list[tuple[str, object]] = []
        self._current: tuple[str, object] | None = None  # None: the root

    def _find(self, path: str | bytes) -> tuple[tuple[str, object] | None, str]:
        """Return the mount that `path` is in, None for the root itself, and the path inside it."""
        text = path.decode() if isinstance(path, bytes) else path
        if self._current and not text.startswith("/"):
            return self._current, path
        inner = text.removeprefix("/")
        if not inner:
            return None, ""
        for mount in self._table:
            point = mount[0][1:]
            if not point:
                return mount, path
            if inner == point:
                return mount, "/"
            if inner.startswith(point + "/"):
                return mount, inner[len(point) :]
        raise board_error("ENODEV")

    def _file_system(self, path: str | bytes) -> tuple[object, str]:
        mount, inner = self._find(path)
        if mount is None:
            raise board_error("EPERM")
        return mount[1], inner

    def _at_root(self) -> object | None:
        return next((fs for point, fs in self._table if point == "/"), None)

    def mount(self, *args: object, readonly: bool = False, mkfs: bool = False) -> list | None:
        if not args:
            return [(fs, point) for point, fs in self._table]
        fs, point = args
        if not hasattr(fs, "mount"):
            fs = _detect(fs)
        fs.mount(readonly, mkfs)
        if self._is_taken(point):
            raise board_error("EPERM")
        roots = [index for index, mount in enumerate(self._table) if mount[0] == "/"]
        self._table.insert(roots[0] if roots else len(self._table), (point, fs))
        return None

    def _is_taken(self, point: str) -> bool:
        try:
            mount, _ = self._find(point)
        except BoardOSError:
            return False
        return mount is not None and mount[0] != "/"

    def umount(self, which: object) -> None:
        for mount in self._table:
            if which == mount[0] or which is mount[1]:
                break
        else:
            raise board_error("EINVAL")
        self._table.remove(mount)
        if self._current is mount:
            self._current = None
        mount[1].umount()

    def open(self, file: str, mode: str = "r", buffering: int = -1, encoding: str | None = None) -> object:
        fs, inner = self._file_system(file)
        return fs.open(inner, mode)

    def chdir(self, path: str) -> None:
        mount, inner = self._find(path)
        if mount:
            mount[1].chdir(inner)
        elif self._at_root():
            self._at_root().chdir("/")
        self._current = mount

    def getcwd(self) -> str:
        if self._current is None:
            return "/"
        point, fs = self._current
        cwd = fs.getcwd()
        return cwd if point == "/" else point + (cwd if cwd != "/" else "")

    def ilistdir(self, path: str | bytes = "") -> Iterator[tuple]:
        mount, inner = self._find(path)
        return mount[1].ilistdir(inner) if mount else self._list_root(isinstance(path, bytes))

    def _list_root(self, as_bytes: bool) -> Iterator[tuple]:
        for point, fs in self._table:
            if point == "/":
                yield from fs.ilistdir(b"/" if as_bytes else "/")
            else:
                yield point[1:].encode() if as_bytes else point[1:], DIRECTORY, 0

    def listdir(self, path: str | bytes = "") -> list:
        return [entry[0] for entry in self.ilistdir(path)]

    def mkdir(self, path: str) -> None:
        mount, inner = self._find(path)
        if mount is None or inner == "/":
            raise board_error("EEXIST")
        mount[1].mkdir(inner)

    def remove(self, path: str) -> None:
        fs, inner = self._file_system(path)
        fs.remove(inner)

    def rmdir(self, path: str) -> None:
        fs, inner = self._file_system(path)
        fs.rmdir(inner)

    def rename(self, old: str, new: str) -> None:
        fs, inner = self._file_system(old)
        new_fs, new_inner = self._file_system(new)
        if fs is not new_fs:
            raise board_error("EPERM")
        fs.rename(inner, new_inner)

    def stat(self, path: str) -> tuple:
        mount, inner = self._find(path)
        return mount[1].stat(inner) if mount else NO_STAT

    def statvfs(self, path: str) -> tuple:
        mount, inner = self._find(path)
        fs = mount[1] if mount else self._at_root()
        return fs.statvfs(inner or "/") if fs else (0,) * 9 + (255,)

    def kind(self, path: str) -> str | None:
        """Return "file" or "directory" for the import system, None where there is nothing."""
        try:
            mount, inner = self._find(path)
            if mount is None:
                return None
            return "directory" if mount[1].stat(inner)[0] & DIRECTORY else "file"
        except BoardOSError:
            return None


def _detect(bdev: object) -> VfsLfs2:
    """Open the file system on a block device; one that is not littlefs is ENODEV, as there is no FAT here."""
    try:
        for block in (0, 1):
            magic = bytearray(len(MAGIC))
            bdev.readblocks(block, magic, MAGIC_OFFSET)
            if magic == MAGIC:
                return VfsLfs2(bdev)
    except BoardOSError:
        pass  # as on the chip, where FAT is tried next
    raise board_error("ENODEV")
