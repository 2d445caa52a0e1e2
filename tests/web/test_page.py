"""The board's own pages in a browser, on a virtual board in a process of its own."""

import contextlib
import hashlib
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests
from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from kit.board import control
from kit.board.board import Board
from kit.image.application import new_app
from kit.image.standin import image_set
from kit.image.update_image import UpdateImage, build
from kit.ota.client import OtaClient
from kit.security.certificate import new_certificate
from kit.settings import DEMO

ROOT = Path(__file__).parents[2]
IDLE = {"phase": "idle", "received": 0, "written": 0, "size": 0, "error": None}  # of a board that no file has reached
CONFIRMED = "Version 1.1.0 runs, confirmed."
BUILD = "the .bin file that kit.build()"
NO_START = "This is no app image: it is too short, or does not start with 0xE9. Choose " + BUILD
NO_DESCRIPTOR = "This is no app image: it has no app descriptor. A full firmware.bin starts with"
OTA_1 = 0x190000
SECTOR = 4096
# What the page sends, as method, address and bytes; the script in its place may change what it asks for
RECORD = """
const original = fetch;
window.sent = [];
window.fetch = (path, options = {}) => {
  %s;
  if (options.body) sent.push([options.method, path, options.body.size]);
  return original(path, options);
};
"""
# Notes each state of the page, however short
NOTE = """
window.states = [];
new MutationObserver(() => states.push([
  document.querySelector("#said strong")?.textContent,
  document.querySelector("[aria-current=step]")?.textContent,
  document.getElementById("phase").textContent,
  document.getElementById("bar").value,
])).observe(document.querySelector("main"), { subtree: true, childList: true, attributes: true });
"""
# WCAG 2.2, 1.4.3, of each element with a text of its own, against the first background behind it
CONTRASTS = """
const parts = color => color.match(/[\\d.]+/g).map(Number);
const linear = value => value <= .04045 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
const luminance = color => {
  const [red, green, blue] = parts(color).map(value => linear(value / 255));
  return .2126 * red + .7152 * green + .0722 * blue;
};
const isClear = color => parts(color)[3] === 0;
const background = element => {
  while (isClear(getComputedStyle(element).backgroundColor)) element = element.parentElement;
  return getComputedStyle(element).backgroundColor;
};
const contrast = element => {
  const [a, b] = [getComputedStyle(element).color, background(element)].map(luminance).sort((a, b) => b - a);
  return (a + .05) / (b + .05);
};
const hasText = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
return [...document.body.querySelectorAll("*")].filter(e => e.checkVisibility() && (hasText(e) || e.matches("input")))
  .map(e => [e.outerHTML, contrast(e)]);
"""


@dataclass
class Virtual:
    """A virtual board in a process of its own."""

    serial: str
    http: str
    control: str

    def progress(self) -> dict:
        return requests.get(f"{self.http}/progress", auth=("admin", DEMO.password), timeout=10).json()

    def power(self, on: bool) -> None:
        control.ask(self.control, "power", on=on)


@contextlib.contextmanager
def running(flash: Path, pace: float = 0) -> Iterator[Virtual]:
    command = [sys.executable, "-m", "kit.virtual", "--pace", str(pace), "--flash", str(flash)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline().split(": ", 1) for _ in range(3)]
            yield Virtual(**{name: address.strip() for name, address in lines})
        finally:
            process.terminate()
            _, complaints = process.communicate()
        assert complaints == ""


@pytest.fixture(scope="module")
def images() -> tuple[UpdateImage, UpdateImage]:
    """Versions 1.0.0 and 1.1.0 for a virtual board."""
    return build("1.0.0", base=image_set()), build("1.1.0", base=image_set())


