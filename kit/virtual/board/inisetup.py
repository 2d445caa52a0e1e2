# Runs on CPython and on MicroPython.
"""Make a file system where there is none, as MicroPython's `inisetup` does; the texts are the ones that it leaves."""

import time

import micropython
import vfs
from flashbdev import bdev

_BOOT_PY = """\
# This file is executed on every boot (including wake-boot from deepsleep)
#import esp
#esp.osdebug(None)
#import webrepl
#webrepl.start()
"""

_CORRUPTED = """\
The filesystem appears to be corrupted. If you had important data there, you
may want to make a flash snapshot to try to recover it. Otherwise, perform
factory reprogramming of MicroPython firmware (completely erase flash, followed
by firmware programming).
"""


def setup():
    sector = bytearray(bdev.ioctl(5, 0))
    bdev.readblocks(0, sector)
    if sector != b"\xff" * len(sector):  # something may be left of what was there
        micropython.kbd_intr(3)  # Ctrl-C ends the loop
        while True:
            print(_CORRUPTED)
            time.sleep(3)
    print("Performing initial setup")
    vfs.VfsLfs2.mkfs(bdev)
    vfs.mount(vfs.VfsLfs2(bdev), "/")
    with open("boot.py", "w") as file:
        file.write(_BOOT_PY)
