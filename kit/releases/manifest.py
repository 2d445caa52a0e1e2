"""The manifest of a release: what a board reads before it fetches anything.

ESPHome's update platform `http_request` takes name, version and builds, and of the build whose chipFamily is its own
ota.path (relative to the manifest, unless "http" is in it), ota.md5, and, if they are texts, ota.summary and
ota.release_url (esphome/components/http_request/update/http_request_update.cpp). ESP Web Tools takes name, version,
new_install_prompt_erase and builds, and looks for the same chipFamily (src/const.ts and src/flash.ts of
esphome/esp-web-tools). It would write `parts` to an empty board, by cable. There are none here: a board needs boot
files and settings too, which board.install() brings. Our own members are sha256, size, sectors and security_version.
"""

import hashlib
import json
from bisect import bisect_right

from kit.errors import ReleaseError

NAME, CHIP_FAMILY = "esp32-ota", "ESP32"
MOST = 8192  # bytes of it that firmware/app/pull.py takes
NEWEST = "manifest.json"
CUT = " …"


def image_name(version: str) -> str:
    return f"{NAME}-{version}.bin"


def sectors_name(version: str) -> str:
    return f"{NAME}-{version}.crc32"


def manifest_name(version: str) -> str:
    return f"manifest-{version}.json"


def write_manifest(version: str, data: bytes, security_version: int, notes: str) -> bytes:
    """Return the manifest of an image; notes are cut where it would have more than 8 kB.

    Raises:
        ReleaseError: the notes are no text that can be written.
    """
    ota = {
        "path": image_name(version),
        "md5": hashlib.md5(data).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "sectors": sectors_name(version),
        "security_version": security_version,
        "summary": "",
    }
    builds = [{"chipFamily": CHIP_FAMILY, "ota": ota}]
    whole = {"name": NAME, "version": version, "new_install_prompt_erase": False, "builds": builds}
    try:
        ota["summary"] = _cut(notes, MOST - len(_json(whole)))
        return _json(whole)
    except UnicodeEncodeError:
        raise ReleaseError("The notes have characters that UTF-8 has not.", "Write them anew.") from None


def read_ota(data: bytes) -> dict:
    """Return what a manifest of ours says of its image, empty where it is none."""
    try:
        return {"sha256": "", "summary": ""} | json.loads(data)["builds"][0]["ota"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n"


def _cut(notes: str, room: int) -> str:
    """Return as much of a text as has room in so many bytes of JSON."""

    def size(text: str) -> int:
        return len(_json(text)) - len(_json(""))

    if size(notes) <= room:
        return notes
    ends = range(1, len(notes))
    return notes[: bisect_right(ends, room, key=lambda end: size(notes[:end] + CUT))].rstrip() + CUT
