"""The littlefs of an application, in which all that an edit does not touch stays where the kit's own has it.

Only sectors that changed are sent to a board. So a file has the place of the kit's own file of this name, for as many
blocks as that has; what is longer or new goes behind all places, and the place of a file that is gone stays empty.
"""

import hashlib
import zlib
from collections.abc import Mapping

from littlefs import LittleFS, LittleFSError, UserContext, lfs

from kit.image.folder import too_large
from kit.image.partition import SECTOR

BLOCK_SIZE = 512  # with blocks of a whole sector the application as .py would not fit behind MicroPython
# what MicroPython's VfsLfs2 mounts with (extmod/vfs_lfs.c), so that an image has the same limits
LITTLEFS = {"block_size": BLOCK_SIZE, "read_size": 32, "prog_size": 32, "cache_size": 128, "lookahead_size": 32}
# The two blocks of a superblock. littlefs takes blocks from `seed % block_count` on (lfs.c, lfs_mount): mounted as
# small as this it begins at the beginning whatever the seed, and grown at once it goes on alike to any size.
SMALLEST = 2
INLINE = BLOCK_SIZE // 8  # bytes of a file that needs no block (lfs.c, lfs_init: inline_max)
BLOCKS_KNOWN_BY = 8  # bytes that stand for the blocks of a file in its folder (lfs.h, struct lfs_ctz)
# littlefs halves the block of a folder that is full (lfs.c, lfs_dir_splittingcompact). In the order of the alphabet the
# first half never gets another name; every fourth name first, and most halves fill up: 6 pairs of blocks for 39 files
# in place of 8. To find a file all pairs before it are read, and the boot files keep 12 blocks (firmware/slot.py).
SPREAD = 4
UNUSED = b"\xff" * 4  # as flash is that was erased
RESIDUE = 0xFFFFFFFF  # CRC-32, as zlib has it, of a text and the CRC-32 that littlefs has of it

# The second one too: littlefs says so of any name that finds no place (lfs.c, lfs_file_opencfg).
FULL = (LittleFSError.Error.LFS_ERR_NOSPC, LittleFSError.Error.LFS_ERR_NAMETOOLONG)

Files = Mapping[str, bytes]


def make_image(files: Files, places: Files, room: int) -> bytes:
    """Return an image that holds these files, the same bytes each time.

    Args:
        places: the files whose places they take as far as `room` allows; empty for the smallest image.
        room: bytes that the image may have.

    Raises:
        ImageError: too large.
    """
    image = (places and _smallest(files, places, room)) or _smallest(files, files, room)
    if not image:
        raise too_large(sum(map(len, files.values())), room)
    return image


def _smallest(files: Files, places: Files, room: int) -> bytes | None:
    """Return the smallest image, in whole sectors, that holds files and places."""
    blocks = SMALLEST + sum(-(-len(data) // BLOCK_SIZE) for data in files.values() if len(data) > INLINE)
    least = -(-blocks * BLOCK_SIZE // SECTOR)  # without folders and pointers; each try with too few takes its time
    for sectors in range(least, room // SECTOR + 1):
        try:
            return _filled(files, places, sectors * SECTOR // BLOCK_SIZE)
        except LittleFSError as error:
            if error.code not in FULL:
                raise
    return None


def _filled(files: Files, places: Files, blocks: int) -> bytes:
    context = UserContext(blocks * BLOCK_SIZE)
    filesystem = LittleFS(context, **LITTLEFS, block_count=SMALLEST)
    filesystem.fs_grow(blocks)
    placed = {name: _in_place(files.get(name, own), own) for name, own in places.items()}
    names = list(placed)
    names = [name for first in range(SPREAD) for name in names[first::SPREAD]]
    for name in names:  # all of them first, so that they share few sectors: any edit changes one of these
        _write(filesystem, name, bytes(BLOCKS_KNOWN_BY))
    for name, data in placed.items():
        _write(filesystem, name, data)
    for path in sorted(_paths(placed) - _paths(files), reverse=True):  # a folder after what is in it
        lfs.remove(filesystem.fs, path.rstrip("/"))
    for name, data in files.items():
        if name not in placed:
            _write(filesystem, name, data)
        elif behind := data[len(placed[name]) :]:
            _write(filesystem, name, behind, mode="ab")
        elif len(data) < len(placed[name]):
            _cut(filesystem, name, len(data))
    filesystem.unmount()
    return _told_apart(context.buffer)


# littlefs ends what it writes to a folder with the CRC-32 of it (lfs.c, lfs_dir_commitcrc), and a CRC-32 over a text
# and its own is the same for any text: two folders could not be told apart by GET /sectors.
def _told_apart(image: bytearray) -> bytes:
    """Return the image with a hash of each folder's block at the end of the block, which littlefs does not use."""
    told = bytearray(image)
    for start in range(0, len(image), BLOCK_SIZE):
        block = bytes(image[start : start + BLOCK_SIZE])
        if block.endswith(UNUSED) and _holds_its_crc(block):
            end = start + BLOCK_SIZE
            told[end - len(UNUSED) : end] = hashlib.sha256(block).digest()[: len(UNUSED)]
    return bytes(told)


def _holds_its_crc(block: bytes) -> bool:
    crc = 0
    for at in range(BLOCK_SIZE):
        crc = zlib.crc32(block[at : at + 1], crc)
        if crc == RESIDUE:
            return True
    return False


def _in_place(data: bytes, own: bytes) -> bytes:
    """Return what of a file is written to the place of the kit's own: as many blocks as that has."""
    if len(data) > (most := capacity(len(own))):
        return data[:most]  # the last block is full: what littlefs appends moves none (lfs.c, lfs_ctz_extend)
    if len(own) > capacity(len(data)):
        return data + own[len(data) :]  # cut off later, which moves none either (lfs.c, lfs_file_truncate)
    return data


def capacity(size: int) -> int:
    """Return how many bytes fit the blocks that a file of this size has.

    A block begins with pointers to blocks before it, four bytes each: block 1 with one, 2 with two, 3 with one, 4 with
    three, each as many as its number has trailing zeros and one more (DESIGN.md of littlefs, CTZ skip-lists).
    """
    most, block = INLINE, 0
    while most < size:
        pointers = 2 * block - block.bit_count()  # in all blocks up to this one
        block += 1
        most = block * BLOCK_SIZE - 4 * pointers
    return most


def _paths(files: Files) -> set[str]:
    """Return the names of the files, and of the folders they are in with a slash behind."""
    folders = {name[: end + 1] for name in files for end, letter in enumerate(name) if letter == "/"}
    return folders | set(files)


def _write(filesystem: LittleFS, name: str, data: bytes, mode: str = "wb") -> None:
    if "/" in name:
        filesystem.makedirs(name.rpartition("/")[0], exist_ok=True)
    # Not by open(): where the last bytes find no place its file is closed twice, which ends the process.
    file = lfs.file_open(filesystem.fs, name, mode)
    lfs.file_write(filesystem.fs, file, data)
    lfs.file_close(filesystem.fs, file)


def _cut(filesystem: LittleFS, name: str, size: int) -> None:
    file = lfs.file_open(filesystem.fs, name, "r+b")
    lfs.file_truncate(filesystem.fs, file, size)
    lfs.file_close(filesystem.fs, file)
