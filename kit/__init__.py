"""A small helper package for learning over-the-air firmware updates on an ESP32 with MicroPython."""

import importlib

_HOMES = {
    "connect": "kit.connection",
    "find": "kit.found",
    "preflight": "kit.checks",
    "Board": "kit.board",
    "build": "kit.update_image",
    "new_app": "kit.application",
    "set_constant": "kit.application",
    "read_function": "kit.application",
    "base_image": "kit.base",
    "AppImage": "kit.image",
    "PartitionTable": "kit.table",
    "compare_schemes": "kit.schemes",
    "OtaClient": "kit.ota",
    "KitError": "kit.errors",
}
__all__ = [*_HOMES, "faults"]


def __getattr__(name: str) -> object:
    """Import on first use: the virtual board's child starts with this package and needs none of it (PEP 562)."""
    if name == "faults":
        return importlib.import_module("kit.faults")
    if name not in _HOMES:
        raise AttributeError(f"module 'kit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
