"""Each check of lesson 03, on boards in two states: what is right of one is wrong of the other."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

import kit
from kit.board.records import Records
from kit.errors import BoardError
from kit.faults.damage import random_data
from kit.faults.gallery import KEPT, NEW, REFUSED, ROLLED_BACK, Gallery, Outcome
from kit.image.otadata import VALID, Record, crc
from kit.lesson.check import tasks

ERASED = Record(0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
BLANK = b"\xff" * 16


def client(error: str = "", received: int = 0, size: int = 1_413_120, version: str = "1.0.0") -> SimpleNamespace:
    """A client of a board that refused its last upload, and runs a version."""
    progress = {"phase": "idle", "received": received, "written": 0, "size": size, "error": f"UPDATE_ERROR_{error}"}
    return SimpleNamespace(progress=lambda: progress, info=lambda: {"version": version})


def given_up(cause: str) -> dict:
    last = {"outcome": "rolled back", "cause": cause}
    return {"ota": SimpleNamespace(info=lambda: {"version": "1.0.0", "last_update": last})}


def gallery(name: str, outcome: str = "", error: str = "", runs: str = "1.0.0 in ota_0", seconds: float = 1) -> dict:
    row = Outcome(name, outcome, f"UPDATE_ERROR_{error}", runs, seconds)
    return {"gallery": SimpleNamespace(outcomes={name: row})}


def records(*numbers: int) -> Records:
    found = [Record(seq, VALID, crc(seq)) for seq in numbers] + [ERASED] * 2
    return Records(tuple(found[:2]), ("ota_0", "ota_1"))


def log(*lines: str) -> SimpleNamespace:
    return SimpleNamespace(lines=lambda *words: [line for line in lines if any(word in line for word in words)])


def uploaded(*versions: str, client: SimpleNamespace) -> dict:
    return {"results": {v: SimpleNamespace(version=v) for v in versions}, "ota": client}


def tried(*received: int) -> dict:
    *broken, last = [((0.0, 0, 0, "check"), (1.0, count, count, "idle")) for count in received]
    return {"arrived": SimpleNamespace(broken=tuple(broken), samples=last, bytes=1000)}


def cut(holds: bytes) -> dict:
    board = SimpleNamespace(read=lambda *_: holds)
    return gallery("cut at once", KEPT) | {"board": board, "slot": SimpleNamespace(offset=0), "first": BLANK}


def bad_files(*errors: str) -> dict:
    names = ("without_application", "with_damaged_application", "flipped")
    rows = [gallery(name, REFUSED, error)["gallery"].outcomes for name, error in zip(names, errors, strict=False)]
    return {"gallery": SimpleNamespace(outcomes={name: row for some in rows for name, row in some.items()})}


CRASH, WATCHDOG, OTHER = (
    "RuntimeError: crashed on purpose",
    "E task_wdt: got triggered.",
    "Restarting into the other slot.",
)
FOUR = ("1.1.0", "1.1.1", "1.1.2", "1.1.3")

# for each check the names in two states, and the answer that is right in each; None where nothing is answered
STATES = {
    "when": ({"ota": client("SIZE")}, "before", {"ota": client("SIZE", 4096)}, "during"),
    "changed": (
        {"records": records(1), "after": records(1)},
        "none",
        {"records": records(1), "after": records(1, 2)},
        "one",
    ),
    "taken": (
        {"ota": client("MAGIC_BYTE", 4096)},
        4096,
        {"ota": client("MAGIC_BYTE", 1_413_120)},
        1_413_120,
    ),
    "chip": (gallery("wrong chip", REFUSED), "refused", gallery("wrong chip", NEW), "new version"),
    "byte": (
        {"ota": client("MAGIC_BYTE"), "junk": random_data(500)},
        "the first",
        {"ota": client("MAGIC_BYTE"), "junk": SimpleNamespace(data=b"\xe9" * 500)},
        "byte 32",
    ),
    "half": (
        {"ota": client("ACTIVATE", 706_560, 706_560)},
        "after",
        {"ota": client("ACTIVATE", 300_000, 706_560)},
        "during",
    ),
    "turned": (
        gallery("bit turned on the way", REFUSED),
        "refused",
        gallery("bit turned on the way", ROLLED_BACK),
        "rolled back",
    ),
    "serves": (gallery("link dropped"), "1.0.0", gallery("link dropped", runs="nothing"), "none"),
    "waits": (gallery("link stalled", seconds=18), 10, gallery("link stalled", seconds=90), 100),
    "blamed": (
        gallery("flash does not write", REFUSED, "WRITE"),
        "the flash",
        gallery("flash does not write", REFUSED, "MD5"),
        "the file",
    ),
    "starts": (
        gallery("power cut while writing"),
        "1.0.0",
        gallery("power cut while writing", runs="1.1.0 in ota_1"),
        "1.1.0",
    ),
    "tries": (
        {"crash": log(CRASH)},
        "one",
        {"crash": log(*[CRASH] * 3)},
        "three",
    ),
    "resets": (
        {"hang": log(WATCHDOG)},
        "a watchdog",
        {"hang": log()},
        "nobody",
    ),
    "old": (
        gallery("set_boot twice") | {"twice": records(2, 2)},
        "overwritten",
        gallery("set_boot twice") | {"twice": records(1, 2)},
        "kept",
    ),
    "rescuer": (
        {"early": log(CRASH, OTHER)},
        "the boot files",
        {"early": log(CRASH)},
        "the bootloader",
    ),
    "cause": (
        given_up("NameError in main.py, line 12"),
        "an exception",
        given_up("the watchdog: it was not fed for a minute"),
        "the watchdog",
    ),
    "lost": (
        uploaded(*FOUR, client=client(version="1.1.3")),
        "none",
        uploaded(*FOUR, client=client(version="1.1.1")),
        "two",
    ),
    "times": (tried(500, 600, 900, 1000), 3, tried(1000), 1),
    "worse": (
        {"went_on": SimpleNamespace(version="1.3.0"), "ota": client(version="1.3.0")},
        "arrives",
        {"went_on": SimpleNamespace(version="1.3.0"), "ota": client(version="1.2.0")},
        "does not",
    ),
    "spare": ({"forgotten": {"version": "1.1.3"}}, "1.1.3", {"forgotten": {"version": "1.2.0"}}, "1.2.0"),
    "files": (bad_files(*["ACTIVATE"] * 3), None, bad_files("ACTIVATE", "ACTIVATE"), None),
    "begins": (cut(BLANK), "as before", cut(bytes(16)), "erased"),
    "guard": (
        gallery("pre-release", REFUSED, "VERSION", "2.1.0 in ota_0") | {"ota": client(version="2.2.0")},
        None,
        gallery("pre-release", REFUSED, "VERSION", "2.1.0 in ota_0") | {"ota": client(version="2.1.0")},
        None,
    ),
}


def verdict(task: str, names: dict, answer: object):
    name = tasks()[f"03-{task}"].get("name")
    return kit.check(f"03-{task}", names | ({name: answer} if name else {}))


def test_all_checks_are_here():
    assert [f"03-{name}" for name in STATES] == [task for task in tasks() if task.startswith("03-")]


@pytest.mark.parametrize("task", STATES)
def test_the_verdict_changes_with_the_board(task: str):
    one, right_of_one, other, right_of_other = STATES[task]
    is_asked = "name" in tasks()[f"03-{task}"]
    assert verdict(task, one, right_of_one).state == "right"
    assert verdict(task, other, right_of_one).state == ("wrong" if is_asked else "not yet")
    if is_asked:
        assert verdict(task, other, right_of_other).state == "right"
        assert verdict(task, one, right_of_other).state == "wrong"


@pytest.mark.parametrize("task", STATES)
def test_what_is_no_answer(task: str, refuses: Callable):
    names, right, *_ = STATES[task]
    refuses(f"03-{task}", names, right)


@pytest.mark.parametrize("task", [task for task in STATES if isinstance(STATES[task][1], str)])
def test_the_answers_to_choose_from(task: str):
    _, one, _, other = STATES[task]
    answers = tasks()[f"03-{task}"]["answers"]
    assert {one, other} < {*answers, None} or {one, other} == {*answers}
    assert all(answer in verdict(task, STATES[task][0], "nonsense").text for answer in answers)


@pytest.mark.parametrize("task", ["when", "taken", "byte", "half"])
def test_another_upload_came_in_between(task: str):
    told = verdict(task, STATES[task][0] | {"ota": client("BUSY", 4096)}, STATES[task][1])
    assert told.state == "not yet"
    assert "another one" in told.text


@pytest.mark.parametrize("task", ["chip", "turned", "serves", "waits", "blamed", "starts", "old"])
def test_a_section_that_was_not_run(task: str):
    told = verdict(task, STATES[task][0] | {"gallery": SimpleNamespace(outcomes={})}, STATES[task][1])
    assert told.state == "not yet"
    assert "The gallery has no row" in told.text


def test_a_power_cut_that_was_none():
    names = STATES["begins"][0] | gallery("cut at once", REFUSED)
    assert "no power was cut" in verdict("begins", names, "as before").text


def test_the_board_has_gone_on():
    assert "another version" in verdict("lost", uploaded(*FOUR, client=client(version="1.2.0")), "none").text


def test_a_board_that_is_gone():
    def info() -> None:
        raise BoardError("Nobody is there.", "Plug it in.")

    gone = STATES["lost"][0] | {"ota": SimpleNamespace(info=info)}
    assert verdict("lost", gone, "none").text == "Not yet: Nobody is there. Plug it in."


def test_a_part_keeps_the_gallery():
    names: dict = {}
    kit.resume(3, part=2, names=names)
    assert isinstance(kept := names["gallery"], Gallery)
    assert names["ota"].info()["version"] == "1.0.0"
    assert names["image"].version == "1.1.0"
    kit.resume(3, part=3, names=names)
    assert names["gallery"] is kept
