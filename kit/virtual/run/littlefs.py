"""VfsLfs2 and its files (extmod/vfs_lfsx.c, vfs_lfsx_file.c of v1.26) over the littlefs library."""

from __future__ import annotations

import codecs
import contextlib
import functools
import weakref
from collections.abc import Callable, Iterator

from littlefs import LittleFSError, lfs
from littlefs.lfs import LFSFileFlag

from .console import part
from .errors import BoardOSError, board_error
from .interrupt import pending

DIRECTORY, REGULAR = 0x4000, 0x8000  # st_mode
NAME_MAX = 255
IO_ERROR, READ_ONLY = -5, -30  # what a callback tells littlefs
SYNC, BLOCK_COUNT, BLOCK_SIZE, BLOCK_ERASE = 3, 4, 5, 6  # ioctl of a block device
SEARCH = 512  # bytes that readline looks through at a time

_MODES = {
    "r": LFSFileFlag.rdonly,
    "w": LFSFileFlag.wronly | LFSFileFlag.creat | LFSFileFlag.trunc,
    "x": LFSFileFlag.wronly | LFSFileFlag.creat | LFSFileFlag.excl,
    "a": LFSFileFlag.wronly | LFSFileFlag.creat | LFSFileFlag.append,
}


def operation(method: Callable) -> Callable:
    """One call into littlefs: nothing interrupts it, and its errors become the board's."""

    @functools.wraps(method)
    def call(self: VfsLfs2 | File, *args: object) -> object:
        with pending:
            try:
                result = method(self, *args)
                error = None
            except LittleFSError as lfs_error:
                error = BoardOSError(-lfs_error.code)
            error = self.device.take_error() or error
        if error:
            raise error from None
        return result

    return call


class Device:
    """What littlefs calls to reach the blocks of a block device object."""

    def __init__(self, blocks: object) -> None:
        self._blocks = blocks
        self.read_only = False
        self._error: BaseException | None = None

    def take_error(self) -> BaseException | None:
        error, self._error = self._error, None
        return error

    def _try(self, call: Callable, *args: object) -> int:
        """Call the device; after its first error nothing more is written until that error has been raised."""
        if self._error:
            return IO_ERROR
        try:
            return call(*args) or 0
        except BaseException as error:
            self._error = error
            return IO_ERROR

    def read(self, cfg: object, block: int, offset: int, size: int) -> bytearray:
        data = bytearray(size)
        self._try(self._blocks.readblocks, block, data, offset)
        return data

    def prog(self, cfg: object, block: int, offset: int, data: bytes) -> int:
        if self.read_only:
            return READ_ONLY
        return self._try(self._blocks.writeblocks, block, bytearray(data), offset)

    def erase(self, cfg: object, block: int) -> int:
        if self.read_only:
            return READ_ONLY
        return self._try(self._blocks.ioctl, BLOCK_ERASE, block)

    def sync(self, cfg: object) -> int:
        self._try(self._blocks.ioctl, SYNC, 0)
        return 0


class VfsLfs2:
    """A littlefs file system on any object with readblocks, writeblocks and ioctl."""

    def __init__(self, bdev: object, **geometry: int) -> None:
        self._prepare(bdev, **geometry)
        self._mount()

    @classmethod
    def mkfs(cls, bdev: object, **geometry: int) -> None:
        self = cls.__new__(cls)
        self._prepare(bdev, **geometry)
        self._format()

    def _prepare(
        self, bdev: object, readsize: int = 32, progsize: int = 32, lookahead: int = 32, mtime: bool = True
    ) -> None:
        """Take the geometry that MicroPython uses: caches of four units, 100 erases before a block moves on.

        Times of change are not kept.
        """
        self.device = Device(bdev)
        self.fs = lfs.LFSFilesystem()
        self._cwd = "/"
        size = bdev.ioctl(BLOCK_SIZE, 0)
        self._config = lfs.LFSConfig(
            context=self.device,
            block_size=size,
            block_count=bdev.ioctl(BLOCK_COUNT, 0),
            read_size=readsize,
            prog_size=progsize,
            cache_size=min(size, 4 * max(readsize, progsize)),
            lookahead_size=lookahead,
            block_cycles=100,
        )

    @operation
    def _mount(self) -> None:
        lfs.mount(self.fs, self._config)

    @operation
    def _format(self) -> None:
        lfs.format(self.fs, self._config)

    def __repr__(self) -> str:
        return "<VfsLfs2>"

    def mount(self, readonly: bool, mkfs: bool) -> None:
        self.device.read_only = bool(readonly)

    @operation
    def umount(self) -> None:
        lfs.unmount(self.fs)

    def _path(self, path: str | bytes) -> str:
        path = path.decode() if isinstance(path, bytes) else path
        return path if path.startswith("/") else self._cwd + path

    def open(self, path: str, mode: str) -> File:
        return (BinaryFile if "b" in mode else File)(self, self._path(path), mode)

    @operation
    def _list(self, path: str) -> list:
        directory = lfs.dir_open(self.fs, self._path(path))
        entries = iter(lambda: lfs.dir_read(self.fs, directory), None)
        found = [entry for entry in entries if entry.name not in (".", "..")]
        lfs.dir_close(self.fs, directory)
        return found

    def ilistdir(self, path: str | bytes = "") -> Iterator[tuple]:
        for entry in self._list(path):
            name = entry.name.encode() if isinstance(path, bytes) else entry.name
            yield name, _mode_of(entry), 0, entry.size

    @operation
    def mkdir(self, path: str) -> None:
        lfs.mkdir(self.fs, self._path(path))

    @operation
    def remove(self, path: str) -> None:
        lfs.remove(self.fs, self._path(path))

    rmdir = remove

    @operation
    def rename(self, old: str, new: str) -> None:
        lfs.rename(self.fs, self._path(old), self._path(new))

    @operation
    def stat(self, path: str) -> tuple:
        info = lfs.stat(self.fs, self._path(path))
        return (_mode_of(info), 0, 0, 0, 0, 0, info.size, 0, 0, 0)

    @operation
    def statvfs(self, path: str) -> tuple:
        size, count = self._config.block_size, self._config.block_count
        free = count - lfs.fs_size(self.fs)
        return (size, size, count, free, free, 0, 0, 0, 0, NAME_MAX)

    def chdir(self, path: str) -> None:
        names: list[str] = []
        for name in self._path(path).split("/"):
            if name == "..":
                del names[-1:]
            elif name not in ("", "."):
                names.append(name)
        target = "/" + "/".join(names)
        if names and self.stat(target)[0] != DIRECTORY:
            raise board_error("ENOENT")
        self._cwd = target + "/" if names else "/"

    def getcwd(self) -> str:
        return self._cwd[:-1] or "/"


