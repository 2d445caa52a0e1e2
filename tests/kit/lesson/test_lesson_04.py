"""Each check of lesson 04, on boards in two states: what is right of one is wrong of the other."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest

import kit
from kit.board.records import Records
from kit.errors import BoardError
from kit.faults.cuts import Cut, Cuts
from kit.image.otadata import ABORTED, VALID, Record, crc
from kit.lesson.check import tasks

ERASED = Record(0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
ROM = "ets Jul 29 2019 12:21:46\r\ninvalid header: 0xffffffff\r\n"


def records(*numbers: int, state: int = VALID) -> Records:
    """Records with these numbers, the last one in a state of its own."""
    found = [Record(seq, VALID, crc(seq)) for seq in numbers[:-1]] + [Record(numbers[-1], state, crc(numbers[-1]))]
    return Records((*found, ERASED)[:2], ("ota_0", "ota_1"))


def board(*numbers: int) -> SimpleNamespace:
    return SimpleNamespace(otadata=lambda: records(*numbers))


def log(crashes: int) -> dict:
    return {"log": SimpleNamespace(lines=lambda word: [f"RuntimeError: {word}"] * crashes)}


def cuts(*outcomes: tuple[str, str]) -> Cuts:
    return Cuts(tuple(Cut(n, "write", *outcome) for n, outcome in enumerate(outcomes, 1)))


def function(slots: int) -> Callable[[int], tuple[str, int]]:
    """What a learner could write for a table with so many slots."""
    return lambda seq: (f"ota_{(seq - 1) % slots}", crc(seq))


def rolled_back(*numbers: int) -> dict:
    return {"board": board(*numbers), "first": {"running": "ota_0"}, "second": {"running": "ota_1"}}


def woken(version: str) -> dict:
    info = {"version": version, "last_update": {"cause": "it went to deep sleep"}}
    return {"ota": SimpleNamespace(info=lambda: info)}


GOOD = cuts(*[("ota_1", "old")] * 97, ("otadata", "old"), ("nvs", "new"), ("nvs", "old"))
BAD = cuts(*[("ota_1", "broken")] * 10, *[("ota_1", "old")] * 88, ("otadata", "new"), ("nvs", "broken"))
WORSE = cuts(*[("otadata", "broken")] * 2, ("ota_1", "broken"), *[("otadata", "new")] * 3)

# for each check the names in two states, and the answer that is right in each; None where nothing is answered.
# "records" needs a web server: below.
STATES = {
    "number": ({"records": records(1)}, 2, {"records": records(4, 5)}, 6),
    "state": ({"after": records(1, 2, state=ABORTED)}, "ABORTED", {"after": records(1, 2)}, "VALID"),
    "crashes": (log(4), 4, log(3), 3),
    "kept": (
        {"back": {"running": "ota_1"}, "now": records(4, 3)},
        "VALID",
        {"back": {"running": "ota_0"}, "now": records(3, 3)},
        "overwritten",
    ),
    "woken": (woken("1.0.0"), "1.0.0", woken("1.2.0"), "1.2.0"),
    "left": ({"last_words": ROM}, "the ROM", {"last_words": ROM + "entry 0x400805b0\r\n"}, "the bootloader"),
    "turn": ({"cuts": GOOD}, "otadata", {"cuts": BAD}, "ota_1"),
    "share": ({"cuts": GOOD}, "a few", {"cuts": WORSE}, "half"),
    "record": (
        {"board": board(1, 2), "slot_and_crc": function(2)},
        None,
        {"board": board(1, 2), "slot_and_crc": function(3)},
        None,
    ),
    "numbers": (rolled_back(3, 4), [3, 4], rolled_back(7, 6), [7, 6]),
    "where": ({"bad_cuts": BAD}, "ota_1", {"bad_cuts": WORSE}, "otadata"),
}


def verdict(task: str, names: dict, answer: object = None):
    name = tasks()[f"04-{task}"].get("name")
    return kit.check(f"04-{task}", names | ({name: answer} if name else {}))


def test_all_checks_are_here():
    assert {f"04-{name}" for name in [*STATES, "records"]} == {task for task in tasks() if task.startswith("04-")}


@pytest.mark.parametrize("task", STATES)
def test_the_verdict_changes_with_the_board(task: str):
    one, right_of_one, other, right_of_other = STATES[task]
    is_asked = "name" in tasks()[f"04-{task}"]
    assert verdict(task, one, right_of_one).state == "right"
    assert verdict(task, other, right_of_one).state == ("wrong" if is_asked else "not yet")
    if is_asked:
        assert verdict(task, other, right_of_other).state == "right"
        assert verdict(task, one, right_of_other).state == "wrong"


@pytest.mark.parametrize("task", [*STATES, "records"])
def test_what_is_no_answer(task: str, refuses: Callable):
    names, right, *_ = STATES.get(task, ({}, None))
    refuses(f"04-{task}", names, right)


@pytest.mark.parametrize("task", [task for task in STATES if isinstance(STATES[task][1], str)])
def test_the_answers_to_choose_from(task: str):
    names, one, _, other = STATES[task]
    answers = tasks()[f"04-{task}"]["answers"]
    assert {one, other} <= {*answers}
    assert all(answer in verdict(task, names, "nonsense").text for answer in answers)


def test_the_example_of_a_list_is_not_the_answer():
    assert "[3, 4]" not in verdict("numbers", rolled_back(3, 4), "3, 4").text


def test_a_board_that_says_nothing_any_more():
    assert verdict("left", {"last_words": "\r\n"}, "nobody").state == "right"


def test_a_function_that_stops():
    told = verdict("record", {"board": board(1), "slot_and_crc": lambda seq: seq.crc})
    assert told.state == "not yet"
    assert "`slot_and_crc` stops with AttributeError" in told.text


def test_a_function_that_knows_only_this_board():
    known = {1: ("ota_0", crc(1)), 2: ("ota_1", crc(2))}
    assert verdict("record", {"board": board(1, 2), "slot_and_crc": known.get}).state == "not yet"


def test_rollbacks_that_were_none():
    names = rolled_back(1, 2) | {"second": {"running": "ota_0"}}
    assert "from the same slot" in verdict("numbers", names, [1, 2]).text


def test_an_updater_that_has_the_rule_still():
    assert "has the rule still" in verdict("where", {"bad_cuts": GOOD}, "ota_1").text


@contextmanager
def page(answer: dict | None) -> Iterator[SimpleNamespace]:
    """A client of a board that answers `GET /records` so, or that it has no such page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(answer or {"error": "NOT_FOUND", "message": "There is no such page.", "advice": ""})
            self.send_response(200 if answer else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", info=dict)
        server.shutdown()


@pytest.mark.parametrize(
    ("answer", "state"), [({"numbers": [3, 4]}, "right"), ({"numbers": [1, 2]}, "not yet"), (None, "not yet")]
)
def test_the_records_on_a_page(answer: dict | None, state: str):
    with page(answer) as ota:
        told = verdict("records", {"ota": ota, "board": board(3, 4)})
    assert told.state == state
    assert ("Hint" in told.text) == (state == "not yet")


def test_a_board_that_is_gone():
    def info() -> None:
        raise BoardError("Nobody is there.", "Plug it in.")

    gone = {"ota": SimpleNamespace(info=info), "board": board(1)}
    assert verdict("records", gone).text == "Not yet: Nobody is there. Plug it in."
