import pytest

# The block device of firmware/slot.py in its simplest form, over a file.
MOUNT = """
import sys, vfs

class Blocks:
    def __init__(self, path):
        self.data = open(path, "rb").read()
    def readblocks(self, n, buf, offset=0):
        start = n * 512 + offset
        buf[:] = self.data[start : start + len(buf)]
    def ioctl(self, op, arg):
        return {4: len(self.data) // 512, 5: 512}.get(op, 0)

vfs.mount(vfs.VfsLfs2(Blocks(sys.argv[1])), "/app", readonly=True)
"""


@pytest.fixture(scope="session")
def mount() -> str:
    """Program for a MicroPython that mounts the file of its first argument at /app."""
    return MOUNT
