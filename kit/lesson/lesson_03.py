"""What is true of a board in lesson 03, and how its parts begin."""

import math

from kit.errors import KitError
from kit.faults.gallery import KEPT, REFUSED, Gallery, Outcome
from kit.image.otadata import slot_of
from kit.image.update_image import build
from kit.lesson.begin import begin
from kit.lesson.names import MissingError, Names

AGAIN = "Run this section from its beginning, then this cell again."
MAGIC = 0xE9
BLAMED = {"UPDATE_ERROR_WRITE": "the flash", "": "nobody"}  # by the error that the client was told
TRIES = {1: "one", 3: "three"}
OTHER_SLOT = "Restarting into the other slot"  # the boot files say so
BAD_FILES = ("without_application", "with_damaged_application", "flipped")


def _row(names: Names, name: str) -> Outcome:
    if name not in names.gallery.outcomes:
        raise KitError(f"The gallery has no row {name!r}.", AGAIN)
    return names.gallery.outcomes[name]


def _refused(names: Names, error: str) -> dict:
    """Return the board's progress of the upload before, which it has to have refused with this error."""
    progress = names.ota.progress()
    if progress.get("error") != f"UPDATE_ERROR_{error}":
        raise KitError("The last upload to the board was another one.", AGAIN)
    return progress


def _when(names: Names, error: str) -> str:
    progress = _refused(names, error)
    if not progress["received"]:
        return "before"
    return "during" if progress["received"] < progress["size"] else "after"


def _changed(names: Names) -> str:
    pairs = zip(names.records.records, names.after.records, strict=True)
    return ("none", "one", "both")[sum(before != after for before, after in pairs)]


def _byte(names: Names) -> str:
    _refused(names, "MAGIC_BYTE")
    return "the first" if names.junk.data[0] != MAGIC else "byte 32"


def _version(names: Names, row: str) -> str:
    runs = _row(names, row).runs
    return runs.split()[0] if " in " in runs else "none"


def _nearest(value: float, *guesses: int) -> int:
    return min(guesses, key=lambda guess: abs(math.log(guess / value)))


def _old(names: Names) -> str:
    slot = _row(names, "set_boot twice").runs.split()[-1]
    slots = names.twice.slots
    named = [slots[slot_of(record.seq, len(slots))] for record in names.twice.records]
    return "kept" if slot in named else "overwritten"


def _cause(names: Names) -> str:
    last = names.ota.info().get("last_update") or {}
    if last.get("outcome") != "rolled back":
        raise KitError("The last update of this board was not given up.", AGAIN)
    words = {"the watchdog": "watchdog", "the power": "power"}
    return next((answer for answer, word in words.items() if word in str(last.get("cause"))), "an exception")


def _lost(names: Names) -> str:
    versions = [result.version for result in names.results.values()]
    runs = names.ota.info()["version"]
    if runs not in versions:
        raise KitError("The board runs another version than those of this section.", AGAIN)
    arrived = versions.index(runs)  # behind the first one, which had a good link
    return ("all", "two", "one", "none")[min(arrived, 3)]


def _times(names: Names) -> int:
    result = names.arrived
    return _nearest(sum(samples[-1][1] for samples in (*result.broken, result.samples)) / result.bytes, 1, 3, 9)


def _begins(names: Names) -> str:
    if _row(names, "cut at once").outcome != KEPT:
        raise KitError("In the row 'cut at once' of the gallery no power was cut.", AGAIN)
    return "as before" if names.board.read(names.slot.offset, len(names.first)) == names.first else "erased"


def _files(names: Names) -> bool:
    rows = [names.gallery.outcomes.get(name) for name in BAD_FILES]
    return all(row and (row.outcome, row.error) == (REFUSED, "UPDATE_ERROR_ACTIVATE") for row in rows)


def _guard(names: Names) -> bool:
    row = names.gallery.outcomes.get("pre-release")
    is_refused = row and row.error == "UPDATE_ERROR_VERSION" and row.runs.startswith("2.1.0 ")
    return bool(is_refused) and names.ota.info()["version"] == "2.2.0"


TRUTHS = {
    "when": lambda names: _when(names, "SIZE"),
    "changed": _changed,
    "taken": lambda names: _refused(names, "MAGIC_BYTE")["received"],
    "chip": lambda names: _row(names, "wrong chip").outcome,
    "byte": _byte,
    "half": lambda names: _when(names, "ACTIVATE"),
    "turned": lambda names: _row(names, "bit turned on the way").outcome,
    "serves": lambda names: _version(names, "link dropped"),
    "waits": lambda names: _nearest(_row(names, "link stalled").seconds, 1, 10, 100),
    "blamed": lambda names: BLAMED.get(_row(names, "flash does not write").error, "the file"),
    "starts": lambda names: _version(names, "power cut while writing"),
    "tries": lambda names: TRIES.get(len(names.crash.lines("crashed on purpose")), "no end"),
    "resets": lambda names: "a watchdog" if names.hang.lines("wdt", "WDT") else "nobody",
    "old": _old,
    "rescuer": lambda names: "the boot files" if names.early.lines(OTHER_SLOT) else "the bootloader",
    "cause": _cause,
    "lost": _lost,
    "times": _times,
    "worse": lambda names: "arrives" if names.ota.info()["version"] == names.went_on.version else "does not",
    "spare": lambda names: names.forgotten["version"],
    "files": _files,
    "begins": _begins,
    "guard": _guard,
}


def _begin(names: Names) -> None:
    board = begin(names)
    names.image = build("1.1.0", board=board)
    try:
        names.gallery  # noqa: B018 - what stands in it already is kept
    except MissingError:
        names.gallery = Gallery(board)


PARTS = [_begin] * 4
