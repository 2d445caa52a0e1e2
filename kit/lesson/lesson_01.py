"""What is true of a board in lesson 01, and how its parts begin."""

import math

from kit.board.connection import connect
from kit.errors import TableError
from kit.image.app_image import AppImage
from kit.image.partition import SECTOR
from kit.image.update_image import build
from kit.lesson.begin import begin
from kit.lesson.names import Names

SECTOR_SECONDS = 0.0435  # to erase and to write one, as on the virtual board: kit/virtual/flash.py
CABLE = 921600 / 10  # bytes a second
FIRST_SLOT = 0x10000  # in every table of the kit
NAMED = slice(0x30, 0x70)  # version and project, in the app descriptor
KIB = 1024


def _seconds(names: Names) -> int:
    size = names.image.size
    return min((2, 20, 120), key=lambda guess: abs(math.log(guess / (size / SECTOR * SECTOR_SECONDS + size / CABLE))))


def _again(names: Names) -> str:
    """Tell whether the slot holds this version, whenever it was built: a part that begins anew builds another."""
    return "shorter" if names.board.read(FIRST_SLOT, SECTOR)[NAMED] == names.image.data[NAMED] else "the same"


def _guards(image: object) -> list[bool]:
    image = image if isinstance(image, AppImage) else AppImage.read(bytes(image))
    return [image.checksum_ok, bool(image.hash_ok), bool(image.application_ok)]


TRUTHS = {
    "seconds": _seconds,
    "again": _again,
    "third": lambda names: names.board.otadata().slot or "ota_0",  # a blank otadata starts the first one
    "text": lambda names: AppImage.read(names.image).descriptor.project,
    "guards": lambda names: _guards(names.damaged).count(False),
    "missing": lambda names: names.image.size - 1280 * KIB,
    "readable": lambda names: "yes" if b"wifi_password" in names.memory else "no",
    "says": lambda names: "something" if names.log.strip() else "nothing",
    "room": lambda names: names.contents.find("ota_1").size - names.image.size,
    "size": lambda names: int.from_bytes(names.row[8:12], "little"),
    "table": lambda names: [p.size for p in names.table if p.label.startswith("ota_")] == [1792 * KIB] * 2,
    "cut": lambda names: _guards(names.cut) == [True, True, False],
    "fooled": lambda names: _guards(names.fooled)[:2] == [True, False],
    "blink": lambda names: names.pins[2].blinks >= 3,
}


def _flashed(names: Names) -> None:
    names.board = board = connect()
    names.image = build("1.0.0", board=board)
    try:
        is_flashed = board.partitions().used.get("ota_0")
    except TableError:
        is_flashed = False
    if not is_flashed:
        board.flash(names.image)


def _installed(names: Names) -> None:
    names.image = build("1.0.0", board=begin(names))


PARTS = [lambda names: None, _flashed, _flashed, _installed]