@pytest.fixture(scope="module")
def installed_file(images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flash with version 1.0.0, the boot files and the settings; not to be changed."""
    path = tmp_path_factory.mktemp("installed") / "flash.bin"
    with running(path) as virtual:
        board = Board(virtual.serial, url=virtual.http, control=virtual.control)
        board.flash(images[0])
        board.install()
    return path


@pytest.fixture(scope="module")
def untouched(
    installed_file: Path, tmp_path_factory: pytest.TempPathFactory, wait_until: Callable
) -> Iterator[Virtual]:
    """A board with version 1.0.0 that no test sends anything to."""
    with running(shutil.copy(installed_file, tmp_path_factory.mktemp("untouched") / "flash.bin")) as virtual:
        wait_until(lambda: is_up(virtual))
        yield virtual
        assert virtual.progress() == IDLE


@pytest.fixture
def start(installed_file: Path, tmp_path: Path, wait_until: Callable) -> Iterator[Callable[..., Virtual]]:
    """Function that starts a board with version 1.0.0; `pace` is KIT_PACE, `other` what its other slot holds."""
    with contextlib.ExitStack() as stack:

        def started(pace: float = 0, other: bytes = b"") -> Virtual:
            flash = shutil.copy(installed_file, tmp_path / "flash.bin")
            with flash.open("r+b") as file:
                file.seek(OTA_1)
                file.write(other)
            virtual = stack.enter_context(running(flash, pace))
            wait_until(lambda: is_up(virtual))
            return virtual

        yield started


def is_up(virtual: Virtual) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"{virtual.http}/info", timeout=5).ok
    return False


@pytest.fixture
def board(start) -> Virtual:
    """A board that does not wait for its flash."""
    return start()


@pytest.fixture(scope="module")
def browser(chromium) -> Iterator[webdriver.Chrome]:
    with chromium() as driver:
        yield driver


class Page:
    """A tab in which a board's pages are open."""

    def __init__(self, driver: webdriver.Chrome, wait_until: Callable, screenshots: Path | None) -> None:
        self.driver = driver
        self.wait_until = wait_until
        self._screenshots = screenshots

    def open(self, virtual: Virtual, path: str = "/") -> None:
        self.driver.get(virtual.http + path)

    def find(self, selector: str) -> WebElement:
        """The first element for a selector, once the page has it."""
        self.wait_until(lambda: self.driver.find_elements(By.CSS_SELECTOR, selector))
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def js(self, script: str, *arguments: object) -> object:
        return self.driver.execute_script(script, *arguments)

    def log_in(self, virtual: Virtual, password: str = DEMO.password) -> None:
        self.open(virtual)
        self.find("#password").send_keys(password, Keys.ENTER)
        self.wait_until(lambda: self.driver.current_url != f"{virtual.http}/")

    def choose(self, file: Path) -> None:
        """Choose a file; what the page says of it is there when this returns."""
        self.find("#file").send_keys(str(file))
        self.wait_until(lambda: self.find("#about").text or self.said())

    def send(self, file: Path) -> None:
        self.choose(file)
        self.find("#send").click()

    def record(self, change: str = "") -> None:
        """Note from now on what the page sends."""
        self.js(RECORD % change)

    def sent(self) -> list[tuple[str, str, int]]:
        """Method, address and bytes of each upload."""
        return [tuple(upload) for upload in self.js("return sent")]

    def said(self) -> str:
        return self.find("#said").text

    def wait_for(self, text: str) -> None:
        """Return once the page says a text."""
        self.wait_until(lambda: text in self.said())

    def bar(self) -> tuple[float, float]:
        """Value and maximum of the bar."""
        return tuple(self.js("const bar = document.getElementById('bar'); return [bar.value, bar.max]"))

    def slow_down(self, rate: float = -1) -> None:
        """Let what this tab sends travel at so many bytes a second; as fast as it can without one."""
        throughput = {"uploadThroughput": rate, "downloadThroughput": -1}
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, "latency": 0, **throughput})

    def drop(self, *paths: Path) -> None:
        """Drop files or folders on the heading, as the system does it."""
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.driver.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, "x": 100, "y": 40, "data": data})

    def save(self, name: str) -> None:
        """Keep a picture of the whole page, where pictures are wanted."""
        if self._screenshots:
            self.driver.save_screenshot(self._screenshots / f"page-{name}.png")


@pytest.fixture
def page(browser: webdriver.Chrome, wait_until: Callable, screenshots: Path | None) -> Iterator[Page]:
    """A tab as that of a new browser. At the end nothing may have been refused by the page's own policy."""
    browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    browser.get_log("browser")
    shape(browser, 600, 900)
    yield Page(browser, wait_until, screenshots)
    complaints = [entry["message"] for entry in browser.get_log("browser")]
    for handle in browser.window_handles[1:]:
        browser.switch_to.window(handle)
        browser.close()
    browser.switch_to.window(browser.window_handles[0])
    browser.get("about:blank")
    assert not [line for line in complaints if "Failed to load resource" not in line], "errors of script or policy"


