"""What a web server answers of one folder of files: whole, in part, or not changed (RFC 9110, 13 and 14)."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

TYPES = {".json": "application/json", ".md": "text/markdown; charset=utf-8", ".txt": "text/plain; charset=utf-8"}
BINARY = "application/octet-stream"
# One range; of several the whole file may come. Longer numbers Python would refuse to read.
RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.IGNORECASE)
ETAG = re.compile(r'(?:W/)?("[^"]*")')


@dataclass(frozen=True)
class Answer:
    """An answer; `first` is where in the file its body begins."""

    status: int
    headers: dict[str, str]
    body: bytes = field(default=b"", repr=False)
    first: int = 0


def answer(folder: Path, method: str, target: str, headers: Mapping[str, str]) -> Answer:
    """Return the answer to a request for a file of a folder."""
    if method not in ("GET", "HEAD"):
        return _refusal(405, "This server only reads.", Allow="GET, HEAD")
    data = _read(folder, target)
    if data is None:
        return _refusal(404, "There is no such file.")
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    known = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "no-cache"}
    if _is_known(tag, headers.get("If-None-Match", "")):
        return Answer(304, known)
    known["Content-Type"] = TYPES.get(os.path.splitext(urlsplit(target).path)[1], BINARY)
    part = _part(headers, tag, len(data)) if method == "GET" else None
    if part is None:
        return Answer(200, known, data)
    if not part:
        return Answer(416, known | {"Content-Range": f"bytes */{len(data)}"})
    where = f"bytes {part.start}-{part.stop - 1}/{len(data)}"
    return Answer(206, known | {"Content-Range": where}, data[part.start : part.stop], part.start)


def _refusal(status: int, text: str, **headers: str) -> Answer:
    return Answer(status, {"Content-Type": TYPES[".txt"]} | headers, f"{text}\n".encode())


def _read(folder: Path, target: str) -> bytes | None:
    """Return a file of the folder itself, not of one in it or beside it, also not by a link; nor a hidden one."""
    try:
        name = unquote(urlsplit(target).path).removeprefix("/")
        if re.search(r"^\.|[/\\:\0]", name):  # \ and : lead elsewhere on Windows
            return None
        path = Path(os.path.realpath(folder / name))
        is_inside = path.parent == Path(os.path.realpath(folder)) and not path.name.startswith(".")
        return path.read_bytes() if is_inside else None
    except (OSError, ValueError):  # ValueError: such a name no file can have, or no URL
        return None


def _is_known(tag: str, known: str) -> bool:
    return known.strip() == "*" or tag in ETAG.findall(known)


def _part(headers: Mapping[str, str], tag: str, size: int) -> range | None:
    """Return the bytes that are asked for, an empty range where there are none such; None for the whole file."""
    wanted = RANGE.fullmatch(headers.get("Range", "").replace(" ", ""))
    if not wanted or headers.get("If-Range", tag).strip() != tag:
        return None
    first, last, suffix = wanted.groups()
    if suffix:
        return range(max(0, size - int(suffix)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1) if last else size)
