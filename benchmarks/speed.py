"""How fast and how small things are. Run it: `.venv/bin/python benchmarks/speed.py` (about three minutes).

Absolute seconds belong to this computer; the ratios, measured side by side in one run, are what to compare. Behind them
stand the limits that we set ourselves. The firmware's heap needs a real MicroPython, as `make test` brings it.
"""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from kit import base_image
from kit.board.board import Board
from kit.errors import BoardError
from kit.faults.link import Link
from kit.image.application import new_app, set_constant
from kit.image.update_image import UpdateImage, build
from kit.ota.client import OtaClient
from kit.ota.result import UploadResult
from kit.ota.waiting import await_confirmation
from kit.ota.web import Web
from kit.virtual.flash import ERASE_PER_SECTOR, READ_PER_BYTE, READ_START, SECTOR, WRITE_PER_BYTE, WRITE_START

ROOT = Path(__file__).parents[1]
LAX = ("--override-ini=addopts=", "--nbval-lax", "--nbval-current-env")  # whatever the cells of a notebook show


@contextlib.contextmanager
def virtual_board(flash: Path, pace: str) -> Iterator[tuple[Board, subprocess.Popen]]:
    command = [sys.executable, "-m", "kit.virtual", "--pace", pace, "--flash", str(flash)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            serial, url, control = (process.stdout.readline().split(": ", 1)[1].strip() for _ in range(3))
            yield Board(serial, url=url, control=control), process
        finally:
            process.terminate()


def seconds(call, *arguments: object) -> float:
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


def resident(process: subprocess.Popen) -> int:
    """Bytes in memory of the board and of the child in which its program runs (Linux)."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/children")  # each thread has its own list
    children = [pid for file in threads for pid in file.read_text().split()]
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in (process.pid, *children)]
    return sum(pages) * 4096


def by_stock_esptool(port: str, folder: Path, image: UpdateImage) -> float:
    (folder / "base.bin").write_bytes(image.base.before_slots())
    image.save(folder / "update.bin")
    esptool = str(Path(sys.executable).with_name("esptool"))
    files = ["0x1000", str(folder / "base.bin"), "0x10000", str(folder / "update.bin")]
    return seconds(
        lambda: subprocess.run([esptool, "--port", port, "write-flash", *files], check=True, stdout=subprocess.DEVNULL)
    )


def upload(board: Board, image: UpdateImage, whole: bool = True) -> tuple[float, UploadResult]:
    """Seconds until the board's answer, and the result, once the new version is confirmed."""
    ota = OtaClient(board.url, virtual=True)
    ota.login()
    started = time.perf_counter()
    result = ota.upload(image, wait=False, whole=whole)
    took = time.perf_counter() - started
    await_confirmation(Web(board.url), result.version, result.slot)
    return took, result


def one_line(board: Board, folder: Path) -> tuple[float, UploadResult]:
    """As `upload`, of an application in which one line is new; the slot holds another one on the same interpreter."""
    app = new_app(folder / "one_line")
    set_constant(app / "page.py", "COLOUR", "#15803d")
    return upload(board, build("1.3.0", board=board, app=app), whole=False)


def resumed(board: Board, share: float) -> tuple[float, UploadResult]:
    """As `upload`, after one into a blank slot whose link broke at a share of the image."""
    image = build("1.4.0", board=board)
    with Link(board) as link, contextlib.suppress(BoardError):
        ota = OtaClient(link.drop(int(image.size * share)).url, virtual=True)
        ota.login()
        ota.upload(image)
    return upload(board, image, whole=False)


def modelled(size: int) -> float:
    """Seconds that the flash of a chip takes to erase and write so many bytes, sector by sector."""
    return -(-size // SECTOR) * (ERASE_PER_SECTOR + WRITE_START + SECTOR * WRITE_PER_BYTE)


def limit_of_changes(result: UploadResult, image: UpdateImage) -> float:
    """Seconds of the flash: look at the slot, write what travelled, read the image, and set_boot's check and record."""
    numbers = {0, *result.sectors}
    read = READ_START + SECTOR * READ_PER_BYTE
    sizes = (image.base.table.slots[0].size, image.size, image.app_length)
    record = ERASE_PER_SECTOR + WRITE_START
    return modelled(len(numbers) * SECTOR) + sum(-(-size // SECTOR) for size in sizes) * read + record


def run_pytest(folder: Path, *arguments: str) -> ElementTree.ElementTree:
    """What pytest reports of some tests, which must pass."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", *arguments]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"CI": "true"}, check=True, stdout=subprocess.DEVNULL)
    return ElementTree.parse(report)


def recorded(folder: Path, test: str, name: str) -> object:
    """What a test has recorded for a benchmark."""
    return json.loads(run_pytest(folder, test).find(f".//property[@name='{name}']").get("value"))


def heap(folder: Path) -> list[int]:
    """Bytes of heap in use by the firmware on a real MicroPython: at rest, and after each of ten uploads."""
    return recorded(folder, "tests/firmware/test_start.py::test_heap", "heap")


def attacked(folder: Path) -> int:
    """Bytes of heap that all attackers together can make the firmware hold."""
    return recorded(folder, "tests/firmware/test_memory.py::test_all_of_them_at_once_and_in_turn", "held")


def sector(folder: Path) -> tuple[float, float]:
    """Milliseconds that a sector of an update takes beside its flash, and that it takes to receive and forget one."""
    found = recorded(folder, "tests/firmware/test_upload.py::test_over_a_flash_that_costs_nothing", "seconds")
    times = (statistics.median(took for took, _ in found[name]) for name in ("updates", "received"))
    return tuple(1000 * time / found["sectors"] for time in times)


def changes(folder: Path) -> tuple[float, float]:
    """Milliseconds that GET /sectors and a PATCH take on a real MicroPython beside their flash."""
    test = "tests/firmware/test_sectors.py::test_over_a_flash_that_costs_nothing"
    return tuple(statistics.median(recorded(folder, test, name)) for name in ("looks", "patches"))


def https(folder: Path) -> tuple[list[int], float]:
    """Bytes of heap without HTTPS, with it, and with a session; and how much longer an upload takes by TLS."""
    heap = recorded(folder, "tests/firmware/test_https.py::test_heap", "heap")
    seconds = recorded(folder, "tests/firmware/test_https.py::test_an_upload_by_tls_and_one_by_plain_http", "seconds")
    return heap, statistics.median(seconds["tls"]) / statistics.median(seconds["plain"])


def fetches(folder: Path) -> dict[str, float]:
    """Seconds of an upload, and of fetches of the same image: the whole, by TLS, and of the one sector that differs."""
    found = recorded(folder, "tests/firmware/test_pull.py::test_fetches_and_uploads", "seconds")
    return {name: statistics.median(took) for name, took in found.items()}


def unattended(folder: Path) -> list[int]:
    """Bytes of heap at rest, with a source of updates, and with a broker that is told, too."""
    return recorded(folder, "tests/firmware/test_tell_mqtt.py::test_heap", "heap")


def main() -> None:
    rows: list[tuple[str, str, str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flash = folder / "flash.bin"
        image = build("1.0.0", base=base_image())
        with contextlib.ExitStack() as stack:
            ready = seconds(lambda: stack.enter_context(virtual_board(folder / "first.bin", "0")))
        with virtual_board(flash, "0") as (board, process):
            stock = by_stock_esptool(board.address, folder, image)
            ours = seconds(board.flash, image)
            board.install()
            memory = resident(process)
            shutil.copy(flash, folder / "installed.bin")
            unpaced, _ = upload(board, build("1.1.0", board=board))
        with virtual_board(flash, "1") as (board, _):
            board.reset()
            paced, whole = upload(board, build("1.2.0", board=board))
            line, changed = one_line(board, folder)
        with virtual_board(folder / "installed.bin", "1") as (board, _):
            board.reset()
            rest, went_on = resumed(board, 0.9)
        model, limit, parts = modelled(whole.bytes), limit_of_changes(changed, image), whole.seconds
        travelled = len(changed.sectors) * (SECTOR + 2)
        rows += [
            ("virtual board ready", f"{ready:.2f} s", "1 s"),
            ("virtual board in memory, its program included", f"{memory / 1e6:.0f} MB", "80 MB"),
            (f"stock esptool writes {image.size:,} bytes, unpaced", f"{stock:.1f} s", ""),
            ("board.flash of the same", f"{ours:.1f} s, 1/{stock / ours:.0f} of stock esptool", "5 s"),
            ("upload until the board's answer, unpaced", f"{unpaced:.2f} s", "2 s"),
            ("flash time of an upload, as modelled", f"{model:.1f} s", ""),
            ("upload until the board's answer, pace 1", f"{paced:.1f} s, {paced / model:.3f} of the model", "1.05"),
            ("of it erase + write", f"{parts['write']:.1f} s, {parts['write'] / model:.3f} of the model", ""),
            ("one changed line on the wire", f"{travelled:,} bytes, {travelled / changed.bytes:.1%}", "2 %"),
            ("until the board's answer, pace 1", f"{line:.2f} s, 1/{paced / line:.0f} of a whole upload", "1/8"),
            ("beside what its flash takes, as modelled", f"{limit:.2f} s, {line / limit:.2f} of it", "1.15"),
            (
                f"the rest, {len(went_on.sectors)} sectors, after a break at 90 %",
                f"1/{paced / rest:.0f} of a whole upload",
                "1/5",
            ),
        ]
        at_rest, *later = heap(folder)
        growth = min(later[-3:]) - min(later[:3])
        rows += [
            ("firmware's heap at rest, 64-bit MicroPython", f"{at_rest / 1000:.1f} kB", "68.2 kB"),
            ("what fourteen attackers at once add to it", f"{attacked(folder) / 1000:.1f} kB", "40 kB"),
            ("its growth from the first to the last of ten uploads", f"{growth:+,} bytes", "0"),
        ]
        look, proof = changes(folder)
        rows += [
            ("GET /sectors beside its flash", f"{look:.0f} ms", ""),
            ("a PATCH of 6 sectors beside its flash", f"{proof:.0f} ms", ""),
        ]
        ours, least = sector(folder)
        left = recorded(folder, "tests/firmware/test_start.py::test_room[mpy]", "left")
        checks = recorded(
            folder, "tests/firmware/test_signature.py::test_a_hundred_checks[micropython]", "milliseconds"
        )
        heaps, longer = https(folder)
        rows += [
            ("a sector of an update beside its flash", f"{ours:.3f} ms, {ours / least:.1f} x received alone", ""),
            ("HTTPS, listening and idle, adds to its heap", f"{(heaps[1] - heaps[0]) / 1000:.1f} kB", "12 kB"),
            ("and an open session", f"{(heaps[2] - heaps[1]) / 1000:.1f} kB, mbedtls beside it", "3 kB"),
            ("upload by TLS", f"{longer:.2f} x by plain HTTP", ""),
            ("one signature checked", f"{checks:.1f} ms", ""),
            ("sectors left in the slot behind the application", f"{left}, one for a signature", ""),
        ]
        took, rests = fetches(folder), unattended(folder)
        rows += [
            ("an image fetched, beside its flash", f"{took['whole'] / took['upload']:.1f} x uploaded", ""),
            ("fetched where one sector differs", f"{took['changed'] / took['whole']:.2f} x the whole", ""),
            ("fetched by TLS", f"{took['tls'] / took['whole']:.1f} x by plain HTTP", ""),
            ("a source of updates adds to its heap", f"{(rests[1] - rests[0]) / 1000:.1f} kB", "6 kB"),
            ("and a broker, without TLS", f"{(rests[2] - rests[1]) / 1000:.1f} kB", "30 kB"),
        ]
        for notebook in sorted((ROOT / "notebooks").glob("0[1-9]_*.ipynb")):
            took = seconds(run_pytest, folder, *LAX, str(notebook))
            limit = "40 s" if notebook.name < "03" else "90 s"  # failures take their time
            rows += [(f"{notebook.name}, unpaced", f"{took:.0f} s", limit)]
    for what, value, limit in rows:
        print(f"{what:<48} {value:<34} {limit and 'at most ' + limit}".rstrip())


if __name__ == "__main__":
    main()
