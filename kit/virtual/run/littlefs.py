"""VfsLfs2 and its files (extmod/vfs_lfsx.c, vfs_lfsx_file.c of v1.26) over the littlefs library."""

from __future__ import annotations

import io
import weakref
from collections.abc import Callable, Iterator

from littlefs import LittleFSError, lfs
from littlefs.lfs import LFSFileFlag

from .errors import BoardOSError, board_error
from .interrupt import pending

DIRECTORY, REGULAR = 0x4000, 0x8000  # st_mode
NAME_MAX = 255
IO_ERROR, READ_ONLY = -5, -30  # what a callback tells littlefs
SYNC, BLOCK_COUNT, BLOCK_SIZE, BLOCK_ERASE = 3, 4, 5, 6  # ioctl of a block device
# What MicroPython's VfsLfs2 uses unless it is told otherwise; times of change are not kept here.
GEOMETRY = {"read_size": 32, "prog_size": 32, "cache_size": 128, "lookahead_size": 32, "block_cycles": 100}
SEARCH = 512  # bytes that readline looks through at a time

READ, WRITE = LFSFileFlag.rdonly, LFSFileFlag.wronly
MODES = {
    "r": READ,
    "w": WRITE | LFSFileFlag.creat | LFSFileFlag.trunc,
    "x": WRITE | LFSFileFlag.creat | LFSFileFlag.excl,
    "a": WRITE | LFSFileFlag.creat | LFSFileFlag.append,
}


class Device:
    """What littlefs calls to reach the blocks of a block device object."""

    def __init__(self, blocks: object) -> None:
        self._blocks = blocks
        self.read_only = False
        self.error: BaseException | None = None  # after it nothing more is written until it has been raised

    def _try(self, call: Callable, *args: object) -> int:
        if self.error:
            return IO_ERROR
        try:
            return call(*args) or 0
        except BaseException as error:
            self.error = error
            return IO_ERROR

    def read(self, cfg: object, block: int, offset: int, size: int) -> bytearray:
        data = bytearray(size)
        self._try(self._blocks.readblocks, block, data, offset)
        return data

    def prog(self, cfg: object, block: int, offset: int, data: bytes) -> int:
        return READ_ONLY if self.read_only else self._try(self._blocks.writeblocks, block, bytearray(data), offset)

    def erase(self, cfg: object, block: int) -> int:
        return READ_ONLY if self.read_only else self._try(self._blocks.ioctl, BLOCK_ERASE, block)

    def sync(self, cfg: object) -> int:
        self._try(self._blocks.ioctl, SYNC, 0)
        return 0


class VfsLfs2:
    """A littlefs file system on any object with readblocks, writeblocks and ioctl; its paths are absolute."""

    def __init__(self, bdev: object) -> None:
        self._begin(lfs.mount, bdev)

    @classmethod
    def mkfs(cls, bdev: object) -> None:
        cls.__new__(cls)._begin(lfs.format, bdev)

    def _begin(self, function: Callable, bdev: object) -> None:
        self._device = Device(bdev)
        self._fs = lfs.LFSFilesystem()
        size, count = bdev.ioctl(BLOCK_SIZE, 0), bdev.ioctl(BLOCK_COUNT, 0)
        self._config = lfs.LFSConfig(context=self._device, block_size=size, block_count=count, **GEOMETRY)
        self.call(function, self._config)

    def call(self, function: Callable, *args: object) -> object:
        """Call into littlefs: nothing interrupts it, and its errors become the board's."""
        result = error = None
        with pending:
            try:
                result = function(self._fs, *args)
            except LittleFSError as lfs_error:
                error = BoardOSError(-lfs_error.code)
            error, self._device.error = self._device.error or error, None
        if error:
            raise error from None
        return result

    def __repr__(self) -> str:
        return "<VfsLfs2>"

    def mount(self, readonly: bool, mkfs: bool) -> None:
        self._device.read_only = bool(readonly)

    def umount(self) -> None:
        self.call(lfs.unmount)

    def open(self, path: str, mode: str) -> File | TextFile:
        file = File(self, path, mode)
        return file if "b" in mode else TextFile(file)

    def ilistdir(self, path: str) -> Iterator[tuple]:
        for info in self.call(_entries, path):
            if info.name not in (".", ".."):
                mode, size = _mode_and_size(info)
                yield info.name, mode, 0, size

    def mkdir(self, path: str) -> None:
        self.call(lfs.mkdir, path)

    def remove(self, path: str) -> None:
        self.call(lfs.remove, path)

    rmdir = remove

    def rename(self, old: str, new: str) -> None:
        self.call(lfs.rename, old, new)

    def stat(self, path: str) -> tuple:
        mode, size = _mode_and_size(self.call(lfs.stat, path))
        return (mode, 0, 0, 0, 0, 0, size, 0, 0, 0)

    def statvfs(self, path: str) -> tuple:
        size, count = self._config.block_size, self._config.block_count
        free = count - self.call(lfs.fs_size)
        return (size, size, count, free, free, 0, 0, 0, 0, NAME_MAX)