def shape(driver: webdriver.Chrome, width: int, height: int, scheme: str = "light") -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@pytest.fixture
def good(images, tmp_path: Path) -> Path:
    """Version 1.1.0 as a file."""
    return images[1].save(tmp_path / "1.1.0.bin")


@pytest.fixture
def damaged(images, tmp_path: Path) -> Path:
    """Version 1.1.0 with another byte in its application."""
    return write(tmp_path / "damaged.bin", images[1].data, len(images[1].data) - 100)


def write(path: Path, data: bytes, changed: int) -> Path:
    """Write a file in which one byte is another one."""
    path.write_bytes(data[:changed] + bytes([data[changed] ^ 0xFF]) + data[changed + 1 :])
    return path


def test_log_in(page: Page, board: Virtual):
    page.open(board)
    text = page.find("table").text
    for row in ("Version 1.0.0", "Running slot ota_0", "IP address", "dBm", "Build 20"):
        assert row in text
    page.save("login")
    page.log_in(board, "guess")
    assert page.said() == "Invalid password!"
    page.find("#password").send_keys(DEMO.password, Keys.ENTER)  # the form stands below the answer
    page.wait_until(lambda: page.driver.current_url == f"{board.http}/update")
    assert page.find("#file").is_displayed()
    origins = "return performance.getEntriesByType('resource').map(entry => new URL(entry.name).origin)"
    assert set(page.js(origins)) == {board.http}


def test_lock_out(page: Page, board: Virtual):
    for _ in range(5):
        page.log_in(board, "guess")
        assert page.said() == "Invalid password!"
    page.log_in(board)
    assert page.said().startswith("Too many wrong passwords. Wait ")
    page.save("locked-out")
    page.open(board, "/update")
    assert page.said() == "This needs a login."


def test_update_over_https(page: Page, board: Virtual, good: Path):
    """All over one connection: the bar shows what was sent, as nobody can ask the board meanwhile."""
    cable = Board(board.serial, control=board.control)
    cable.install(certificate=new_certificate("board", "127.0.0.1"))
    plain = OtaClient(cable.url)
    plain.login()
    plain.configure(https=True)
    cable.reset()
    page.open(board)  # port 80 leads to the other one
    page.find("#password").send_keys(DEMO.password, Keys.ENTER)
    page.wait_until(lambda: page.driver.current_url == f"{cable.url}/update")
    page.choose(good)
    page.js(NOTE)
    size = good.stat().st_size
    page.slow_down(size / 20)
    page.find("#send").click()
    page.wait_until(lambda: page.find("#phase").text == "Sending" and page.bar()[0] > 0)
    assert page.find("#written").text.endswith(" kB sent")
    page.save("sending")
    page.slow_down()
    page.wait_for(CONFIRMED)
    assert ["Version 1.1.0 is in ota_1.", "Restart", "Restarting", size] in page.js("return states")
    assert page.driver.current_url == f"{cable.url}/update"


def test_update(page: Page, board: Virtual, good: Path):
    """The bar shows what the board has written: never more, and all of it in the end."""
    size = good.stat().st_size
    page.log_in(board)
    page.choose(good)
    assert page.find("#about").text.startswith("Version 1.1.0 of kit-stand-in, built 20")
    page.save("chosen")
    page.js(NOTE)
    page.slow_down(size / 60)
    page.find("#send").click()
    page.wait_until(lambda: page.find("#phase").text == "Writing" and page.bar()[0] > 0)
    assert page.find("[aria-current=step]").text == "Write"
    assert page.find("#written").text.endswith(f" % of {-(-size // 1000)} kB")
    assert not page.find("#form").is_displayed()
    page.save("writing")
    seen = [(*page.bar(), board.progress()["written"]) for _ in range(5)]
    page.slow_down()
    with contextlib.suppress(requests.RequestException):  # it restarts
        while not page.said():
            seen.append((*page.bar(), board.progress()["written"]))
    assert all(value <= written <= maximum == size for value, maximum, written in seen)
    page.wait_for(CONFIRMED)
    assert ["Version 1.1.0 is in ota_1.", "Restart", "Restarting", size] in page.js("return states")
    assert page.bar() == (size, size)
    assert "Version 1.1.0\n" in page.find("table").text
    assert "Running slot ota_1\n" in page.find("table").text
    page.save("confirmed")


