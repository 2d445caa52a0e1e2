"""What is true of a board in lesson 06, and how its parts begin."""

import random
import socket
import zlib
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from kit.board.board import Board
from kit.board.connection import connect
from kit.board.readiness import FIRST_VERSION, bring_first_version, runs
from kit.errors import KitError
from kit.image.update_image import UpdateImage, build
from kit.lesson.begin import log_in
from kit.lesson.names import MissingError, Names
from kit.releases.manifest import NAME, NEWEST, image_name, write_manifest
from kit.releases.release import release
from kit.releases.server import serve_releases
from kit.security.keys import new_key

TEAM, TIME_SERVER = "team.pem", "pool.ntp.org"
RELEASES, STOLEN, STAGING = "releases", "stolen", "staging"  # folders that the lesson fills
AGAIN = "Run this section from its beginning, then this cell again."
SHARES = {"nothing": 0.0, "a few sectors": 0.1, "half of it": 0.75, "all of it": 1.1}  # and up to how much each is
WEEKEND = ("21:30-23:30", {"sat", "sun"}, "EST5EDT,M3.2.0,M11.1.0", False)
# What a board knows of its last update (firmware/probation.py), of its source and its looks, and whom it tells
# (firmware/app/pair.py, which keeps two of each).
FORGET = """
from esp32 import NVS
nvs = NVS("kit")
for key in ["tried"] + [name + number for name in ("pull", "pulled", "tell") for number in ("", "1", "2")]:
    try:
        nvs.erase_key(key)
    except OSError:
        pass
nvs.commit()
"""


def _whose(names: Names) -> str:
    if names.whose.state.version != "1.9.0":
        raise KitError("The board has not looked at 1.9.0.", AGAIN)
    return "refuses it" if names.whose.state.outcome == "refused" else "runs it"


def _clock(names: Names) -> str:
    state = names.waiting.state
    if state.now is not None:
        advice = "The question is about a board that does not: go on."
        raise KitError("This board has asked a time server, and knows the time.", advice)
    return "never" if state.next is None else "at once"


def _late(names: Names) -> int:
    return sum(moment >= 90 * 60 for moment in names.moments)


def _night(names: Names) -> str:
    state = names.night.state
    if not state.now or not state.now.startswith("2027-03-28T00:5"):
        raise KitError("The board's clock does not say ten minutes to one, on 28 March 2027.", AGAIN)
    look = datetime.fromisoformat(state.next)
    if look.date() != datetime.fromisoformat(state.now).date():
        return "not that night"
    return "after 03:00" if look.hour >= 3 else "before 02:00"


def _again(names: Names) -> str:
    return "waits for a newer one" if names.again.state.outcome == "held" else "fetches it again"


def _noticed(names: Names) -> str:
    state = names.tampered.state
    if state.outcome != "refused":
        return "nobody"
    return "the signature" if "signed" in state.cause else "the digest"


def _twice(names: Names) -> str:
    """How much of the image that was fetched last the server sent more than once."""
    images = [request for request in names.server.requests if request.is_of_image and request.sent]
    if not images:
        raise KitError("This server was not asked for an image.", AGAIN)
    parts = [(r.first, r.first + r.sent) for r in images if r.path == images[-1].path]
    if len(parts) < 2:
        raise KitError("The image came in one piece.", AGAIN)
    reached = twice = 0
    for first, end in sorted(parts):
        twice += max(0, min(reached, end) - first)
        reached = max(reached, end)
    return next(share for share, most in SHARES.items() if twice <= most * reached)


def _pinned(names: Names) -> str:
    return names.ota.info()["version"]


