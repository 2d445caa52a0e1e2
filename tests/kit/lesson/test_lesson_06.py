"""Each check of lesson 06, on boards in two states: what is right of one is wrong of the other."""

import binascii
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import kit
from kit.lesson.check import tasks
from kit.ota.fetching import Fetching, State
from kit.ota.telling import Telling
from kit.releases.journal import Request

IDLE = State("idle", None, None, None, None, 0, None, None)
NIGHT = {"now": "2027-03-28T00:50:03+01:00"}
IMAGE = "/esp32-ota-1.4.0.bin"
SIZE = 1_400_000


def fetching(**state: object) -> Fetching:
    settings = ("http://127.0.0.1:1/manifest.json", None, False, "02:00-04:00", None, "UTC0", None, None, False)
    return Fetching(*settings, replace(IDLE, **state))


def sent(*parts: tuple[int, int]) -> dict:
    """A server that has sent these parts of an image, each from its first byte on."""
    others = [Request(0, "GET", path, 200, 0, 1_400_000) for path in ("/manifest.json", "/esp32-ota-1.3.0.bin")]
    images = [Request(1, "GET", IMAGE, 206, first, count) for first, count in parts]
    return {"server": SimpleNamespace(requests=[*others, *images, Request(1, "GET", IMAGE, 416, 0)])}


def runs(version: str) -> dict:
    return {"ota": SimpleNamespace(info=lambda: {"version": version})}


def news(version: str) -> dict:
    return {"news": SimpleNamespace(state={"version": version})}


def told(**settings: object) -> dict:
    """A board with these settings for fetching, which tells nobody."""
    ota = {"fetching": lambda: replace(fetching(), **settings), "telling": lambda: Telling(None, None, None)}
    return {"ota": SimpleNamespace(**ota)}


REFUSED = {"whose": fetching(outcome="refused", version="1.9.0")}
RAN = {"whose": fetching(outcome="installed", version="1.9.0")}
DIGEST = {"tampered": fetching(outcome="refused", cause="The digest of the image is not the announced one.")}
SIGNATURE = {"tampered": fetching(outcome="refused", cause="The image is signed by nobody whom this board trusts.")}
ONCE, TWICE = sent((0, 700_000), (700_000, 700_000)), sent((0, 700_000), (0, SIZE))
SOME = sent((0, 700_000), (0, 20_000), (690_000, SIZE - 690_000))
NEW_YORK = {"window": "21:30-23:30", "days": ("sun", "sat"), "zone": "EST5EDT,M3.2.0,M11.1.0"}

# for each check the names in two states, and the answer that is right in each; None where nothing is answered
STATES = {
    "whose": (REFUSED, "refuses it", RAN, "runs it"),
    "clock": ({"waiting": fetching()}, "never", {"waiting": fetching(next="2000-01-01T02:00:00+00:00")}, "at once"),
    "late": ({"moments": [0, 5399]}, 0, {"moments": [0, 5400, 6000]}, 2),
    "night": (
        {"night": fetching(**NIGHT, next="2027-03-28T03:04:05+02:00")},
        "after 03:00",
        {"night": fetching(**NIGHT, next="2027-03-29T02:04:05+02:00")},
        "not that night",
    ),
    "again": (
        {"again": fetching(outcome="held")},
        "waits for a newer one",
        {"again": fetching(outcome="given up")},
        "fetches it again",
    ),
    "noticed": (DIGEST, "the digest", SIGNATURE, "the signature"),
    "twice": (ONCE, "nothing", TWICE, "half of it"),
    "cut": (SOME, "a few sectors", sent((0, SIZE), (0, SIZE)), "all of it"),
    "pinned": (runs("1.6.0"), "1.6.0", runs("1.7.0"), "1.7.0"),
    "told": (news("1.6.0"), "1.6.0", news("1.8.0"), "1.8.0"),
    "weekend": (told(**NEW_YORK), None, told(**NEW_YORK | {"days": ("sat",)}), None),
    "nowhere": (told(url=None), None, told(), None),
}


def verdict(task: str, names: dict, answer: object = None):
    name = tasks()[f"06-{task}"].get("name")
    return kit.check(f"06-{task}", names | ({name: answer} if name else {}))


def test_all_checks_are_here():
    assert {f"06-{name}" for name in [*STATES, "moment", "whole"]} == {t for t in tasks() if t.startswith("06-")}


