"""What a virtual board knows of an update that went wrong, after the next start and later: why, and for how long."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.board.board import Board
from kit.errors import BoardError, RollbackError, UpdateError
from kit.faults import crashing, hanging, never_confirming, power_cut
from kit.image.application import new_app
from kit.image.update_image import build
from kit.ota.client import OtaClient

POWER = "the power went, or EN was pressed"
WATCHDOG = "the watchdog: it was not fed for a minute"
CRASH = "RuntimeError in main.py, line 1"
FAILS_LATER = "import slot\n\nif not slot.is_unconfirmed():\n    raise RuntimeError('one day')\n"
# What is not flushed is lost where there is no space
FILL = """
import os
with open('/large', 'wb') as file:
    try:
        while True:
            file.write(bytes(4096))
            file.flush()
    except OSError:
        pass
print(os.statvfs('/')[3])
"""


@pytest.fixture
def ota(installed) -> OtaClient:
    ota = installed.client()
    ota.login()
    return ota


@pytest.fixture
def board(installed) -> Board:
    return installed.board()


def rolled_back(cause: str, step: str, version: str = "1.1.0", slot: str = "ota_1") -> dict:
    return {"version": version, "slot": slot, "outcome": "rolled back", "step": step, "cause": cause}


def given_up(log: object) -> list[str]:
    """What the board itself says of versions that it gave up."""
    return log.lines("was given up")


def history(ota: OtaClient) -> list[str]:
    ota.login()
    return [repr(update) for update in ota.history()]


@pytest.mark.parametrize(("fault", "cause"), [(crashing, CRASH), (hanging, WATCHDOG)])
def test_a_version_that_does_not_start(board: Board, ota: OtaClient, fault: Callable, cause: str):
    """The error, the board's own answers and its console say the same."""
    with board.listening() as log, pytest.raises(RollbackError) as caught:
        ota.upload(fault("1.1.0", board=board))
    assert f"Version 1.1.0 was given up: {cause}, while importing. The board went back to 1.0.0." in str(caught.value)
    assert given_up(log) == [f"Version 1.1.0 was given up: {cause}. It had come to this step: found."]
    assert ota.info()["last_update"] == rolled_back(cause, "found")
    assert history(ota) == [f"1.1.0  rolled back  {cause}"]
    entry = [entry for entry in ota.log() if entry.event == "ROLLED_BACK"][-1]
    assert (entry.facts["version"], entry.facts["slot"], entry.facts["step"]) == ("1.1.0", "ota_1", "found")
    assert entry.facts.get("exception") == ("RuntimeError: crashed on purpose" if fault is crashing else None)


def test_a_version_that_is_reset_on_probation(board: Board, ota: OtaClient, wait_until: Callable):
    """It has answered and not confirmed itself."""
    with board.listening() as log:
        ota.upload(never_confirming("1.1.0", board=board), wait=False)
        wait_until(lambda: "URL: http://" in repr(log).partition("Firmware Version: 1.1.0")[2])
    info = ota.info()
    assert (info["version"], info["image_state"]) == ("1.1.0", "PENDING_VERIFY")
    about = {"version": "1.1.0", "slot": "ota_1", "outcome": "on probation", "step": "answered", "cause": None}
    assert info["last_update"] == about
    assert history(ota) == ["1.1.0  on probation"]
    assert f"Version 1.1.0 was given up: {POWER}. It had come to this step: answered." in repr(board.reset())
    info = ota.info()
    assert (info["version"], info["last_update"]) == ("1.0.0", rolled_back(POWER, "answered"))
    assert history(ota) == [f"1.1.0  rolled back  {POWER}"]
    assert "was given up" not in board.reset()  # once is enough
    assert ota.info()["last_update"] == rolled_back(POWER, "answered")
    assert history(ota) == [f"1.1.0  rolled back  {POWER}"]


@pytest.mark.parametrize(
    ("mistake", "cause"),
    [
        (("web.py", "    target = ota.target\n", "    target = nobody\n"), r"NameError in web\.py, line \d+"),
        (("self_test.py", 'b" 200 " not in', 'b" 299 " not in'), "its self-test failed: no answer within 1 s"),
    ],
    ids=["mistake", "silence"],
)
def test_a_version_that_does_not_answer(
    board: Board, ota: OtaClient, tmp_path: Path, mistake: tuple[str, str, str], cause: str
):
    """The mistake in what was to answer is named, where there is one."""
    app = new_app(tmp_path / "app")
    for name, there, instead in (("self_test.py", "_TEST_SECONDS = 60", "_TEST_SECONDS = 1"), mistake):
        source = (app / name).read_text()
        assert source.count(there) == 1
        (app / name).write_text(source.replace(there, instead))
    with board.listening() as log, pytest.raises(RollbackError) as caught:
        ota.upload(build("1.1.0", board=board, app=app))
    said = r"Version 1\.1\.0 was given up: " + cause
    assert re.match(rf"{said}(, in its self-test)?\. The board went back to 1\.0\.0\.$", caught.value.cause)
    [line] = given_up(log)
    assert re.match(rf"{said}\. It had come to this step: server\.$", line)


def test_a_board_that_is_reset_once_it_has_confirmed(board: Board, ota: OtaClient):
    """Whoever knows that a version is confirmed finds it in the history too."""
    ota.upload(build("1.1.0", board=board))
    board.reset()
    assert history(ota) == ["1.1.0  confirmed"]
    assert ota.info()["last_update"]["outcome"] == "confirmed"


