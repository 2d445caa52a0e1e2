"""Where the kit keeps what is no module: docs, firmware, notebooks."""

import os
from pathlib import Path

PACKAGE = Path(__file__).parent


def origin() -> Path:
    """Return the folder that holds them: a checkout, or what travels in the wheel."""
    bundled = PACKAGE / "_files"
    return bundled if bundled.is_dir() else PACKAGE.parent


def is_ours(folder: Path) -> bool:
    """Tell whether a folder is the kit's own: the package, or a checkout and what a wheel takes of it."""
    place, home = Path(os.path.realpath(folder)), origin().resolve()  # links may go round
    parts = [PACKAGE.resolve(), *(home / name for name in ("docs", "firmware", "notebooks"))]
    return place == home or any(place.is_relative_to(part) for part in parts)
