"""What is known of the two slots and of the update that runs. It stays in memory; the updater comes when one begins."""

import binascii
import os

import boot_files
import slot
from errors import UpdateError
from esp32 import Partition
from micropython import const

_OTADATA = const(0)  # subtype


class Ota:
    """`target` is the slot after `running`, None where there is none or where no otadata could name it.

    `last` is what GET /info says of the last update, `address` where the running one comes from. `progress` is what
    GET /progress shows; `token` may see that as long as its update runs, even if it ends before.
    """

    def __init__(self, running):
        self.running = running
        self.target = slot.other(running) if Partition.find(Partition.TYPE_DATA, _OTADATA) else None
        self.progress = {"phase": "idle", "received": 0, "written": 0, "size": 0, "error": None}
        self.token = self.address = None
        self.last = boot_files.note("last")
        self.signers = self.security = 0  # keys that are trusted, least security version: see signature.py
        self.writes = 0  # updates that have begun to write to the target
        self._start = binascii.hexlify(os.urandom(4)).decode()

    def is_busy(self):
        return self.progress["phase"] != "idle"

    def tag(self):
        """Return the ETag of what the target holds: another one after each restart and each update that wrote to it."""
        return f'"{self._start}-{self.writes}"'

    def check_target(self):
        """Raise UPDATE_ERROR_NO_PARTITION where no update has a place."""
        if self.target is None:
            raise UpdateError("NO_PARTITION", "The partition table has no second slot.")

    def boot(self):
        """Return the label of the boot slot, None where there is no otadata (OSError ENOENT on the chip)."""
        try:
            return Partition(Partition.BOOT).info()[4]
        except OSError:
            return None
