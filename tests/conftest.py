import os
import shutil
import tempfile
import time
from collections.abc import Callable

import pytest

# How to get a tool that no distribution's package manager brings everywhere.
INSTALL = {
    "micropython": "run .ci/micropython and set MICROPYTHON to the path that it prints",
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


@pytest.fixture(scope="session")
def need_tool() -> Callable[[str], str]:
    """Function that gives the path of a tool, or skips the test naming what to install; where CI=true it fails."""

    def need(name: str) -> str:
        path = os.environ.get(name.upper()) or shutil.which(name)
        if path:
            return path
        message = f"{name} is missing: {INSTALL.get(name, f'apt-get install {name}')}"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)

    return need


@pytest.fixture(scope="session")
def micropython(need_tool: Callable[[str], str]) -> str:
    """Path of a real MicroPython (unix port): the environment's MICROPYTHON, else the one on PATH."""
    return need_tool("micropython")


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Function that returns once a condition is true, and fails where that takes too long."""

    def wait(condition: Callable[[], object], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.05)

    return wait