def _entries(fs: lfs.LFSFilesystem, path: str) -> list[lfs.LFSStat]:
    directory = lfs.dir_open(fs, path)
    found = list(iter(lambda: lfs.dir_read(fs, directory), None))
    lfs.dir_close(fs, directory)
    return found


def _mode_and_size(info: lfs.LFSStat) -> tuple[int, int]:
    """A folder's size is left by littlefs as whatever was in memory."""
    return (REGULAR, info.size) if info.type == 1 else (DIRECTORY, 0)


_open_files: weakref.WeakSet[File] = weakref.WeakSet()


class File(io.RawIOBase):
    """An open file of bytes; what is written is safe from a power cut after flush or close."""

    def __init__(self, vfs: VfsLfs2, path: str, mode: str) -> None:
        self._vfs = vfs
        self._handle = None
        self._flags = _flags(mode)
        self._handle = vfs.call(lfs.file_open, path, self._flags)
        _open_files.add(self)

    def _call(self, function: Callable, *args: object, needs: LFSFileFlag | int = 0) -> object:
        self._checkClosed()
        if needs & ~self._flags:  # littlefs would end the process
            raise board_error("EBADF")
        return self._vfs.call(function, self._handle, *args)

    def readinto(self, buf: bytearray) -> int:
        data = self._call(lfs.file_read, len(buf), needs=READ)
        buf[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._call(lfs.file_read, max(0, self._call(lfs.file_size) - self.tell()), needs=READ)

    def peek(self, n: int) -> bytes:
        """Return what comes next without moving on; io.RawIOBase.readline looks for the line's end in it."""
        start = self.tell()
        data = self._call(lfs.file_read, SEARCH, needs=READ)
        self.seek(start)
        return data

    def write(self, data: bytes) -> int:
        return self._call(lfs.file_write, bytes(data), needs=WRITE)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._call(lfs.file_seek, offset, whence)
        return self._call(lfs.file_tell)

    def flush(self) -> None:
        if self._handle is not None:
            self._call(lfs.file_sync)

    def close(self) -> None:
        handle, self._handle = self._handle, None
        super().close()
        if handle is not None:
            self._vfs.call(lfs.file_close, handle)

    def seekable(self) -> bool:
        return True

    readable = writable = seekable


class TextFile(io.TextIOWrapper):
    """An open text file: a read counts characters, a write returns the number of bytes."""

    def __init__(self, file: File) -> None:
        super().__init__(file, encoding="utf-8", newline="\n")

    def write(self, text: str | bytes) -> int:
        return self.buffer.write(text.encode() if isinstance(text, str) else text)


def close_files() -> None:
    """Close what programs have left open, as a soft reset does."""
    for file in list(_open_files):
        file.__del__()


def _flags(mode: str) -> LFSFileFlag:
    kinds = [letter for letter in mode if letter in MODES]
    if len(kinds) > 1:
        raise ValueError
    flags = MODES[kinds[0] if kinds else "r"]
    return flags | READ | WRITE if "+" in mode else flags
