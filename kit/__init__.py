"""A small helper package for learning over-the-air firmware updates on an ESP32 with MicroPython."""

import importlib

_HOMES = {
    "connect": "kit.board.connection",
    "find": "kit.board.found",
    "preflight": "kit.board.preflight",
    "Board": "kit.board.board",
    "build": "kit.image.update_image",
    "new_app": "kit.image.application",
    "set_constant": "kit.image.application",
    "read_function": "kit.image.application",
    "base_image": "kit.image.release",
    "AppImage": "kit.image.app_image",
    "PartitionTable": "kit.image.table",
    "compare_schemes": "kit.image.schemes",
    "OtaClient": "kit.ota.client",
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
