"""VfsLfs2 and its files (extmod/vfs_lfsx.c, vfs_lfsx_file.c of v1.26) over the littlefs library."""

import io
import sys
import weakref
from collections.abc import Callable, Iterator
from functools import partialmethod
from types import SimpleNamespace

from .errors import BoardOSError, board_error
from .interrupt import pending
from .streams import Stream, as_bytes

# littlefs-python 0.19 asks this module, or Python's own of nearly this name, for its version: a third of the time in
# which a board starts.
sys.modules["importlib_metadata"] = SimpleNamespace(version=lambda name: "", PackageNotFoundError=LookupError)
from littlefs import LittleFSError, lfs  # noqa: E402
from littlefs.lfs import LFSFileFlag  # noqa: E402

del sys.modules["importlib_metadata"]

DIRECTORY, REGULAR = 0x4000, 0x8000  # st_mode
IO_ERROR, READ_ONLY = -5, -30  # what a callback tells littlefs
SYNC, BLOCK_COUNT, BLOCK_SIZE, BLOCK_ERASE = 3, 4, 5, 6  # ioctl of a block device
# What MicroPython's VfsLfs2 uses unless it is told otherwise; times of change are not kept here.
GEOMETRY = {"read_size": 32, "prog_size": 32, "cache_size": 128, "lookahead_size": 32, "block_cycles": 100}
READ, WRITE = LFSFileFlag.rdonly, LFSFileFlag.wronly
MODES = {  # of the library's own, "a" does not make the file
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

    umount = partialmethod(call, lfs.unmount)
    mkdir = partialmethod(call, lfs.mkdir)
    remove = rmdir = partialmethod(call, lfs.remove)
    rename = partialmethod(call, lfs.rename)

    def __repr__(self) -> str:
        return "<VfsLfs2>"

    def mount(self, readonly: bool, mkfs: bool) -> None:
        self._device.read_only = bool(readonly)

    def open(self, path: str, mode: str) -> io.IOBase:
        file = File(self, path, mode)
        return file if "b" in mode else TextFile(file)

    def ilistdir(self, path: str) -> Iterator[tuple]:
        return ((info.name, *_mode_inode_size(info)) for info in self.call(_entries, path))

    def stat(self, path: str) -> tuple:
        mode, _, size = _mode_inode_size(self.call(lfs.stat, path))
        return (mode, 0, 0, 0, 0, 0, size, 0, 0, 0)

    def statvfs(self, path: str) -> tuple:
        size, count = self._config.block_size, self._config.block_count
        free = count - self.call(lfs.fs_size)
        return (size, size, count, free, free, 0, 0, 0, 0, 255)


def _entries(fs: lfs.LFSFilesystem, path: str) -> list[lfs.LFSStat]:
    directory = lfs.dir_open(fs, path)
    found = list(iter(lambda: lfs.dir_read(fs, directory), None))
    lfs.dir_close(fs, directory)
    return [info for info in found if info.name not in (".", "..")]


def _mode_inode_size(info: lfs.LFSStat) -> tuple[int, int, int]:
    """A folder's size is left by littlefs as whatever was in memory."""
    return (REGULAR, 0, info.size) if info.type == 1 else (DIRECTORY, 0, 0)


open_files = weakref.WeakSet()


class File(Stream):
    """An open file of bytes; what is written is safe from a power cut after flush or close."""

    def __init__(self, vfs: VfsLfs2, path: str, mode: str) -> None:
        self._vfs = vfs
        self._handle = None
        flags = MODES[next((letter for letter in mode if letter in MODES), "r")]
        self._handle = vfs.call(lfs.file_open, path, flags | READ | WRITE if "+" in mode else flags)
        open_files.add(self)

    def _call(self, function: Callable, *args: object, needs: int = 0) -> object:
        self._checkClosed()
        if needs & ~self._handle.flags:  # littlefs would end the process
            raise board_error("EBADF")
        return self._vfs.call(function, self._handle, *args)

    def receive(self, view: memoryview) -> int:
        data = self._call(lfs.file_read, len(view), needs=READ)
        view[: len(data)] = data
        return len(data)

    def write(self, data: bytes) -> int:
        return self._call(lfs.file_write, bytes(as_bytes(data)), needs=WRITE)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._call(lfs.file_seek, offset, whence)

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
