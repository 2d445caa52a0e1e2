# Runs on CPython and on MicroPython.
"""The block device of the file system, as MicroPython's `flashbdev` finds it."""

from esp32 import Partition

_found = Partition.find(Partition.TYPE_DATA, label="vfs")
bdev = _found[0] if _found else None