def test_digests(page: Page, untouched: Virtual):
    """The script computes as zlib and hashlib do, about the ends of SHA-256's blocks too."""
    lengths = [0, 1, 55, 56, 63, 64, 65, 4096, 100_001]
    page.log_in(untouched)
    script = """
    const data = length => Uint8Array.from({ length }, (_, index) => (index * 7) % 251);
    return arguments[0].map(data).map(bytes => [crc32(bytes), [...sha256(bytes)]]);
    """
    expected = [bytes(index * 7 % 251 for index in range(length)) for length in lengths]
    assert page.js(script, lengths) == [[zlib.crc32(data), [*hashlib.sha256(data).digest()]] for data in expected]


def test_what_the_slot_lacks(page: Page, board: Virtual, images, good: Path, tmp_path: Path):
    """All where the slot is blank, what differs where it holds 1.0.0, and one sector where it has the very image."""
    size = good.stat().st_size
    page.log_in(board)
    page.record()
    page.send(good)
    page.wait_for(CONFIRMED)
    assert page.sent() == [("POST", "update", size)]
    assert page.find("#travels").text == ""

    page.log_in(board)
    page.record()
    page.send(build("1.2.0", base=image_set()).save(tmp_path / "1.2.0.bin"))
    page.wait_for("Version 1.2.0 runs, confirmed.")
    assert page.sent() == [("PATCH", "update", 2 * (2 + SECTOR))]
    assert page.find("#travels").text == travels(2, size)
    assert page.bar() == (size, size)
    page.save("changed-sectors")

    page.log_in(board)
    page.record()
    page.choose(good)
    page.find("#force").click()
    page.find("#send").click()
    page.wait_for(CONFIRMED)
    assert page.sent() == [("PATCH", "update?force=1", 2 + SECTOR)], "a hub's proxy fails with an empty body"
    assert page.find("#travels").text == travels(1, size)


def travels(sectors: int, size: int) -> str:
    """What the page says of an update that does not travel whole."""
    kilobytes = round(sectors * SECTOR / 1000)
    return f"This update takes {sectors} of {-(-size // SECTOR)} sectors, {kilobytes} kB: the board has the others."


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ("if (options.method === 'PATCH') options.headers['If-Match'] = '\"stale\"'", ("PATCH", "update", 2 * 4098)),
        ("if (path === 'sectors') path = 'nothing'", None),
    ],
    ids=["another slot", "older firmware"],
)
def test_whole_image(page: Page, start: Callable, images, good: Path, change: str, part: tuple | None):
    """It travels where the slot is not what it was (412), and where the firmware knows no sectors (404)."""
    board = start(other=images[0].data)
    page.log_in(board)
    page.record(change)
    page.send(good)
    page.wait_for(CONFIRMED)
    whole = ("POST", "update", good.stat().st_size)
    assert page.sent() == ([part, whole] if part else [whole])
    assert page.find("#travels").text == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: b"", "This file is empty. Choose " + BUILD),
        (lambda data: data[:287], NO_START),
        (lambda data: b"\x7fELF" + data[4:], NO_START),
        (lambda data: data[:32] + b"\xff" * 4 + data[36:], NO_DESCRIPTOR),
        (lambda data: data[:12] + b"\t\0" + data[14:], "This image is for another chip (id 9), not for an ESP32."),
        (lambda data: data.ljust(0x180001, b"\xff"), "This image has 1572865 bytes, and the slot takes 1572864."),
    ],
    ids=["empty", "short", "magic", "firmware.bin", "chip", "size"],
)
def test_wrong_file(page: Page, untouched: Virtual, images, tmp_path: Path, change: Callable, said: str):
    """It is named before a byte of it travels."""
    file = tmp_path / "wrong.bin"
    file.write_bytes(change(images[1].data))
    page.log_in(untouched)
    page.send(file)
    page.wait_until(lambda: page.find("#form").is_displayed())
    assert page.said().startswith(said)
    assert not page.find("#run").is_displayed()
    assert untouched.progress() == IDLE
    page.save("wrong-file")


def test_file_that_has_changed(page: Page, untouched: Virtual, good: Path):
    page.log_in(untouched)
    page.choose(good)
    good.write_bytes(good.read_bytes() + b"\0")
    page.find("#send").click()
    page.wait_for("This file cannot be read, or has changed since. Choose it again.")
    assert untouched.progress() == IDLE


