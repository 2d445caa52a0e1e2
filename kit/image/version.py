"""Versions of updates: semver.org without build metadata, such as 1.0.0 or 1.1.0-rc.1."""

import re

from kit.errors import ImageError

_NUMBER = r"(0|[1-9][0-9]*)"
_WORD = rf"({_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_WORD}(\.{_WORD})*)?")
LONGEST = 31  # characters that fit the app descriptor


def is_version(text: object) -> bool:
    """Tell whether an update can be called so."""
    return isinstance(text, str) and len(text) <= LONGEST and bool(VERSION.fullmatch(text))


def check_version(version: object) -> None:
    """Raise ImageError unless an update can be called so."""
    if not is_version(version):
        raise ImageError(
            f"{version!r} is no version of an update.",
            f'Give three numbers such as "1.1.0", or "1.1.0-rc.1", in at most {LONGEST} characters.',
        )


def precedence(version: str) -> tuple:
    """Return what versions are sorted by, as firmware/app/judge.py has it (semver.org, 11)."""
    core, dash, pre = version.partition("-")
    words = pre.split(".") if dash else []
    keys = [(0, int(word), "") if word.isdigit() else (1, 0, word) for word in words]
    return tuple(map(int, core.split("."))), not dash, keys
