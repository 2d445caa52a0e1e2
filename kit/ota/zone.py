"""Time zones as boards take them: by the rule of POSIX, since a board has no list of names."""

import re
import zoneinfo
from contextlib import suppress
from importlib import resources
from pathlib import Path

from kit.errors import BoardError

RULE = re.compile(r"([A-Za-z]{3,}|<[A-Za-z0-9+-]+>)[+-]?\d[^/\n]*(/.*)?")  # begins so: "CET-1CEST,…", "<+0545>-5:45"


def posix_zone(zone: str) -> str:
    """Return the POSIX TZ of a time zone: of a name such as "Europe/Berlin", or of what is one already.

    A file of tzdata ends with a line that says what holds from now on (RFC 9636, 3.3).

    Raises:
        BoardError: it is neither, or its tzdata file has no such line.
    """
    with suppress(TypeError, ValueError, KeyError, OSError):  # no text, or the name of no zone
        zoneinfo.ZoneInfo(zone)
        if rule := _tzdata(zone).removesuffix(b"\n").rpartition(b"\n")[2].decode("ascii"):
            return rule
    if isinstance(zone, str) and RULE.fullmatch(zone):
        return zone
    raise BoardError(
        f"{zone!r} is no time zone.",
        'Give a name such as "Europe/Berlin", or a rule as POSIX has it: "CET-1CEST,M3.5.0,M10.5.0/3".',
    )


def _tzdata(name: str) -> bytes:
    """Return what zoneinfo reads of a zone: of this computer, else of the package tzdata."""
    file = next((path for folder in zoneinfo.TZPATH if (path := Path(folder, name)).is_file()), None)
    return (file or resources.files("tzdata.zoneinfo").joinpath(name)).read_bytes()
