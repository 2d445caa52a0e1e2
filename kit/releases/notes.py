"""What is new in a version: its section of a CHANGELOG.md (keepachangelog.com), or a text."""

import os
import re
from pathlib import Path

from kit.errors import ReleaseError

CHANGELOG = "CHANGELOG.md"
HEADING = re.compile(r"^##[ \t]+\[?v?([0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.-]*)\]?(?=[\s(:]|$).*\n?", re.MULTILINE)
NEXT = re.compile(r"^##?[ \t]", re.MULTILINE)
LINKS = re.compile(r"(?:^\[[^]\n]+\]:[^\n]*\n*)+\Z", re.MULTILINE)  # at the end of the file, for all sections


def find_notes(version: str, given: str | Path | None) -> str:
    """Return the notes of a version: of what was given, a text or the path of a file, else of CHANGELOG.md here.

    Raises:
        ReleaseError: there is no such file, or it has other versions and not this one.
    """
    if given is None:
        return section(version, _read(CHANGELOG)) or "" if os.path.isfile(CHANGELOG) else ""
    if not isinstance(given, str | os.PathLike):
        raise ReleaseError(f"A {type(given).__name__} is no notes.", "Give a text, or the path of a CHANGELOG.md.")
    is_file = isinstance(given, os.PathLike) or ("\n" not in given and os.path.isfile(given))
    notes = section(version, _read(given) if is_file else given)
    if notes is None:
        where = given if is_file else "The text"
        raise ReleaseError(f"{where} has no section of {version}.", f"Write one, with the heading ## [{version}].")
    return notes


def section(version: str, text: str) -> str | None:
    """Return the section of a version; the whole of a text without sections; None where only others have one."""
    text = text.replace("\r\n", "\n")
    headings = list(HEADING.finditer(text))
    if not headings:
        return text.strip()
    found = next((heading for heading in headings if heading[1] == version), None)
    if not found:
        return None
    after = text[found.end() :]
    end = NEXT.search(after)
    return LINKS.sub("", after[: end.start()] if end else after).strip()


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text("utf-8-sig")  # Notepad may put a BOM in front
    except UnicodeDecodeError:
        raise ReleaseError(f"{path} is not UTF-8.", "Save it as UTF-8.") from None
    except (OSError, ValueError) as error:  # ValueError: no operating system can have such a name
        reason = getattr(error, "strerror", None) or error
        raise ReleaseError(f"{path} cannot be read: {reason}.", "Check the path and the working folder.") from None
