"""Checks and their hints: what is said of any answer, and that nothing a learner writes ends in an error."""

import re

import pytest

import kit
from kit.errors import BoardError
from kit.image.standin import image_set
from kit.image.update_image import build
from kit.lesson.check import LOST, tasks
from kit.lesson.verdict import Verdict


class Image:
    size = 1_413_120


class Gone:
    """A board that does not answer."""

    def __getattr__(self, name: str):
        def ask(*_: object) -> None:
            raise BoardError("Nothing answers at http://127.0.0.1.", "Is the board on?")

        return ask


def test_right_and_wrong():
    assert kit.check("01-missing", {"image": Image, "missing": 102_400}).state == "right"
    wrong = kit.check("01-missing", {"image": Image, "missing": 3})
    assert (wrong.state, wrong.text[:23]) == ("wrong", "Not right: You said 3. ")
    assert repr(wrong) == wrong.text


@pytest.mark.parametrize("answer", [True, 102_400.0, "102400", None, [102_400], b"102400", object()])
def test_an_answer_of_another_type(answer: object):
    verdict = kit.check("01-missing", {"image": Image, "missing": answer})
    assert verdict == Verdict("wrong", "Not right: `missing` has to be a number.")


@pytest.mark.parametrize(("task", "answer"), [("01-text", 5), ("01-missing", "5"), ("01-says", 5)])
def test_what_is_said_of_a_wrong_type_is_not_the_answer(task: str, answer: object):
    names = {"image": build("1.0.0", base=image_set()), "log": "", tasks()[task]["name"]: answer}
    said = kit.check(task, names).text
    assert "has to be a " in said
    assert "kit-stand-in" not in said
    assert not re.search(r"\d{4}", said)


@pytest.mark.parametrize("answer", [" Nothing", "NOTHING\n"])
def test_how_a_word_is_written_does_not_matter(answer: str):
    assert kit.check("01-says", {"log": "", "says": answer}).state == "right"


@pytest.mark.parametrize("answer", ["nothing at all", "", "x" * 100_000, "{truth}"])
def test_a_word_that_is_none_of_those_to_choose_from(answer: str):
    assert kit.check("01-says", {"log": "", "says": answer}).text.endswith("one of these: 'nothing', 'something'.")


def test_not_answered_and_not_there():
    verdict = kit.check("01-missing", {"image": Image, "missing": ...})
    assert verdict.state == "not yet"
    assert verdict.text.endswith("in the place of the dots, `missing = ...`")
    assert (
        kit.check("01-missing", {}).text
        == "Not yet: `missing` has no value. Run the cells above first, each without an error."
    )
    assert (
        kit.check("01-missing", {"missing": 3}).text
        == "Not yet: `image` has no value. Run the cells above first, each without an error."
    )


@pytest.mark.parametrize("task", ["01-nothing", "", "1", "99-room", 5, None, [], "__import__('os')"])
def test_a_check_that_is_not_there(task: object):
    assert kit.check(task, {}).state == "not yet"
    assert "another version of the kit" in kit.check("01-nothing", {}).text


def test_a_board_that_is_gone():
    names = {"ota": Gone(), "state": "VALID"}
    assert kit.check("02-state", names).text == "Not yet: Nothing answers at http://127.0.0.1. Is the board on?"


@pytest.mark.parametrize("task", tasks())
def test_names_that_hold_something_else_are_no_error(task: str):
    names = dict.fromkeys(("board", "ota", "image", "contents", "log", "row", "memory", "result", "before", "after"), 5)
    name = tasks()[task].get("name", "answer")
    for answer in (5, "x", [], object(), Gone()):
        assert kit.check(task, names | {name: answer}).state in ("not yet", "wrong", "right")


def test_each_failure_shows_one_hint_more():
    names = {"image": Image, "contents": type("Table", (), {"find": lambda self, label: Image})(), "room": 5}
    kit.check("01-room", names | {"room": 0})  # right: whatever was shown before, hints begin anew
    hints = tasks()["01-room"]["hints"]
    for number in (1, 2, 3, 3):
        assert kit.check("01-room", names).text.endswith(f"\nHint {number} of 3: {hints[number - 1]}")
    assert kit.check("01-room", names | {"room": ...}).text.startswith("Not answered yet")  # and costs no hint
    assert "Hint" not in kit.check("01-room", names | {"room": 0}).text


@pytest.mark.parametrize(
    ("task", "names"),
    [
        ("01-fooled", {"fooled": "checksum"}),
        ("01-cut", {"cut": "application"}),
        ("01-blink", {"pins": "GPIO 2"}),
    ],
)
def test_whatever_was_made_there_is_a_hint(task: str, names: dict):
    assert kit.check(task, names).text.endswith(f"\nHint 1 of 3: {tasks()[task]['hints'][0]}")


@pytest.mark.parametrize("task", tasks())
def test_words_are_whole(task: str):
    words = tasks()[task]
    assert set(words) <= {"name", "answers", "right", "wrong", "hints"}
    assert len(words.get("hints", ["", "", ""])) == 3
    assert ("name" in words) or ("hints" in words)
    for text in (words["right"], words["wrong"], *words.get("hints", [])):
        assert text[-1] in ".?`"
        assert LOST not in text


def test_a_verdict_shows_itself():
    shown = Verdict("wrong", "Not right: <b>. Write `a = <b>` and `c`.")._repr_html_()
    assert 'role="status"' in shown
    assert "Not right: &lt;b&gt;. Write <code>a = &lt;b&gt;</code> and <code>c</code>." in shown


@pytest.mark.parametrize(("lesson", "part"), [(0, 1), (7, 1), ("2", 1), (True, 1), (2, 0), (2, 9), (2, "1"), (1, True)])
def test_a_part_that_is_not_there(lesson: object, part: object):
    with pytest.raises(kit.KitError, match=r"(There is no lesson|has no part) .*kit\.resume"):
        kit.resume(lesson, part, names={})
