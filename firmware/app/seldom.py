"""Modules that are seldom needed."""

import sys

_FOLDER = __file__.rpartition("/")[0]


def load(name):
    """Return a module, and forget it with all that it brought: in between they take no memory."""
    before = list(sys.modules)
    module = __import__(name)
    for new in [new for new in sys.modules if new not in before]:
        if getattr(sys.modules[new], "__file__", "").startswith(_FOLDER):
            del sys.modules[new]
    return module