def _moment(names: Names) -> bool:
    function, draw = names.moment, random.Random(6)
    cases = [(draw.randbytes(6), draw.randrange(1, 1440)) for _ in range(20)]
    try:
        told = [function(*case) for case in cases]
    except Exception as error:  # whatever a learner's function can do
        cause = f"`moment` stops with {type(error).__name__}: {error}."
        raise KitError(cause, "Correct it, and run its cell and this one again.") from None
    return told == [zlib.crc32(mac) % (minutes * 60 * 3 // 4) for mac, minutes in cases]


def _weekend(names: Names) -> bool:
    found = names.ota.fetching()
    return (found.window, set(found.days or ()), found.zone, found.hold) == WEEKEND


def _whole(names: Names) -> bool:
    """Of folders whose file is as the manifest says, changed, or cut short."""
    function, data = names.is_whole, random.Random(6).randbytes(5000)
    files = {data: True, data[:-1] + b"\0": False, data[:-1]: False}
    told = {}
    with TemporaryDirectory() as folder:
        Path(folder, NEWEST).write_bytes(write_manifest("2.0.0", data, 0, "For a check."))
        for content in files:
            Path(folder, image_name("2.0.0")).write_bytes(content)
            try:
                told[content] = function(folder)
            except Exception as error:  # whatever a learner's function can do
                cause = f"`is_whole` stops with {type(error).__name__}: {error}."
                raise KitError(cause, "Correct it, and run its cell and this one again.") from None
    return told == files


def _nowhere(names: Names) -> bool:
    told = names.ota.telling()
    return (names.ota.fetching().url, told.mqtt, told.webhook) == (None, None, None)


TRUTHS = {
    "whose": _whose,
    "clock": _clock,
    "late": _late,
    "night": _night,
    "again": _again,
    "noticed": _noticed,
    "twice": _twice,
    "cut": _twice,
    "pinned": _pinned,
    "told": lambda names: names.news.state["version"],
    "moment": _moment,
    "weekend": _weekend,
    "whole": _whole,
    "nowhere": _nowhere,
}


def _begin(names: Names) -> None:
    """Version 1.0.0 on a board that trusts the key of the team, and fetches nothing; no releases."""
    _bring(names, FIRST_VERSION)
    _empty()


def _begin_released(names: Names) -> None:
    """As `_begin`; 1.1.0 is released, and the board knows where."""
    board = _bring(names, FIRST_VERSION)
    _serve(names, build("1.1.0", board=board).sign(TEAM))


def _begin_fetched(names: Names) -> None:
    _begin_at(names, "1.1.0")


def _begin_mended(names: Names) -> None:
    _begin_at(names, "1.5.0")


def _begin_at(names: Names, version: str) -> None:
    """A version that is released runs, and the board knows where from."""
    board = _bring(names, version)
    image = build(version, board=board).sign(TEAM)
    if not runs(board, version):
        names.ota.upload(image, whole=True)  # its bar is the same on every board
        log_in(names)
    _serve(names, image)


def _bring(names: Names, version: str) -> Board:
    """Have a version or else 1.0.0 on a board that trusts the key of the team and has forgotten what it fetched."""
    board = names.board = connect()
    if not runs(board, version):
        bring_first_version(board)
    if not Path(TEAM).exists():
        new_key(TEAM)
    with board.repl() as repl:
        repl.exec(FORGET)
    board.install(signers=[TEAM])
    log_in(names)
    names.host = _own_address(board)
    return board


def _serve(names: Names, image: UpdateImage) -> None:
    """Release an image and nothing else, where the board looks."""
    _empty()
    release(image, RELEASES, "The first that came by itself.")
    with suppress(MissingError):
        names.server.close()
    names.server = serve_releases(RELEASES, host=names.host)
    ntp = None if names.board.is_virtual else TIME_SERVER  # the lesson sets the clock of a virtual board
    names.ota.fetch_from(names.server.url, window="02:00-04:00", zone="Europe/Berlin", ntp=ntp)


def _empty() -> None:
    """Take away what the lesson has released; a version is never replaced."""
    for folder in (RELEASES, STOLEN, STAGING):
        for path in [*Path(folder).glob("manifest*.json"), *Path(folder).glob(f"{NAME}-*.*")]:
            path.unlink()


def _own_address(board: Board) -> str:
    """Return the address by which a board reaches this computer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((urlsplit(board.url).hostname, 9))  # sends nothing
        return probe.getsockname()[0]


PARTS = [_begin, _begin_released, _begin_fetched, _begin_mended]
