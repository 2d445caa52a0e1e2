"""What this computer keeps of boards: small JSON files in the user data folder, for this user only."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import platformdirs


def read_kept(name: str) -> dict:
    """Return what a file holds; nothing where there is none yet, or none of ours."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(_path(name).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def keep(name: str, more: Mapping[str, str]) -> None:
    """Add to what a file holds; where that is not possible, do without."""
    held, new = read_kept(name) | more, _path(name).with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        new.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(held, file)
        new.replace(_path(name))


def _path(name: str) -> Path:
    return platformdirs.user_data_path("esp32-ota-kit") / name
