"""Each check of lesson 01, on boards in two states: what is right of one is wrong of the other."""

from types import SimpleNamespace

import pytest

import kit
from kit.image.standin import image_set
from kit.image.update_image import build
from kit.lesson.check import tasks

IMAGE = build("1.0.0", base=image_set())
TURNED = bytearray(IMAGE.data)
TURNED[100_000] ^= 1
TWICE = bytearray(TURNED)
TWICE[200_000] ^= 1
SMALL = SimpleNamespace(size=4096, data=b"\xe9" * 4096)
OTHER = build("1.0.0", base=image_set(), app=None).data[:0x50] + b"another\0" + IMAGE.data[0x58:]


def board(**gives: object) -> SimpleNamespace:
    """A board each of whose verbs gives the same, whatever it is asked."""
    return SimpleNamespace(**{name: lambda *_, value=value: value for name, value in gives.items()})


def records(slot: str | None) -> SimpleNamespace:
    return board(otadata=SimpleNamespace(slot=slot))


def slot_of(size: int) -> SimpleNamespace:
    return board(find=SimpleNamespace(size=size))


def table(size: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(label=label, size=size) for label in ("nvs", "ota_0", "ota_1")]


def pins(blinks: int) -> dict:
    return {2: SimpleNamespace(blinks=blinks)}


# for each check the names in two states, and the answer that is right in each; None where nothing is answered
STATES = {
    "seconds": ({"image": IMAGE}, 20, {"image": SMALL}, 2),
    "again": (
        {"image": IMAGE, "board": board(read=IMAGE.data[:4096])},
        "shorter",
        {"image": IMAGE, "board": board(read=b"\xff" * 4096)},
        "the same",
    ),
    "third": ({"board": records(None)}, "ota_0", {"board": records("ota_1")}, "ota_1"),
    "text": ({"image": IMAGE}, "kit-stand-in", {"image": OTHER}, "another"),
    "guards": ({"damaged": TURNED}, 2, {"damaged": TWICE}, 1),
    "missing": ({"image": IMAGE}, IMAGE.size - 1280 * 1024, {"image": SMALL}, 4096 - 1280 * 1024),
    "readable": ({"memory": b"..wifi_password.."}, "yes", {"memory": b"\xff" * 16}, "no"),
    "says": ({"log": "invalid header"}, "something", {"log": "\r\n"}, "nothing"),
    "room": (
        {"image": IMAGE, "contents": slot_of(0x180000)},
        0x180000 - IMAGE.size,
        {"image": IMAGE, "contents": slot_of(0x270000)},
        0x270000 - IMAGE.size,
    ),
    "size": ({"row": bytes(8) + b"\0\0\x18\0"}, 0x180000, {"row": bytes(8) + b"\0\0\x27\0"}, 0x270000),
    "table": ({"table": table(1792 * 1024)}, None, {"table": table(1536 * 1024)}, None),
    "cut": ({"cut": kit.AppImage.read(IMAGE.data[:-1000])}, None, {"cut": kit.AppImage.read(IMAGE)}, None),
    "fooled": ({"fooled": TWICE}, None, {"fooled": TURNED}, None),
    "blink": ({"pins": pins(3)}, None, {"pins": pins(2)}, None),
}


def test_the_same_version_built_again_is_as_quickly_flashed():
    """As after a part that began anew, and built it once more."""
    again = bytearray(IMAGE.data[:4096])
    again[0x70:0x80] = b"23:59:59".ljust(16, b"\0")
    names = {"image": IMAGE, "board": board(read=bytes(again)), "again": "shorter"}
    assert kit.check("01-again", names).state == "right"


def test_all_checks_are_here():
    assert [f"01-{name}" for name in STATES] == [task for task in tasks() if task.startswith("01-")]


@pytest.mark.parametrize("task", STATES)
def test_the_verdict_changes_with_the_board(task: str):
    one, right_of_one, other, right_of_other = STATES[task]
    name = tasks()[f"01-{task}"].get("name", "")

    def state(names: dict, answer: object) -> str:
        return kit.check(f"01-{task}", names | ({name: answer} if name else {})).state

    assert state(one, right_of_one) == "right"
    assert state(other, right_of_one) == ("wrong" if name else "not yet")
    if name:
        assert state(other, right_of_other) == "right"
        assert state(one, right_of_other) == "wrong"