def _mode_of(info: lfs.LFSStat) -> int:
    return REGULAR if info.type == 1 else DIRECTORY


_open_files: weakref.WeakSet[File] = weakref.WeakSet()


class File:
    """An open text file; a read counts characters, a write bytes."""

    def __init__(self, vfs: VfsLfs2, path: str, mode: str) -> None:
        self._fs = vfs.fs
        self.device = vfs.device
        self._handle = None
        self._open(path, _flags(mode))

    @operation
    def _open(self, path: str, flags: LFSFileFlag) -> None:
        self._handle = lfs.file_open(self._fs, path, flags)
        _open_files.add(self)

    def _check_open(self) -> object:
        if self._handle is None:
            raise ValueError("I/O operation on closed file")
        return self._handle

    @operation
    def _read(self, n: int) -> bytes:
        handle = self._check_open()
        if n < 0:
            n = max(0, lfs.file_size(self._fs, handle) - lfs.file_tell(self._fs, handle))
        return lfs.file_read(self._fs, handle, n)

    @operation
    def _write(self, data: bytes) -> int:
        return lfs.file_write(self._fs, self._check_open(), data)

    @operation
    def seek(self, offset: int, whence: int = 0) -> int:
        lfs.file_seek(self._fs, self._check_open(), offset, whence)
        return lfs.file_tell(self._fs, self._handle)

    @operation
    def tell(self) -> int:
        return lfs.file_tell(self._fs, self._check_open())

    @operation
    def flush(self) -> None:
        lfs.file_sync(self._fs, self._check_open())

    @operation
    def close(self) -> None:
        handle, self._handle = self._handle, None
        _open_files.discard(self)
        if handle is not None:
            lfs.file_close(self._fs, handle)

    def read(self, n: int | None = -1) -> str:
        n = -1 if n is None else n
        decoder = codecs.getincrementaldecoder("utf-8")()
        text = decoder.decode(self._read(n))
        while 0 <= len(text) < n:
            more = self._read(n - len(text))
            if not more:
                break
            text += decoder.decode(more)
        return text

    def readinto(self, buf: bytearray, n: int = -1) -> int:
        view = memoryview(buf)
        data = self._read(len(view) if n < 0 else n)
        view[: len(data)] = data
        return len(data)

    def _line(self) -> bytes:
        line = b""
        while True:
            start = self.tell()
            piece = self._read(SEARCH)
            end = piece.find(b"\n") + 1
            if end:
                self.seek(start + end)
                return line + piece[:end]
            line += piece
            if len(piece) < SEARCH:
                return line

    def readline(self) -> str:
        return self._line().decode()

    def readlines(self) -> list:
        return list(self)

    def write(self, data: str | bytes, *limits: int) -> int:
        data = part(data, *limits)
        return self._write(data.encode() if isinstance(data, str) else bytes(data))

    def __iter__(self) -> Iterator:
        while line := self.readline():
            yield line

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(BoardOSError):
            self.close()


def close_files() -> None:
    """Close what programs have left open, as a soft reset does."""
    for file in list(_open_files):
        file.__del__()


class BinaryFile(File):
    """An open file of bytes."""

    def read(self, n: int | None = -1) -> bytes:
        return self._read(-1 if n is None else n)

    def readline(self) -> bytes:
        return self._line()


def _flags(mode: str) -> LFSFileFlag:
    kinds = [letter for letter in mode if letter in _MODES]
    if len(kinds) > 1:
        raise ValueError
    flags = _MODES[kinds[0] if kinds else "r"]
    return flags | LFSFileFlag.rdonly | LFSFileFlag.wronly if "+" in mode else flags
