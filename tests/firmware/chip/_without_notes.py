# Runs on CPython and on MicroPython.
"""The updater's operations alone: with boot files that take no notes. bodies/notes.py has those."""

import _chip
import boot_files
import web  # noqa: F401 - it opens NVS

boot_files.NUMBER = 2
_chip.operations = 0
