"""How fast the virtual board and the kit are. Run it: `.venv/bin/python benchmarks/speed.py` (about two minutes).

Absolute seconds belong to this computer; the ratios, measured side by side in one run, are what to compare.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kit import base_image
from kit.board import Board
from kit.ota import OtaClient
from kit.update_image import UpdateImage, build
from kit.virtual.flash import ERASE_PER_SECTOR, SECTOR, WRITE_PER_BYTE, WRITE_START


@contextlib.contextmanager
def virtual_board(flash: Path, pace: str) -> Iterator[tuple[Board, subprocess.Popen]]:
    command = [sys.executable, "-m", "kit.virtual", "--pace", pace, "--flash", str(flash)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            serial, url, _ = (process.stdout.readline().split(": ", 1)[1].strip() for _ in range(3))
            yield Board(serial, url=url, is_virtual=True), process
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


def upload(board: Board, version: str) -> tuple[float, dict[str, float], int]:
    image = build(version, board=board)
    ota = OtaClient(board.url, virtual=True)
    ota.login()
    started = time.perf_counter()
    result = ota.upload(image, wait=False)
    return time.perf_counter() - started, dict(result.seconds), image.size


def modelled(size: int) -> float:
    """Seconds that the flash of a chip takes to erase and write so many bytes, sector by sector."""
    return -(-size // SECTOR) * (ERASE_PER_SECTOR + WRITE_START + SECTOR * WRITE_PER_BYTE)


def main() -> None:
    rows: list[tuple[str, str]] = []
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
            unpaced, _, _ = upload(board, "1.1.0")
        with virtual_board(flash, "1") as (board, _):
            board.reset()
            paced, parts, size = upload(board, "1.2.0")
        model = modelled(size)
        rows += [
            ("virtual board ready", f"{ready:.2f} s"),
            ("virtual board in memory, its program included", f"{memory / 1e6:.0f} MB"),
            (f"board.flash of {image.size:,} bytes, unpaced", f"{ours:.1f} s, 1/{stock / ours:.0f} of stock esptool's"),
            ("upload until the board's answer, unpaced", f"{unpaced:.2f} s"),
            (
                "upload until the board's answer, pace 1",
                f"{paced:.1f} s, {paced / model:.3f} of the modelled flash time",
            ),
            ("of it erase + write", f"{parts['write']:.1f} s, {parts['write'] / model:.3f} of the modelled flash time"),
        ]
    for what, value in rows:
        print(f"{what:<48} {value}")


if __name__ == "__main__":
    main()
