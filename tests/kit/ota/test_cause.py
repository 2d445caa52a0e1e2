from types import SimpleNamespace

import pytest

from kit.errors import RollbackError
from kit.ota.cause import DURING, last_update, outcome_text, why
from kit.ota.info import Info
from kit.ota.waiting import await_confirmation

INFO = {"name": "x", "version": "1.0.0", "running": "ota_0", "image_state": "VALID", "uptime": 0}
LAST = {"version": "1.1.0", "slot": "ota_1", "outcome": "rolled back", "step": "found"}
LAST |= {"cause": "NameError in main.py, line 12"}
NO_TEXT = [5, True, 1.5, [], {}, "a\nb", "\x1b[2J", "x" * 301]


def refusal(monkeypatch: pytest.MonkeyPatch, info: dict) -> RollbackError:
    """What is raised for a board that started a moment ago and says this."""
    clock = iter(range(1000))
    time = SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda seconds: None)
    monkeypatch.setattr("kit.ota.waiting.time", time)
    with pytest.raises(RollbackError) as caught:
        await_confirmation(SimpleNamespace(look=lambda *_, **__: info), "1.1.0", "ota_1")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    return caught.value


@pytest.mark.parametrize(
    ("step", "phrase"),
    [
        ("writing", ""),
        ("committed", ", before its first step"),
        ("booted", ", while its application was looked for"),
        ("found", ", while importing"),
        ("imported", ", while it joined the Wi-Fi"),
        ("wifi", ", while its server started"),
        ("server", ", in its self-test"),
        ("answered", ", before it confirmed itself"),
        ("confirmed", ", after it had been confirmed"),
        ("something new", ""),
        ("", ""),
    ],
)
def test_rollback_says_why_and_when(monkeypatch: pytest.MonkeyPatch, step: str, phrase: str):
    error = refusal(monkeypatch, INFO | {"last_update": LAST | {"step": step}})
    cause = f"Version 1.1.0 was given up: NameError in main.py, line 12{phrase}. The board went back to 1.0.0."
    assert error.cause == cause
    assert error.advice == "`ota.login()`, then `ota.log()`: it shows what happened before."


def test_rollback_says_once_that_it_was_in_the_self_test(monkeypatch: pytest.MonkeyPatch):
    cause = "its self-test failed: no answer within 60 s"
    error = refusal(monkeypatch, INFO | {"last_update": LAST | {"step": "server", "cause": cause}})
    assert error.cause == f"Version 1.1.0 was given up: {cause}. The board went back to 1.0.0."


@pytest.mark.parametrize("cause", [None, ""])
def test_rollback_of_which_the_board_does_not_know_why(monkeypatch: pytest.MonkeyPatch, cause: str | None):
    error = refusal(monkeypatch, INFO | {"last_update": LAST | {"cause": cause}})
    assert "was given up: the board does not know why, while importing. The board" in error.cause
    assert why({key: value for key, value in LAST.items() if key != "cause"}).startswith("the board does not know")


def test_longest_cause_and_versions_stay_readable(monkeypatch: pytest.MonkeyPatch):
    info = INFO | {"version": "v" * 300, "last_update": LAST | {"cause": "c" * 300}}
    assert "c" * 150 + ", while importing" in refusal(monkeypatch, info).cause


NOTHING = [..., None, 5, True, "x", "rolled back", [], ["version"], {}, {"version": "1.1.0"}, {"a": {"b": [1]}}]
NOTHING += [{key: value for key, value in LAST.items() if key != name} for name in LAST if name != "cause"]
NOTHING += [LAST | {name: value} for name in LAST for value in NO_TEXT]
ANOTHER = [
    LAST | {"outcome": "confirmed"},
    LAST | {"outcome": ""},
    LAST | {"version": "1.1.1"},
    LAST | {"slot": "ota_0"},
]


@pytest.mark.parametrize("last", NOTHING + ANOTHER, ids=lambda last: str(last)[:50])
def test_rollback_of_a_board_that_does_not_say_why(monkeypatch: pytest.MonkeyPatch, last: object):
    error = refusal(monkeypatch, INFO if last is ... else INFO | {"last_update": last})
    assert error.cause == "Version 1.1.0 was given up, and the board went back to 1.0.0."
    assert "board.listening()" in error.advice


@pytest.mark.parametrize("last", NOTHING, ids=lambda last: str(last)[:50])
def test_info_shows_what_is_no_last_update_as_it_is(last: object, cells):
    info = Info(INFO | ({} if last is ... else {"last_update": last}))
    assert last_update(info) is None
    rows = dict(cells(info._repr_html_().replace("\n", " ")))
    assert rows.get("last_update", ...) == (... if last is ... else str(last).replace("\n", " "))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "1.1.0 in ota_1: rolled back, NameError in main.py, line 12, while importing"),
        ({"outcome": "confirmed", "step": "confirmed", "cause": None}, "1.1.0 in ota_1: confirmed"),
        ({"outcome": "on probation", "step": "wifi", "cause": None}, "1.1.0 in ota_1: on probation"),
        ({"outcome": "refused", "cause": "UPDATE_ERROR_MD5"}, "1.1.0 in ota_1: refused, UPDATE_ERROR_MD5"),
        ({"outcome": "interrupted", "cause": "the power went"}, "1.1.0 in ota_1: interrupted, the power went"),
        ({"outcome": "something new", "cause": None}, "1.1.0 in ota_1: something new"),
    ],
)
def test_info_shows_the_last_update_as_one_line(changes: dict, line: str, cells):
    info = Info(INFO | {"last_update": LAST | changes})
    assert outcome_text(last_update(info)) == line
    assert ["last_update", line] in cells(info._repr_html_())
    assert repr(info) == repr(Info(INFO))  # which every lesson shows


def test_info_escapes_the_last_update():
    html = Info(INFO | {"last_update": LAST | {"version": "<b>", "cause": "<script>"}})._repr_html_()
    assert "&lt;b&gt; in ota_1" in html
    assert "<b>" not in html
    assert "<script>" not in html


def test_every_step_of_the_firmware_after_the_writing_has_its_phrase():
    assert [*DURING] == ["committed", "booted", "found", "imported", "wifi", "server", "answered", "confirmed"]
