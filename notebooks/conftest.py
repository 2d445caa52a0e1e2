# pytest reads this; the lessons do not. It makes each notebook run on a virtual board of its own, without settings of
# this computer, so that the stored outputs are what every computer shows.
import os
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from kit.settings import DEMO

FOLDER = pytest.StashKey[str]()
# nbval starts a kernel in the folder of its notebook, where a learner's own my_app may lie.
START_ELSEWHERE = "import os, tempfile; os.chdir(tempfile.mkdtemp(dir={folder!r}))"


def pytest_configure(config: pytest.Config) -> None:
    folder = tempfile.TemporaryDirectory(prefix="kit-notebooks-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    config.stash[FOLDER] = folder.name
    startup = Path(folder.name, "ipython", "profile_default", "startup")
    startup.mkdir(parents=True)
    (startup / "00-folder.py").write_text(START_ELSEWHERE.format(folder=folder.name))


def pytest_collectstart(collector: pytest.Collector) -> None:
    if type(collector).__name__ == "IPyNbFile":
        # Measured numbers stand in HTML and figures, warnings of libraries on stderr: neither is stable.
        collector.skip_compare += ("text/html", "stderr")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    # nbval starts the kernel in the set-up of a notebook's first cell; the kernel inherits this environment.
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("KIT_")]:
            environment.delenv(name)
        environment.setenv("IPYTHONDIR", os.path.join(item.config.stash[FOLDER], "ipython"))
        environment.setenv("KIT_BOARD", "virtual")
        environment.setenv("KIT_PACE", "0")
        # a lesson and its solutions have the same name
        flash = "-".join(item.path.relative_to(item.config.rootpath).with_suffix(".bin").parts)
        environment.setenv("KIT_FLASH", os.path.join(item.config.stash[FOLDER], flash))
        environment.setenv("KIT_WIFI_SSID", DEMO.wifi_ssid)
        environment.setenv("KIT_WIFI_PASSWORD", DEMO.wifi_password)
        environment.setenv("KIT_PASSWORD", DEMO.password)
        return (yield)
