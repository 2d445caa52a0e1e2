import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

BROWSERS = ("chromium", "google-chrome", "chromium-browser")
OPTIONS = [
    "--headless=new",
    "--no-sandbox",  # root cannot have one
    "--disable-dev-shm-usage",  # containers have 64 MB there
    "--window-size=1400,1000",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing outside this computer
]
LAB = ["lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", "--expose-app-in-browser"]
KERNELS = "--KernelManager.transport=ipc"  # see tests/conftest.py
NO_LESSON = shutil.ignore_patterns("my_app*", "conftest.py", "__pycache__", ".ipynb_checkpoints")
# Older releases of jupyter-server-proxy give up after 20 s, newer ones after 300 s.
PATIENCE = """\
from jupyter_server_proxy.handlers import ProxyHandler
ProxyHandler.proxy_request_options = lambda self: {{"follow_redirects": False, "request_timeout": {}}}
"""
TOKEN = "on-loopback-for-one-test"
# Without this choice JupyterLab asks in a pop-up whether it may fetch news.
NEWS = "lab/user-settings/@jupyterlab/apputils-extension/notification.jupyterlab-settings"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", metavar="DIR", type=Path, help="tests/web: keep pictures of the lessons in DIR")


@pytest.fixture
def screenshots(request: pytest.FixtureRequest) -> Path | None:
    """Folder for pictures, or None where nobody asked for them."""
    # The second None is for runs that name no path: pytest reads this file when it has read the command line.
    folder = request.config.getoption("--screenshots", None) or os.environ.get("SCREENSHOTS")
    if folder:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
    return folder


class Lesson:
    """A notebook, open in JupyterLab in a browser, its kernel ready. Cells are counted from 0, text included."""

    def __init__(self, driver: webdriver.Chrome, url: str, wait_until: Callable[..., None]) -> None:
        self.driver = driver
        self.wait_until = wait_until
        driver.get(url)
        panel = "window.jupyterapp?.shell.currentWidget"
        self.wait_until(lambda: self.js(f"return {panel}?.sessionContext?.session?.kernel?.status == 'idle'"))

    def js(self, script: str, *arguments: object) -> object:
        """Run a script in the page and return its result; a promise is waited for."""
        return self.driver.execute_script(script, *arguments)

    def command(self, name: str) -> None:
        """Start a command of JupyterLab's palette; `is_done` tells whether it has ended."""
        self.js("window.done = false; jupyterapp.commands.execute(arguments[0]).finally(() => done = true)", name)

    def is_done(self) -> bool:
        return self.js("return window.done")

    def run_all(self) -> None:
        """Clear the stored outputs, restart the kernel and run every cell, as a learner does from the menus."""
        self.command("notebook:clear-all-cell-outputs")
        self.wait_until(self.is_done)
        assert not any(self.counts()), "stored outputs would be taken for those of this run"
        self.command("notebook:restart-run-all")
        self.wait_until(lambda: self.driver.find_elements(By.CSS_SELECTOR, ".jp-Dialog .jp-mod-accept"))
        self.driver.find_element(By.CSS_SELECTOR, ".jp-Dialog .jp-mod-accept").click()
        self.wait_until(self.is_done, 150)

    def counts(self) -> list[int | None]:
        """Execution count of each cell; None for text, and for code that did not run."""
        return self.js(
            "return jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.executionCount ?? null)"
        )

    def cell(self, index: int) -> WebElement:
        """One cell, scrolled into view: JupyterLab draws only what can be seen."""
        return self.js(
            "const content = jupyterapp.shell.currentWidget.content;"
            "return content.scrollToItem(arguments[0]).then(() => content.widgets[arguments[0]].node)",
            index,
        )

    def missing_images(self) -> list[str]:
        """Images in the text of the lesson that are not there, or not yet."""
        return self.js(
            "const images = [...document.querySelectorAll('.jp-MarkdownOutput img')];"
            "return images.filter(image => !image.naturalWidth).map(image => image.outerHTML)"
        )

    def save_pages(self, folder: Path, name: str) -> None:
        """Save the whole notebook as pictures of one screen each."""
        outer = self.driver.find_element(By.CSS_SELECTOR, ".jp-WindowedPanel-outer")
        height, screen = self.js("return [arguments[0].scrollHeight, arguments[0].clientHeight]", outer)
        for page, top in enumerate(range(0, height, screen)):
            self.js("arguments[0].scrollTop = arguments[1]; return new Promise(requestAnimationFrame)", outer, top)
            self.driver.save_screenshot(folder / f"{name}-{page + 1:02}.png")


def environment(home: Path, pace: str) -> dict[str, str]:
    """A newcomer's environment: nothing configured, and a virtual board that was never used."""
    from matplotlib import font_manager, get_cachedir  # noqa: F401  the import makes the font cache

    own = ("IPYTHON", "JUPYTER", "KIT_", "XDG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)} | {
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_TOKEN": TOKEN,
        "KIT_BOARD": "virtual",
        "KIT_FLASH": str(home / "flash.bin"),
        "KIT_PACE": pace,
        "MPLCONFIGDIR": get_cachedir(),  # a kernel that makes the font cache says so in the cell, when it takes long
    }