def test_drop(page: Page, board: Virtual, good: Path, damaged: Path, tmp_path: Path):
    """One file is taken wherever it falls; two, or a folder, are not."""
    page.log_in(board)
    for paths in ((good, damaged), (tmp_path,)):
        page.drop(*paths)
        page.wait_for("This is not one file. Drop a single .bin file.")
        assert page.js("return document.getElementById('file').files.length") == 0
        page.open(board, "/update")
    assert board.progress() == IDLE
    page.drop(good)
    page.wait_until(lambda: page.find("#about").text.startswith("Version 1.1.0 of"))
    page.find("#send").click()
    page.wait_for(CONFIRMED)


def test_not_newer(page: Page, board: Virtual, images, tmp_path: Path):
    """The page warns, the board refuses, and one box makes it take the file."""
    page.log_in(board)
    page.choose(images[0].save(tmp_path / "1.0.0.bin"))
    assert page.find("#about").text.endswith("This is not newer than the running 1.0.0.")
    page.find("#send").click()
    page.wait_for("Version 1.0.0 is not newer than the running 1.0.0.")
    page.find("#force").click()
    page.find("#send").click()
    page.wait_for("Version 1.0.0 runs, confirmed.")
    assert "Running slot ota_1\n" in page.find("table").text


def test_order_of_versions(page: Page, untouched: Virtual):
    page.log_in(untouched)
    for new, old in (
        ("1.1.0", "1.0.9"),
        ("1.10.0", "1.9.0"),
        ("2.0.0-rc.1", "1.9.0"),
        ("1.0.0", "1.0.0-rc.1"),
        ("1.0.0-rc.10", "1.0.0-rc.9"),
    ):
        assert page.js("return [isNewer(...arguments), isNewer(arguments[1], arguments[0])]", new, old) == [True, False]
    for same in (("1.0.0", "1.0.0"), ("1.0.0+5", "1.0.0+4")):
        assert not page.js("return isNewer(...arguments)", *same)


def test_refusal_and_retry(page: Page, board: Virtual, good: Path, damaged: Path):
    """The board's own sentence, and another try on the same page."""
    page.log_in(board)
    page.send(damaged)
    page.wait_for("The image cannot be started: the SHA-256 of the application is wrong.")
    assert BUILD in page.said()
    page.save("refused")
    page.send(good)
    page.wait_for(CONFIRMED)
    assert last_update(page) == "1.1.0: confirmed"


def last_update(page: Page) -> str:
    """What the table says of it."""
    return page.find("[data-info=last_update]").text


def test_version_that_fails(page: Page, board: Virtual, tmp_path: Path):
    """It is written, started and left; the page says what runs in its place, and why, as it does later."""
    app = new_app(tmp_path / "app")
    (app / "main.py").write_text("raise ValueError")
    page.log_in(board)
    assert last_update(page) == "none"
    assert "Last update none" in page.find("table").text
    page.send(build("1.1.0", base=image_set(), app=app).save(tmp_path / "failing.bin"))
    page.wait_for("The board restarted, and runs version 1.0.0 again.")
    why = "1.1.0: rolled back, ValueError in main.py, line 1"
    assert f"again. {why}." in page.said()
    page.save("rolled-back")
    page.open(board)
    assert last_update(page) == why
    page.log_in(board)
    assert last_update(page) == why


def test_login_that_has_ended(page: Page, untouched: Virtual, good: Path):
    page.log_in(untouched)
    page.choose(good)
    for cookie in page.driver.get_cookies():
        if cookie["name"].startswith("token"):
            page.driver.add_cookie({"name": cookie["name"], "value": "0" * 32})
    page.find("#send").click()
    page.wait_for("Your login has ended.")
    assert page.find("#said a").get_attribute("href") == f"{untouched.http}/"
    assert untouched.progress() == IDLE


