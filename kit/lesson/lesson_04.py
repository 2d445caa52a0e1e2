"""What is true of a board in lesson 04, and how its parts begin."""

from collections import Counter
from itertools import pairwise

from kit.board.records import STATES
from kit.errors import BoardError, KitError
from kit.image.otadata import BLANK_SEQ, crc, next_seq, slot_of
from kit.lesson.begin import begin
from kit.lesson.names import Names
from kit.ota.web import Web

OTHER_NUMBERS = (4, 7)
AGAIN = "Run this section from its beginning, then this cell again."


def _number(names: Names) -> int:
    records = names.records
    seq = 1 if records.active is None else records.records[records.active].seq
    slots = len(records.slots)
    return next_seq(seq, (slot_of(seq, slots) + 1) % slots, slots)


def _state(names: Names) -> str:
    written = [record for record in names.after.records if record.seq != BLANK_SEQ]
    return STATES[max(written, key=lambda record: record.seq).state]


def _kept(names: Names) -> str:
    slots, whole = names.now.slots, [record for record in names.now.records if record.crc == crc(record.seq)]
    states = {slots[slot_of(record.seq, len(slots))]: STATES[record.state] for record in whole}
    states.pop(names.back["running"], None)
    return next(iter(states.values()), "overwritten")


def _woken(names: Names) -> str:
    info = names.ota.info()
    if "deep sleep" not in str((info.get("last_update") or {}).get("cause")):
        raise KitError("The last update of this board did not fall asleep.", AGAIN)
    return info["version"]


def _left(names: Names) -> str:
    if "entry 0x" in names.last_words:
        return "the bootloader"
    return "the ROM" if names.last_words.strip() else "nobody"


def _turn(names: Names) -> str:
    # A cut comes in the place of an operation: the one before the first new outcome is the last that was done.
    return next((done.region for done, cut in pairwise(names.cuts.cuts) if cut.outcome == "new"), "none")


def _share(names: Names) -> str:
    outcomes = [cut.outcome for cut in names.cuts.cuts]
    shares = {"a few": 0.01, "one in ten": 0.1, "half": 0.5}
    return min(shares, key=lambda name: abs(shares[name] - outcomes.count("new") / len(outcomes)))


def _record(names: Names) -> bool:
    function, records = names.slot_and_crc, names.board.otadata()
    numbers = [record.seq for record in records.records if record.crc == crc(record.seq)]
    slots = records.slots
    try:
        told = {seq: function(seq) for seq in [*numbers, *OTHER_NUMBERS]}
    except Exception as error:  # whatever a learner's function can do
        cause = f"`slot_and_crc` stops with {type(error).__name__}: {error}."
        raise KitError(cause, "Correct it, and run its cell and this one again.") from None
    return told == {seq: (slots[slot_of(seq, len(slots))], crc(seq)) for seq in told}


def _numbers(names: Names) -> list[int]:
    if names.first["running"] == names.second["running"]:
        raise KitError("`first` and `second` run from the same slot.", "Keep what each `ota.rollback()` returns.")
    return [record.seq for record in names.board.otadata().records]


def _records(names: Names) -> bool:
    names.ota.info()  # it is there
    try:
        told = Web(names.ota.url).ask("GET", "/records")
    except BoardError:  # there is no such page
        return False
    return told.get("numbers") == [record.seq for record in names.board.otadata().records]


def _where(names: Names) -> str:
    regions = Counter(cut.region for cut in names.bad_cuts.cuts if cut.outcome == "broken")
    if not regions:
        advice = "Change the line in my_app_bad/updater.py, and run `kit.faults.every_cut` again."
        raise KitError("No cut breaks this updater: it has the rule still.", advice)
    return regions.most_common(1)[0][0]


TRUTHS = {
    "number": _number,
    "state": _state,
    "crashes": lambda names: len(names.log.lines("crashed on purpose")),
    "kept": _kept,
    "woken": _woken,
    "left": _left,
    "turn": _turn,
    "share": _share,
    "record": _record,
    "numbers": _numbers,
    "records": _records,
    "where": _where,
}
PARTS = [begin] * 4
