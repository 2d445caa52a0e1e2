"""The folder of this application once more, in which its modules are unpacked: kit.build() packs them into one file.

Without that the application would not fit behind MicroPython. Imports look here in place of the folder itself.
"""

import os
import sys

import deflate
import vfs
from micropython import const

_GRAIN = const(64)  # bytes
_WINDOW = const(10)  # 2 ** 10 bytes that a module refers back to
_FILE = const((0x8000, 0, 0, 0, 0, 0, 0, 0, 0, 0))  # of os.stat
_APP, _, _END = __file__.rpartition("/packed")  # .mpy or .py
_FOLDERS = ["/" + entry[0] for entry in os.ilistdir(_APP) if entry[1] == 0x4000]

with open(_APP + "/modules.txt") as file:
    _places = file.read()  # a line for each module: its name, and where it stands in the file modules, in grains


def _find(path):
    """Return where a module stands, None where there is none of this name."""
    name = "\n" + path[1 : -len(_END)] + " "
    at = _places.find(name) + len(name) if path.endswith(_END) else 0
    return int(_places[at : _places.find("\n", at)]) * _GRAIN if at >= len(name) else None


class Folder:
    """A file system, as MicroPython takes one that is written in Python."""

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass

    def stat(self, path):
        if _find(path) is not None:
            return _FILE
        # beside the modules other files are opened, and not looked for; in a folder there may be a package
        if path not in _FOLDERS and "/" not in path[1:]:
            raise OSError(2)  # ENOENT
        return os.stat(_APP + path)

    def open(self, path, mode):
        place = _find(path)
        if place is None:
            return open(_APP + path, mode)
        file = open(_APP + "/modules", "rb")  # noqa: SIM115  the stream closes it
        file.seek(place)
        return deflate.DeflateIO(file, deflate.RAW, _WINDOW, True)


vfs.mount(Folder(), "/unpacked", readonly=True)
sys.path[sys.path.index(_APP)] = "/unpacked"
