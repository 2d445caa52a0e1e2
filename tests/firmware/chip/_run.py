# Runs on CPython and on MicroPython.
"""Run one function of a body: _run.py BODY FUNCTION FLASH [ARGUMENT ...]"""

import gc
import sys

sys.path[:0] = sys.argv[1].split(":")
import _chip  # noqa: E402
import _prelude  # noqa: E402, F401

gc.threshold(16384)  # as slot.start has it
_chip.open_flash(sys.argv[4])
import slot  # noqa: E402

slot.LOG = sys.argv[4] + ".log/"
body = __import__(sys.argv[2])
getattr(body, sys.argv[3])(*sys.argv[5:])
print("PASSED")
