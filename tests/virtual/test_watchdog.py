"""Applications that hang or crash on the virtual board, and REPL sessions that last."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kit import new_app
from kit.board.board import Board
from kit.board.port import open_port
from kit.board.repl import raw_repl
from kit.image.update_image import build

HANG = "import machine\n\nmachine.WDT(timeout=1000)\nwhile True:\n    pass\n"  # a minute would take too long
CRASH = "raise RuntimeError('crashed on purpose')\n"
BITTEN = "Task watchdog got triggered"
# Returns once the watchdog was fed, which nobody but a timer can do while it waits
WAIT = """
import time, watchdog
fed = []
watchdog._wdt = type("WDT", (), {"feed": lambda self: fed.append(1)})()
while not fed:
    time.sleep(0.1)
"""


@pytest.fixture
def flashed(start: Callable, tmp_path: Path) -> Callable[[str], Board]:
    """Function that flashes an application by cable with something before its first line, and starts it."""

    def flash(before: str) -> Board:
        main = new_app(tmp_path / "app") / "main.py"
        main.write_text(before + main.read_text())
        board = start().board()
        board.flash(build("1.0.0", board=board, app=main.parent))
        board.install()
        return board

    return flash


@pytest.mark.parametrize(("fault", "sign"), [(HANG, BITTEN), (CRASH, "RuntimeError: crashed on purpose")])
def test_a_confirmed_application_that_fails_ends_in_the_repl(flashed: Callable, fault: str, sign: str):
    """It is the only one: three starts, and then somebody with a cable is wanted, who finds a REPL."""
    board = flashed(fault)
    log = board.reset()
    assert log.count(sign) == 3
    assert "No application was started: its last 3 starts failed." in log
    with open_port(board.address) as port, raw_repl(port, soft_reset=False) as repl:
        repl.exec(WAIT)


def test_a_traceback_tells_boot_files_and_application_apart(flashed: Callable):
    log = flashed(CRASH).reset().replace("\r\n", "\n")
    assert '  File "main.py", line ' in log
    assert '  File "/app/main.py", line 1, in <module>\nRuntimeError: crashed on purpose\n' in log


@pytest.mark.parametrize("soft_reset", [False, True])
def test_a_session_in_the_repl_is_not_reset(installed, soft_reset: bool):
    with open_port(installed.board().address) as port, raw_repl(port, soft_reset) as repl:
        repl.exec(WAIT)
