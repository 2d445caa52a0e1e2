"""What is true of a board in lesson 02, and how its parts begin."""

import re
from pathlib import Path

import requests

from kit.errors import KitError, RollbackError
from kit.image.application import new_app, read_function, set_constant
from kit.image.partition import SECTOR
from kit.image.update_image import build
from kit.lesson.begin import begin, begin_updated
from kit.lesson.names import Names
from kit.ota.result import UploadResult

GREEN, TITLE = "#15803d", "ESP32 OTA Update"  # of the lesson's 1.1.0, and of the kit's own pages
INFO = "name version build chip running boot next image_state sketch_size free_sketch_space free_heap rssi ip hostname"
INFO += " uptime boot_files signers security_version https reset_cause last_update"
FEW = 0.1  # of the sectors; one more line, or one more file, is a hundredth


def _changed_record(names: Names) -> int:
    return next(n for n in (0, 1) if names.before.records[n] != names.after.records[n])


def _stored(names: Names) -> str:
    config = names.ota.config()
    stored = (config["wifi_ssid"] == "another network") + (config["hostname"] == "my second board")
    return ("none", "half", "all")[stored]


def _answer(names: Names, path: str) -> str:
    names.ota.info()  # says in the kit's words that there is no board
    answer = requests.get(names.board.url + path, timeout=10)
    return answer.text if answer.ok else ""


def _is_coloured(names: Names) -> bool:
    colour = re.search(r"h1 { background: (\S+);", _answer(names, "/"))
    return names.ota.info()["version"] == "1.3.0" and colour[1] != GREEN


def _travelled(result: UploadResult) -> str:
    if result.sectors is None:
        return "all"
    share = len(result.sectors) * SECTOR / result.bytes
    return "a few" if share < FEW else "half" if share < 1 - FEW else "all"


TRUTHS = {
    "slot": lambda names: names.result.slot,
    "old": lambda names: "no" if names.before.slot == names.result.slot else "yes",
    "state": lambda names: names.ota.info()["image_state"],
    "record": _changed_record,
    "seq": lambda names: names.after.records[_changed_record(names)].seq,
    "sector": lambda names: int("range(_SECTOR," not in read_function(names.app / "updater.py", "_write")),
    "travel": lambda names: _travelled(names.small),
    "again": lambda names: _travelled(names.rest),
    "stored": _stored,
    "program": lambda names: "still there" if "Firmware Version" in names.log else "gone",
    "refused": lambda names: names.ota.progress()["error"] == "UPDATE_ERROR_VERSION",
    "colour": _is_coloured,
    "nonsense": lambda names: names.ota.progress()["error"] == "UPDATE_ERROR_MAGIC_BYTE",
    "title": lambda names: f"<h1>{TITLE}" not in _answer(names, "/"),
    "hello": lambda names: bool(_answer(names, "/hello")),
    "owner": lambda names: bool(set(names.ota.info()) - set(INFO.split())),
}


def _own_app() -> Path:
    is_new = not Path("my_app").exists()
    app = new_app("my_app")
    if is_new:
        set_constant(app / "page.py", "COLOUR", GREEN)
    return app


def _built(names: Names) -> None:
    board, names.app = begin(names), _own_app()
    names.image = build("1.1.0", board=board, app=names.app)


def _updated(names: Names, version: str | None = None) -> None:
    names.app = _own_app()
    try:
        begin_updated(names, names.app, version)
    except RollbackError as error:
        advice = 'Mend it, or begin afresh with `kit.new_app("my_app", fresh=True)`, and run this cell again.'
        raise KitError(f"Your my_app does not run on the board. {error.cause}", advice) from None


# In part 3 versions come that a later one would refuse.
PARTS = [begin, _built, lambda names: _updated(names, "1.1.0"), _updated]