@contextlib.contextmanager
def jupyterlab(
    folder: Path, variables: dict[str, str], wait_until: Callable[..., None], *options: str
) -> Iterator[str]:
    """Run JupyterLab in `folder`; its URL."""
    news = Path(variables["JUPYTER_CONFIG_DIR"], NEWS)
    news.parent.mkdir(parents=True, exist_ok=True)
    news.write_text('{"fetchNews": "false"}')
    log = folder.with_name("lab.log")
    command = [Path(sys.executable).with_name("jupyter"), *LAB, KERNELS, *options]
    with (
        tempfile.TemporaryDirectory(prefix="kit-lab-") as short,  # of the 108 characters that a socket's path may have
        log.open("w") as output,
        subprocess.Popen(command, cwd=folder, env=variables | {"JUPYTER_RUNTIME_DIR": short}, stderr=output) as process,
    ):
        runtime = Path(short)
        try:
            wait_until(lambda: process.poll() is not None or url(runtime))
            assert process.poll() is None, log.read_text()
            yield url(runtime)
        finally:
            process.terminate()


def url(runtime: Path) -> str | None:
    """Where the server listens, once it does: it says so in a file."""
    for file in runtime.glob("jpserver-*.json"):
        with contextlib.suppress(ValueError):  # half written
            return json.loads(file.read_text())["url"]
    return None


@pytest.fixture(scope="session")
def programs(need_tool: Callable[[str], str]) -> tuple[str, str]:
    """Paths of the browser and of its driver."""
    found = (name for name in BROWSERS if shutil.which(os.environ.get(name.upper(), name)))
    return need_tool(next(found, BROWSERS[0])), need_tool("chromedriver")


@contextlib.contextmanager
def chromium(browser: str, driver: str, variables: dict[str, str], **preferences: int) -> Iterator[webdriver.Chrome]:
    """Run a browser without a screen. Both programs are named: Selenium would download what it does not find."""
    options = webdriver.ChromeOptions()
    options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.accept_insecure_certs = True  # a board signs its own, and a reader accepts that
    options.binary_location = browser
    for option in OPTIONS:
        options.add_argument(option)
    # Chromium leaves a socket in TMPDIR; pytest's tmp_path is too long for one.
    with tempfile.TemporaryDirectory(prefix="web-", ignore_cleanup_errors=True) as folder:
        service = webdriver.ChromeService(driver, env=variables | {"TMPDIR": folder})
        with webdriver.Chrome(options, service) as window:
            yield window


@pytest.fixture(scope="session", name="chromium")
def chromium_fixture(programs: tuple[str, str]) -> Callable[..., contextlib.AbstractContextManager[webdriver.Chrome]]:
    """Function that runs a browser with some of its preferences set."""
    return lambda **preferences: chromium(*programs, dict(os.environ), **preferences)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A fresh HOME."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def started(home: Path, wait_until: Callable) -> Iterator[Callable[[], dict[psutil.Process, str]]]:
    """Function that finds what runs with the HOME of this test, by command line. At the end nothing may be left."""

    def find() -> dict[psutil.Process, str]:
        found = {}
        for process in psutil.process_iter():
            # By HOME, not by parent: a virtual board starts a session of its own, and outlives a killed kernel.
            with contextlib.suppress(psutil.Error):
                if process.environ().get("HOME") == str(home):
                    family = [process, *process.children(recursive=True)]  # a browser's children hide their HOME
                    found.update((member, " ".join(member.cmdline())) for member in family)
        return found

    yield find
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not find())
    left = find()
    for process in left:
        process.kill()
    assert not left


@pytest.fixture
def open_hub(home: Path, started: Callable, wait_until: Callable) -> Iterator[Callable[[int], tuple[str, str]]]:
    """Function that runs a server as a hub's user has it, whose proxy gives up after so many seconds; URL and token."""
    with contextlib.ExitStack() as stack:

        def opened(patience: int) -> tuple[str, str]:
            variables = environment(home, "0")
            config = Path(variables["JUPYTER_CONFIG_DIR"], "jupyter_server_config.py")
            config.parent.mkdir()
            config.write_text(PATIENCE.format(patience))
            server = jupyterlab(home, variables, wait_until, "--ServerApp.base_url=/user/ada/")
            return stack.enter_context(server), TOKEN

        yield opened


@pytest.fixture
def open_lesson(
    home: Path, started: Callable, programs: tuple[str, str], wait_until: Callable
) -> Iterator[Callable[..., Lesson]]:
    """Function that opens a notebook, in a copy of its folder, in JupyterLab; `pace` is KIT_PACE."""
    with contextlib.ExitStack() as stack:

        def opened(notebook: Path, pace: str = "0") -> Lesson:
            folder = shutil.copytree(notebook.parent, home / "notebooks", ignore=NO_LESSON)
            variables = environment(home, pace)
            address = stack.enter_context(jupyterlab(folder, variables, wait_until))
            window = stack.enter_context(chromium(*programs, variables))
            return Lesson(window, f"{address}lab/tree/{notebook.name}?token={TOKEN}", wait_until)

        yield opened