@pytest.mark.parametrize("operations", [30, 200, 500])
def test_power_that_goes_during_the_upload(board: Board, ota: OtaClient, wait_until: Callable, operations: int):
    image = build("1.1.0", board=board)
    with board.listening() as log:
        with power_cut(board, operations), pytest.raises(BoardError):
            ota.upload(image)
        wait_until(lambda: "URL: http://" in repr(log))
    assert given_up(log) == [f"Version 1.1.0 was given up: {POWER}. It had come to this step: writing."]
    info = ota.info()
    assert info["version"] == "1.0.0"
    wanted = {"version": "1.1.0", "slot": "ota_1", "outcome": "interrupted", "step": "writing", "cause": POWER}
    assert info["last_update"] == wanted
    assert history(ota) == [f"1.1.0  interrupted  {POWER}"]
    assert ota.upload(image).version == "1.1.0"
    assert ota.info()["last_update"] == wanted | {"outcome": "confirmed", "step": "confirmed", "cause": None}
    assert history(ota) == [f"1.1.0  interrupted  {POWER}", "1.1.0  confirmed"]


def test_what_was_refused(board: Board, ota: OtaClient):
    data = build("1.1.0", board=board).data
    for sent, error in ((data[:500_000], "ACTIVATE"), (b"hello" * 1000, "MAGIC_BYTE")):
        with pytest.raises(UpdateError, match=f"UPDATE_ERROR_{error}"):
            ota.upload(sent)
    last = ota.info()["last_update"]
    assert (last["outcome"], last["cause"]) == ("refused", "UPDATE_ERROR_ACTIVATE")
    assert sorted(history(ota)) == [
        "1.1.0  refused  UPDATE_ERROR_ACTIVATE",
        "unknown  refused  UPDATE_ERROR_MAGIC_BYTE",
    ]


def test_how_long_it_remembers(board: Board, ota: OtaClient, capsys: pytest.CaptureFixture):
    """Over updates, restarts, the settings' reset by the button, boot files that come anew; not an erased flash."""
    with pytest.raises(RollbackError):
        ota.upload(crashing("1.1.0", board=board))
    first = [f"1.1.0  rolled back  {CRASH}"]
    ota.login()
    ota.upload(build("1.2.0", board=board))
    assert history(ota) == [*first, "1.2.0  confirmed"]
    boots = [entry.boot for entry in ota.log()]
    assert boots == sorted(boots)
    with board.press(18):
        assert "all settings are removed" in board.reset()
    board.install()
    assert history(ota) == [*first, "1.2.0  confirmed"]
    (found,) = [entry for entry in ota.log() if entry.facts.get("cause", "").startswith("the button was held")]
    assert found.event == "CONFIG"
    later = [entry.boot for entry in ota.log()]
    assert later[: len(boots)] == boots  # nothing is lost, and starts are counted on
    assert min(later[len(boots) :]) >= boots[-1]
    assert ota.info()["last_update"]["version"] == "1.2.0"

    board.erase()
    board.flash(build("1.0.0", board=board))
    board.install()
    ota.login()
    assert history(ota) == []
    assert ota.info()["last_update"] is None
    assert {entry.event for entry in ota.log()} == {"LOGIN_SUCCESS"}


def test_a_version_that_was_confirmed_and_fails_later(board: Board, ota: OtaClient, tmp_path: Path):
    """Three starts fail, and the other slot comes in. That one confirms itself, and is no update."""
    app = new_app(tmp_path / "app")
    (app / "main.py").write_text(FAILS_LATER + (app / "main.py").read_text())
    ota.upload(build("1.1.0", board=board, app=app))
    log = board.reset()
    cause = "RuntimeError in main.py, line 4"
    assert log.count("RuntimeError: one day") == 3
    assert f"Version 1.1.0 was given up: {cause}. It had come to this step: confirmed." in log
    info = ota.info()
    assert (info["version"], info["image_state"]) == ("1.0.0", "VALID")
    assert info["last_update"] == rolled_back(cause, "confirmed")
    assert history(ota) == [f"1.1.0  rolled back  {cause}"]


def test_a_full_file_system(board: Board, ota: OtaClient, wait_until: Callable):
    """The board starts, serves and takes an update; only the log stands still."""
    before = [entry.uptime for entry in ota.log()]
    assert before
    with board.repl() as repl:
        free = int(repl.exec(FILL))
    assert free < 2  # blocks: what littlefs keeps for a change of its folders
    with board.listening() as log:
        ota.login()
        ota.upload(build("1.1.0", board=board))
        wait_until(lambda: log.lines("audit.write failed: "))
    info = ota.info()
    assert (info["version"], info["image_state"], info["last_update"]["outcome"]) == ("1.1.0", "VALID", "confirmed")
    assert "Traceback" not in repr(log)
    assert "URL: http://" in board.reset()
    ota.login()
    while_full = list(ota.log())
    assert [entry.uptime for entry in while_full[: len(before)]] == before
    with board.repl() as repl:
        repl.exec("import os; os.remove('/large')")
    ota.login()
    newest = list(ota.log())[-1]
    assert newest.event == "LOGIN_SUCCESS"
    assert newest.boot > while_full[-1].boot