def test_power_cut(page: Page, board: Virtual, good: Path):
    """The page notices, looks for the board, and says what runs when it is back; what it has does not travel again."""
    page.log_in(board)
    page.slow_down(good.stat().st_size / 40)
    page.send(good)
    page.wait_until(lambda: page.bar()[0] > page.bar()[1] / 4)
    board.power(on=False)
    page.slow_down()
    page.wait_for("The connection broke off. Looking for the board.")
    board.power(on=True)
    page.wait_for("The board restarted, and runs version 1.0.0 again.")
    assert "1.1.0: interrupted, the power went, or EN was pressed." in page.said()
    page.save("power-cut")
    page.find("#said a").click()
    page.find("#password")
    page.log_in(board)
    page.record()
    page.slow_down(good.stat().st_size / 60)
    page.send(good)
    page.wait_until(lambda: page.find("#phase").text == "Writing" and page.find("#travels").text)
    page.save("going-on")
    page.slow_down()
    page.wait_for(CONFIRMED)
    ((method, _, size),) = page.sent()
    assert method == "PATCH"
    assert 0 < size < good.stat().st_size * 3 / 4 + 2 * SECTOR
    assert page.find("#travels").text == travels(size // (2 + SECTOR), good.stat().st_size)


def test_board_that_stays_away(page: Page, board: Virtual, good: Path):
    """After a while, here three seconds, the page says what to do."""
    page.log_in(board)
    page.choose(good)
    board.power(on=False)
    page.find("#send").click()
    page.wait_for("The board does not answer. Check its power and its Wi-Fi, and try again.")
    page.js("follow({next: 'ota_1'}, 3000)")
    page.wait_for("The board has not answered for 3 s. Check its power and its Wi-Fi.")


def test_silence(page: Page, untouched: Virtual):
    """An upload of which the board knows nothing, as after a power cut, is given up in time, here after a second."""
    page.log_in(untouched)
    page.js("window.given = new AbortController(); watch(new Promise(() => {}), given, 1000)")
    page.wait_until(lambda: page.js("return given.signal.aborted"))


def test_probation(page: Page, untouched: Virtual):
    """A version that runs, and has not passed its self-test yet."""
    page.log_in(untouched)
    info = {"version": "1.1.0", "running": "ota_1", "image_state": "PENDING_VERIFY"}
    assert not page.js("return arrive(arguments[0])", info)
    assert page.said() == "Version 1.1.0 runs, on probation. It tests itself before it is kept."


def test_second_tab(page: Page, board: Virtual, good: Path):
    """Its upload is refused, and once opened anew it shows the update of the first one."""
    page.log_in(board)
    page.choose(good)
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    shape(page.driver, 600, 900)
    second = page.driver.current_window_handle
    page.open(board, "/update")
    page.choose(good)
    page.driver.switch_to.window(first)
    page.slow_down(good.stat().st_size / 60)
    page.find("#send").click()
    page.wait_until(lambda: page.bar()[0] > 0)
    page.driver.switch_to.window(second)
    page.find("#send").click()
    page.wait_for("Another update is running.")
    page.driver.refresh()
    page.wait_until(lambda: page.find("#phase").text == "Writing")
    assert page.bar()[0] > 0
    assert not page.find("#form").is_displayed()
    page.driver.switch_to.window(first)
    page.slow_down()
    for tab in (second, first):
        page.driver.switch_to.window(tab)
        page.wait_for(CONFIRMED)


def test_without_javascript(chromium, wait_until: Callable, board: Virtual, good: Path, damaged: Path):
    with chromium(**{"profile.managed_default_content_settings.javascript": 2}) as driver:
        page = Page(driver, wait_until, None)
        page.log_in(board)
        assert "An answer comes when the update is over" in page.find("main").text
        assert not page.find("#hint").is_displayed()
        page.find("#file").send_keys(str(damaged))
        page.find("#send").click()
        back = page.find("main > p > a")
        assert page.said().startswith("The image cannot be started: the SHA-256 of the application is wrong.")
        back.click()
        page.find("#file").send_keys(str(good))
        page.find("#send").click()
        page.find("main > p > a")
        assert page.said() == f"Version 1.1.0 is in ota_1: {good.stat().st_size} bytes. The board restarts into it."


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone(page: Page, board: Virtual, damaged: Path, scheme: str):
    """Nothing is wider than a small phone, and every text can be read, by day and by night."""
    shape(page.driver, 320, 640, scheme)
    page.open(board)
    assert_readable(page, f"phone-{scheme}-login")
    page.log_in(board)
    page.choose(damaged)
    assert_readable(page, f"phone-{scheme}-update")
    page.find("#send").click()
    page.wait_for("The image cannot be started")
    edges = "const {top, bottom} = document.getElementById('said').getBoundingClientRect(); return [top, bottom]"
    top, bottom = page.js(edges)
    assert 0 <= top < bottom <= 640, "what it says is out of sight"
    page.js(
        "draw({phase: 'write', written: 4e5, size: 1.2e6}); setText($('travels'), arguments[0])", travels(5, 1_200_000)
    )
    assert_readable(page, f"phone-{scheme}-refused")
    page.js("say('good', 'Version 1.1.0 runs, confirmed.', '', 'Open its page')")
    assert_readable(page, f"phone-{scheme}-good")


def assert_readable(page: Page, name: str) -> None:
    page.save(name)
    assert page.js("return document.documentElement.scrollWidth") <= 320
    contrasts = page.js(CONTRASTS)
    assert contrasts
    assert not [found for found in contrasts if found[1] < 4.5]


def test_keyboard(page: Page, board: Virtual, good: Path):
    """From the login to the new version without a mouse; what has the focus can be seen, and is never lost."""
    page.open(board)
    page.wait_until(lambda: page.driver.switch_to.active_element.get_attribute("id") == "password")
    page.driver.switch_to.active_element.send_keys(DEMO.password, Keys.ENTER)
    page.wait_until(lambda: page.driver.current_url.endswith("/update"))
    page.choose(good)  # the system's dialogue is outside the page
    page.js("document.activeElement.blur()")
    order = []
    while not order or order[-1] != "send":
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        order.append(page.driver.switch_to.active_element.get_attribute("id"))
        assert page.js("return getComputedStyle(document.activeElement).outlineWidth") == "3px"
    assert order == ["file", "send"]
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.wait_until(lambda: page.driver.switch_to.active_element.get_attribute("id") == "run")
    page.wait_for(CONFIRMED)
    page.wait_until(lambda: page.driver.switch_to.active_element.tag_name == "a")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.wait_until(lambda: page.driver.find_elements(By.ID, "password"))


def test_names(page: Page, untouched: Virtual):
    """What a screen reader says of each control is more than its kind; what changes is told."""
    page.open(untouched)
    assert names(page) == {("textbox", "Password"), ("button", "Log in")}
    assert page.js("return document.documentElement.lang") == "en"
    page.log_in(untouched)
    page.js("draw({phase: 'write', written: 1, size: 2}); document.getElementById('older').hidden = false")
    assert names(page) == {
        ("button", "Update image, a .bin file"),
        ("button", "Update"),
        ("checkbox", "Install it although it is not newer"),
        ("progressbar", "Writing"),
    }
    live = page.driver.find_elements(By.CSS_SELECTOR, "[aria-live=polite]")
    assert [element.get_attribute("id") for element in live] == ["about", "phase", "travels", "said"]


def names(page: Page) -> set[tuple[str, str]]:
    """Kind and name of each control, as the browser tells them to a screen reader."""
    nodes = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    told = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]}
    return {(kind, name) for kind, name in told if kind in ("textbox", "button", "checkbox", "progressbar", "link")}


