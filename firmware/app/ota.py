"""What is known of the two slots and of the update that runs. It stays in memory; the updater comes when one begins."""

import slot


class Ota:
    """`target` is the slot after `running`, None where there is none.

    `progress` is what GET /progress shows; `token` may see that as long as its update runs, even if it ends before.
    """

    def __init__(self, running):
        self.running = running
        self.target = slot.other(running)
        self.progress = {"phase": "idle", "received": 0, "written": 0, "size": 0, "error": None}
        self.token = None

    def is_busy(self):
        return self.progress["phase"] != "idle"
