"""Where the kit keeps what is no module: docs, firmware, notebooks."""

from pathlib import Path

PACKAGE = Path(__file__).parent


def origin() -> Path:
    """Return the folder that holds them: a checkout, or what travels in the wheel."""
    bundled = PACKAGE / "_files"
    return bundled if bundled.is_dir() else PACKAGE.parent
