# Runs on CPython and on MicroPython.
"""machine.WDT, for as long as the stand-in of `machine` has none."""

import _chip


class WDT:
    def __init__(self, id=0, timeout=5000):
        self._timeout = timeout
        self.feed()

    def feed(self):
        _chip.watch(self._timeout)
