"""`kit.check`: a learner's answer, compared with what the board says.

The words stand in lesson_NN.toml, one table a check; what is true is asked by the function of the same name in
lesson_NN.py. A check with `name` judges the value of this name, one without it what the learner has made; `answers`
are those to choose from; of `hints` each failure shows one more.
"""

import importlib
import tomllib
from collections import Counter
from functools import cache
from importlib.resources import files

from kit.errors import KitError
from kit.lesson.names import MissingError, Names
from kit.lesson.progress import note
from kit.lesson.verdict import NOT_YET, RIGHT, WRONG, Verdict

LESSONS = 6
LONGEST = 60  # characters of an answer that is told again
KINDS = {str: "a text", int: "a number", list: "a list"}
OTHER_KIT = "There is no check {!r}: this notebook belongs to another version of the kit. `python -m kit lessons`"
OTHER_KIT += " writes the lessons of this one."
LOST = "This cannot be looked up. Run this section from its beginning, then this cell again."

_failures: Counter[str] = Counter()  # by check, in this session


def check(task: str, names: dict[str, object] | None = None) -> Verdict:
    """Judge the answer to a task of a lesson, such as "02-slot"; it never raises.

    Args:
        names: where the learner's names are looked up; without it, in the notebook.
    """
    words: dict = {}
    try:
        words = tasks().get(task, {})
        verdict = _judge(task, words, Names(names)) if words else Verdict(NOT_YET, OTHER_KIT.format(task))
    except MissingError as why:
        verdict = Verdict(NOT_YET, str(why))
    except KitError as error:
        verdict = Verdict(NOT_YET, f"Not yet: {error.cause} {error.advice}")
    except Exception:  # whatever a learner has put in the place of what a lesson needs
        is_made = words and "name" not in words
        verdict = _failed(task, words, NOT_YET, words["wrong"]) if is_made else Verdict(NOT_YET, f"Not yet: {LOST}")
    if verdict.state != NOT_YET:
        note(task, verdict.state)
    return verdict


@cache
def tasks() -> dict[str, dict]:
    """Return the words of all checks, by name: the number of the lesson, and what is asked."""
    found = {}
    for number in range(1, LESSONS + 1):
        text = files("kit.lesson").joinpath(f"lesson_{number:02}.toml").read_text(encoding="utf-8")
        found |= {f"{number:02}-{name}": words for name, words in tomllib.loads(text).items()}
    return found


def _judge(task: str, words: dict, names: Names) -> Verdict:
    number, _, name = task.partition("-")
    lesson = importlib.import_module(f"kit.lesson.lesson_{number}")
    variable = words.get("name")
    given = getattr(names, variable) if variable else True
    truth = lesson.TRUTHS[name](names)
    if type(given) is not type(truth):
        kind = KINDS.get(type(truth), type(truth).__name__)
        kind += f", such as {words['answers'][0]!r}" if "answers" in words else ""
        return _failed(task, words, WRONG, f"`{variable}` has to be {kind}.")
    if isinstance(given, str):
        given = given.strip().lower()
        if given not in map(str.lower, words.get("answers", [given])):
            return _failed(task, words, WRONG, "Choose one of these: " + ", ".join(map(repr, words["answers"])) + ".")
    if given == (truth.lower() if isinstance(truth, str) else truth):
        del _failures[task]
        return Verdict(RIGHT, "Right: " + words["right"].format(truth=truth))
    if not variable:
        return _failed(task, words, NOT_YET, words["wrong"])
    return _failed(task, words, WRONG, f"You said {_shortened(str(given))!r}. ".replace("'", "") + words["wrong"])


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _failed(task: str, words: dict, state: str, text: str) -> Verdict:
    start = {WRONG: "Not right: ", NOT_YET: "Not yet: "}[state]
    hints = words.get("hints", [])
    if hints:
        number = _failures[task] = min(_failures[task] + 1, len(hints))
        text += f"\nHint {number} of {len(hints)}: {hints[number - 1]}"
    return Verdict(state, start + text)
