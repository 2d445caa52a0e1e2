"""Each check of lesson 02, on boards in two states: what is right of one is wrong of the other."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import kit
from kit.lesson.check import tasks

INFO = "name version build chip running boot next image_state sketch_size free_sketch_space free_heap rssi ip hostname"
INFO = dict.fromkeys([*INFO.split(), "uptime", "boot_files", "reset_cause"])


def ota(**info: object) -> dict:
    return {"ota": SimpleNamespace(info=lambda: INFO | info), "board": SimpleNamespace(url="")}


def told(error: str | None) -> dict:
    return {"ota": SimpleNamespace(progress=lambda: {"error": error})}


def config(name: str, host: str) -> dict:
    return {"ota": SimpleNamespace(config=lambda: {"wifi_ssid": name, "hostname": host})}


def updater(path: Path, start: str) -> dict:
    path.mkdir()
    (path / "updater.py").write_text(f"class Updater:\n    def _write(self):\n        return range({start}, 9)\n")
    return {"app": path}


BEFORE, AFTER_1, AFTER_0 = (SimpleNamespace(records=pair, slot="ota_0") for pair in ([1, 0], [1, 2], [3, 0]))


class Record(int):
    """A number that is its own record."""

    @property
    def seq(self) -> int:
        return int(self)


for state in (BEFORE, AFTER_1, AFTER_0):
    state.records = list(map(Record, state.records))
RESULT = SimpleNamespace(slot="ota_1"), SimpleNamespace(slot="ota_0")


def travelled(name: str, count: int | None) -> dict:
    """An upload of 300 sectors, of which so many travelled; None: the whole image."""
    return {name: SimpleNamespace(bytes=300 * 4096, sectors=None if count is None else tuple(range(count)))}


STATES = {
    "travel": (travelled("small", 5), "a few", travelled("small", None), "all"),
    "again": (travelled("rest", 5), "a few", travelled("rest", 170), "half"),
    "slot": ({"result": RESULT[0]}, "ota_1", {"result": RESULT[1]}, "ota_0"),
    "old": ({"before": BEFORE, "result": RESULT[0]}, "yes", {"before": BEFORE, "result": RESULT[1]}, "no"),
    "state": (ota(image_state="VALID"), "VALID", ota(image_state="PENDING_VERIFY"), "PENDING_VERIFY"),
    "record": ({"before": BEFORE, "after": AFTER_1}, 1, {"before": BEFORE, "after": AFTER_0}, 0),
    "seq": ({"before": BEFORE, "after": AFTER_1}, 2, {"before": BEFORE, "after": AFTER_0}, 3),
    "stored": (config("virtual-wifi", "my-first-board"), "none", config("another network", "my second board"), "all"),
    "program": ({"log": "Firmware Version: 1.1.0"}, "still there", {"log": "ets Jul 29 2019"}, "gone"),
    "refused": (told("UPDATE_ERROR_VERSION"), None, told(None), None),
    "nonsense": (told("UPDATE_ERROR_MAGIC_BYTE"), None, told("UPDATE_ERROR_VERSION"), None),
    "owner": (ota(owner="me"), None, ota(), None),
}
ON_THE_PAGE = {
    "colour": (ota(version="1.3.0"), "h1 { background: #b45309; color", "h1 { background: #15803d; color"),
    "title": (ota(), "<h1>My first device</h1>", "<h1>ESP32 OTA Update</h1>"),
    "hello": (ota(), "Hello!", ""),
}


def test_all_checks_are_here():
    here = {"02-sector", *(f"02-{name}" for name in [*STATES, *ON_THE_PAGE])}
    assert here == {task for task in tasks() if task.startswith("02-")}


def state(task: str, names: dict, answer: object = None) -> str:
    name = tasks()[f"02-{task}"].get("name")
    return kit.check(f"02-{task}", names | ({name: answer} if name else {})).state


@pytest.mark.parametrize("task", STATES)
def test_the_verdict_changes_with_the_board(task: str):
    one, right_of_one, other, right_of_other = STATES[task]
    assert state(task, one, right_of_one) == "right"
    assert state(task, other, right_of_one) == ("wrong" if right_of_one is not None else "not yet")
    if right_of_one is not None:
        assert state(task, other, right_of_other) == "right"
        assert state(task, one, right_of_other) == "wrong"


@pytest.mark.parametrize("task", ON_THE_PAGE)
def test_the_verdict_changes_with_the_page(task: str, monkeypatch: pytest.MonkeyPatch):
    names, good, bad = ON_THE_PAGE[task]
    for text, verdict in ((good, "right"), (bad, "not yet")):
        monkeypatch.setattr("requests.get", lambda *_, text=text, **__: SimpleNamespace(text=text, ok=bool(text)))
        assert state(task, names) == verdict


@pytest.mark.parametrize(
    ("count", "answer"),
    [
        (0, "a few"),
        (29, "a few"),
        (30, "half"),
        (150, "half"),
        (269, "half"),
        (270, "all"),
        (300, "all"),
        (None, "all"),
    ],
)
def test_how_many_sectors_travelled(count: int | None, answer: str):
    assert state("travel", travelled("small", count), answer) == "right"


def test_another_version_in_another_colour_is_not_asked_for(monkeypatch: pytest.MonkeyPatch):
    page = SimpleNamespace(text="h1 { background: #b45309; color", ok=True)
    monkeypatch.setattr("requests.get", lambda *_, **__: page)
    assert state("colour", ota(version="1.1.0")) == "not yet"


def test_the_verdict_changes_with_the_code(tmp_path: Path):
    assert state("sector", updater(tmp_path / "good", "_SECTOR"), 0) == "right"
    assert state("sector", updater(tmp_path / "bad", "0"), 0) == "wrong"
    assert state("sector", updater(tmp_path / "again", "_SECTOR"), False) == "wrong"
