# Runs on CPython and on MicroPython.
"""Mount the file system at each start of the interpreter, as MicroPython's `_boot` does."""

import vfs
from flashbdev import bdev

try:
    if bdev:
        vfs.mount(bdev, "/")
except OSError:
    import inisetup

    inisetup.setup()