@pytest.mark.parametrize("task", STATES)
def test_the_verdict_changes_with_the_board(task: str):
    one, right_of_one, other, right_of_other = STATES[task]
    is_asked = "name" in tasks()[f"06-{task}"]
    assert verdict(task, one, right_of_one).state == "right"
    assert verdict(task, other, right_of_one).state == ("wrong" if is_asked else "not yet")
    if is_asked:
        assert verdict(task, other, right_of_other).state == "right"
        assert verdict(task, one, right_of_other).state == "wrong"


@pytest.mark.parametrize("task", [*STATES, "moment", "whole"])
def test_what_is_no_answer(task: str, refuses: Callable):
    names, right, *_ = STATES.get(task, ({}, None))
    refuses(f"06-{task}", names, right)


@pytest.mark.parametrize("task", [task for task in STATES if isinstance(STATES[task][1], str)])
def test_the_answers_to_choose_from(task: str):
    names, one, _, other = STATES[task]
    answers = tasks()[f"06-{task}"]["answers"]
    assert {one, other} <= set(answers)
    assert all(answer in verdict(task, names, "nonsense").text for answer in answers)


def test_what_came_from_another_section():
    """Another version, another night, an image in one piece, or none: no answer is right or wrong then."""
    late = {
        "whose": {"whose": fetching(outcome="up to date"), "stranger": "refuses it"},
        "night": {"night": fetching(), "short_night": "after 03:00"},
        "twice": sent((0, SIZE)) | {"twice": "nothing"},
        "cut": {"server": SimpleNamespace(requests=[]), "after_cut": "nothing"},
    }
    for task, names in late.items():
        found = kit.check(f"06-{task}", names)
        assert found.state == "not yet"
        assert "again" in found.text


@pytest.mark.parametrize("change", [{"hold": True}, {"window": "21:30-23:00"}, {"zone": "UTC0"}, {"days": None}])
def test_a_weekend_that_is_another(change: dict):
    assert verdict("weekend", told(**NEW_YORK | change)).state == "not yet"


def test_a_board_that_still_tells_somebody():
    names = told(url=None)
    names["ota"].telling = lambda: Telling(None, {"url": "http://127.0.0.1:1/"}, None)
    assert verdict("nowhere", names).state == "not yet"


def test_a_board_that_knows_the_time():
    """A real one does: no answer is right or wrong then."""
    found = verdict("clock", {"waiting": fetching(now="2027-03-14T01:00:00+01:00", next=None)}, "never")
    assert found.text.startswith("Not yet: This board has asked a time server")


def right_moment(mac: bytes, minutes: int) -> int:
    return binascii.crc32(mac) % (minutes * 60 * 3 // 4)


@pytest.mark.parametrize(
    ("function", "state"),
    [
        (right_moment, "right"),
        (lambda mac, minutes: binascii.crc32(mac) % (minutes * 60), "not yet"),
        (lambda mac, minutes: binascii.crc32(mac) % 5400, "not yet"),
        (lambda mac, minutes: None, "not yet"),
    ],
)
def test_the_moment_of_a_board(function: Callable, state: str):
    assert verdict("moment", {"moment": function}).state == state


def right_whole(folder: str) -> bool:
    ota = json.loads(Path(folder, "manifest.json").read_text())["builds"][0]["ota"]
    return hashlib.sha256(Path(folder, ota["path"]).read_bytes()).hexdigest() == ota["sha256"]


def by_size(folder: str) -> bool:
    ota = json.loads(Path(folder, "manifest.json").read_text())["builds"][0]["ota"]
    return Path(folder, ota["path"]).stat().st_size == ota["size"]


@pytest.mark.parametrize(
    ("function", "state"),
    [(right_whole, "right"), (by_size, "not yet"), (lambda folder: True, "not yet"), (lambda folder: None, "not yet")],
)
def test_a_folder_that_is_whole(function: Callable, state: str):
    assert verdict("whole", {"is_whole": function}).state == state


@pytest.mark.parametrize(("task", "name"), [("moment", "moment"), ("whole", "is_whole")])
def test_a_function_that_stops(task: str, name: str):
    found = verdict(task, {name: lambda *args: args[0].nothing})
    assert found.text.startswith(f"Not yet: `{name}` stops with AttributeError")
