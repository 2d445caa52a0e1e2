"""What a learner sees of the kit: behind TAB, in help(kit), and from the command line."""

import pydoc
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from jupyter_client.manager import start_new_kernel

import kit

VERBS = ["audit", "base_image", "build", "check", "compare_schemes", "connect", "find", "lessons", "new_app"]
VERBS += ["new_certificate", "new_key", "notify", "preflight", "read_function", "receive_events", "release", "resume"]
VERBS += ["serve_releases", "set_constant"]
NOUNS = ["AppImage", "Board", "KitError", "OtaClient", "PartitionTable", "attacks", "faults"]
BOARD = ["address", "console", "erase", "files", "flash", "install", "is_virtual", "listening", "otadata"]
BOARD += ["partitions", "pins", "press", "read", "ready", "repl", "reset", "set_time", "url"]
OTA = [
    "config",
    "configure",
    "fetch_from",
    "fetching",
    "history",
    "info",
    "log",
    "login",
    "progress",
    "pull",
    "restart",
    "rollback",
    "tell",
    "telling",
    "upload",
    "url",
    "watch",
]
RESULT = ["broken", "bytes", "plot", "restart_seconds", "samples", "seconds", "sectors", "slot", "version", "virtual"]
CELL = """
import kit
from kit.ota.result import UploadResult
import kit.virtual.join  # what the kit loads must not show either
board = kit.Board("/dev/ttyUSB0")
ota = kit.OtaClient("http://127.0.0.1")
result = UploadResult("1.1.0", "ota_1", 1, {}, (), None, True)
"""


@pytest.fixture(scope="module")
def complete() -> Iterator[Callable[[str, bool], list[str]]]:
    """Function that gives what TAB offers behind a text in a notebook, with or without jedi."""
    manager, client = start_new_kernel()

    def run(code: str) -> None:
        assert client.execute_interactive(code, timeout=60)["content"]["status"] == "ok"

    def complete(text: str, with_jedi: bool) -> list[str]:
        run(f"get_ipython().Completer.use_jedi = {with_jedi}")
        found = client.complete(text, reply=True, timeout=60)["content"]["matches"]
        return sorted(name.removeprefix(text).removeprefix(".") for name in found)

    try:
        run(CELL)
        yield complete
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("with_jedi", [True, False], ids=["jedi", "no jedi"])
@pytest.mark.parametrize(
    ("text", "names"), [("kit.", VERBS + NOUNS), ("board.", BOARD), ("ota.", OTA), ("result.", RESULT)]
)
def test_tab(complete: Callable[[str, bool], list[str]], text: str, names: list[str], with_jedi: bool):
    assert complete(text, with_jedi) == sorted(names)


@pytest.mark.parametrize("with_jedi", [True, False], ids=["jedi", "no jedi"])
def test_tab_behind_faults(complete: Callable[[str, bool], list[str]], with_jedi: bool):
    names = complete("kit.faults.", with_jedi)
    assert {"Gallery", "Link", "another_upload", "compare_links", "every_cut", "power_cut", "too_large"} <= set(names)
    assert {"client", "cuts", "damage", "flash", "gallery", "importlib", "link"} & set(names) == set()


@pytest.mark.parametrize("with_jedi", [True, False], ids=["jedi", "no jedi"])
def test_tab_behind_attacks(complete: Callable[[str, bool], list[str]], with_jedi: bool):
    names = complete("kit.attacks.", with_jedi)
    assert {"downgrade", "exhaust", "foreign_page", "forge_request", "guess", "replay", "sniff", "tamper"} <= set(names)
    assert {"attack", "case", "connections", "images", "origin", "probes", "sniffer"} & set(names) == set()


def test_every_name_has_its_line_in_help():
    page = pydoc.plain(pydoc.render_doc(kit))
    described = page[page.index("DESCRIPTION") : page.index("PACKAGE CONTENTS")]
    assert sorted(re.findall(r"^ {8}(\w+) {2,}\S", described, re.MULTILINE)) == sorted(VERBS + NOUNS) == dir(kit)
    assert len(page.splitlines()) < 80  # and not the help of all of them


def test_every_name_is_there():
    assert [name for name in dir(kit) if not getattr(kit, name).__doc__] == []
    with pytest.raises(AttributeError, match="module 'kit' has no attribute 'biuld'"):
        _ = kit.biuld


def test_the_command_line_shows_an_example_of_each_command():
    command = [sys.executable, "-m", "kit", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    commands = re.findall(r"^ {4}(\w+) ", text, re.MULTILINE)
    assert re.findall(r"^  python -m kit (\w+) ", text, re.MULTILINE) == commands
    assert len(commands) == 6
