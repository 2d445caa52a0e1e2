"""The reader interrupts a cell: one line says what came of it, the bar is red, and a second try works at once."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from kit.faults.link import Link
from kit.ota.client import OtaClient
from kit.shown import RED

# Interrupts the main thread as it enters one of the kit's functions.
INTERRUPT_IN = """
import os, signal, sys

def interrupt_in(function):
    def look(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_name == function and "kit" in code.co_filename.split(os.sep):
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    sys.setprofile(look)
"""

BEGIN = """
import kit
board = kit.Board({board.serial!r}, url={url!r}, control={board.control!r})
image = kit.build("1.1.0", board=board)
ota = kit.OtaClient(board.url)
ota.login()
"""


@dataclass
class Cell:
    """What came of a cell: the lines of each error, how its bars ended, and what it printed."""

    errors: list[list[str]] = field(default_factory=list)
    colours: list[str] = field(default_factory=list)
    printed: str = ""


@dataclass
class Kernel:
    """A kernel of a test's own."""

    manager: KernelManager
    client: BlockingKernelClient

    def run(self, code: str, interrupt_when: Callable[[], object] | None = None) -> Cell:
        """Run a cell to its end."""
        cell, identity = Cell(), self.client.execute(code)
        if interrupt_when:
            interrupt_when()
            self.manager.interrupt_kernel()
        while True:
            message = self.client.get_iopub_msg(timeout=100)
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != identity:
                continue
            if kind == "error":
                cell.errors.append(content["traceback"])
            elif kind == "stream":
                cell.printed += content["text"]
            elif kind == "update_display_data":  # a bar has come to its end
                cell.colours.append("danger" if RED in content["data"]["text/html"] else "success")
            elif content.get("execution_state") == "idle":
                return cell


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    manager, client = start_new_kernel(startup_timeout=100)
    yield Kernel(manager, client)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture
def paced(installed_file: Path, tmp_path: Path, start: Callable, wait_until: Callable):
    """A board with 1.0.0 that takes some seconds for an upload."""
    virtual = start(shutil.copy(installed_file, tmp_path / "paced.bin"), "--pace", "0.3")
    virtual.board().reset()
    return virtual


@pytest.fixture
def reaches(paced, wait_until: Callable) -> Callable:
    """Function that returns what waits until the board's progress is so."""
    watch = OtaClient(paced.http)
    watch.login()

    def until(is_so: Callable[[dict], bool]) -> Callable[[], None]:
        return lambda: wait_until(lambda: is_so(watch.progress()))

    return until


# Each verb, and the function in which it is interrupted.
VERBS = {
    "board.flash(image)": "write",
    "board.erase()": "erase",
    "board.read(0, 1 << 22)": "read",
    "board.partitions()": "download_mode",
    "board.install()": "restarted",
    "board.files()": "restart",
    "board.reset()": "_read_until_up",
    "board.ready(2)": "runs",
    "kit.preflight(board.address)": "_checks",
    "kit.build('1.3.0', board=board)": "build",
    "kit.find('nobody-at-all')": "find",
    "ota.restart()": "wait_until",
}


@pytest.mark.parametrize(("cell", "function"), VERBS.items())
def test_a_verb_that_is_interrupted(kernel: Kernel, paced, cell: str, function: str):
    kernel.run(BEGIN.format(board=paced, url=paced.http) + INTERRUPT_IN)
    done = kernel.run(f"interrupt_in({function!r})\n{cell}")
    verb = cell.partition("(")[0].partition(".")[2]
    assert done.errors == [[f"Interrupted: {verb} has not come to its end."]]
    assert set(done.colours) <= {"danger"}
    assert kernel.run("board.flash(image); board.install()").errors == []


def test_the_console_ends_where_it_is_interrupted(kernel: Kernel, paced):
    kernel.run(BEGIN.format(board=paced, url=paced.http) + INTERRUPT_IN)
    assert kernel.run("interrupt_in('open_port')\nboard.console(1000)").errors == []


def test_an_interrupt_of_plain_python_is_short(paced):
    script = BEGIN.format(board=paced, url=paced.http) + INTERRUPT_IN
    script += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs begin without
    script += "interrupt_in('wait_until')\nota.restart()\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode
    *frames, last = done.stderr.splitlines()
    assert last == "kit.errors.Interrupted: restart has not come to its end."
    assert len(frames) < 6


def upload_again(kernel: Kernel) -> None:
    again = kernel.run("print(ota.upload(image).version, ota.info())")
    assert again.errors == []
    assert again.colours == ["success"]
    assert again.printed.startswith("1.1.0 kit-stand-in 1.1.0 on ESP32 (virtual): running ota_1")


@pytest.mark.parametrize("written", [0, 500_000])
def test_an_upload_that_is_interrupted_ends(kernel: Kernel, paced, reaches: Callable, written: int):
    kernel.run(BEGIN.format(board=paced, url=paced.http))
    cell = kernel.run("ota.upload(image)", reaches(lambda state: state["written"] > written))
    assert cell.errors == [["Interrupted: 1.0.0 runs in ota_0."]]
    assert cell.colours == ["danger"]
    upload_again(kernel)


def test_an_upload_that_is_interrupted_before_its_first_byte(kernel: Kernel, paced, reaches: Callable):
    with Link(paced.http) as link:
        kernel.run(BEGIN.format(board=paced, url=link.url))
        link.throttle(1)
        cell = kernel.run("ota.upload(image)", reaches(lambda state: state["phase"] == "check"))
        assert cell.errors == [["Interrupted: 1.0.0 runs in ota_0."]]
        assert cell.colours == ["danger"]
        upload_again(kernel)


def test_the_wait_for_a_restart_is_interrupted(kernel: Kernel, paced, reaches: Callable):
    kernel.run(BEGIN.format(board=paced, url=paced.http))
    cell = kernel.run("ota.upload(image)", reaches(lambda state: state["phase"] == "restart"))
    assert cell.errors == [["Interrupted: 1.1.0 runs in ota_1."]]
    assert cell.colours == ["danger"]
    again = kernel.run('ota.login(); print(ota.upload(kit.build("1.2.0", board=board)))')
    assert again.printed.splitlines()[-1].startswith("1.2.0 in ota_0")