def test_colour_of_the_heading(page: Page, untouched: Virtual):
    """The one inline style is applied: the page's policy knows it."""
    page.open(untouched)
    colour = (ROOT / "firmware/app/page.py").read_text().partition('COLOUR = "#')[2][:6]
    shown = "rgb({}, {}, {})".format(*bytes.fromhex(colour))
    assert page.js("return getComputedStyle(document.querySelector('h1')).backgroundColor") == shown


@pytest.mark.timeout(400)
def test_an_update_through_the_proxy_of_a_hub(page: Page, start, good: Path, open_hub):
    """jupyter-server-proxy as a hub's user has it; where it gives up, the page goes on."""
    board = start(1)
    hub, token = open_hub(10)  # seconds, less than an upload takes
    page.driver.get(f"{hub}api/status?token={token}")  # logs in, as every page of Jupyter does, and runs no script
    for number in range(6):
        page.driver.add_cookie({"name": f"foreign-{number}", "value": "x" * 500})
    proxied = replace(board, http=f"{hub}proxy/{board.http.rpartition(':')[2]}")
    page.log_in(proxied)
    assert page.driver.current_url == f"{proxied.http}/update"
    page.send(good)
    page.wait_until(lambda: page.said() == "The connection broke off. Looking for the board.", 100)
    assert page.find("#run").is_displayed()
    page.wait_until(lambda: CONFIRMED in page.said(), 200)
    page.save("proxy")
    page.find("#said a").click()
    page.find("#password")
    assert page.driver.current_url == f"{proxied.http}/"
    styles = page.js("return [...document.styleSheets].filter(sheet => sheet.href).map(sheet => sheet.cssRules.length)")
    assert styles[0] > 10
