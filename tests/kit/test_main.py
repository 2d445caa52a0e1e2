import subprocess
import sys
from pathlib import Path

from kit.image import AppImage
from kit.table import MICROPYTHON_OTA, PartitionTable


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m kit`, for the virtual board that tests/conftest.py names."""
    command = [sys.executable, "-m", "kit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_build_writes_an_update_image(app_folder: Path, tmp_path: Path):
    done = run("build", "1.2.3", "--app", app_folder, "-o", tmp_path / "update.bin")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("UpdateImage 1.2.3: ")
    assert AppImage.parse((tmp_path / "update.bin").read_bytes()).descriptor.version == "1.2.3"


def test_base_writes_what_stands_before_the_slots(tmp_path: Path):
    done = run("base", "-o", tmp_path / "base.bin")
    assert (done.returncode, done.stdout, done.stderr) == (0, "bootloader and partition table of kit-stand-in\n", "")
    data = (tmp_path / "base.bin").read_bytes()
    assert len(data) == 0x10000 - 0x1000
    assert PartitionTable.from_bytes(data[0x7000:]) == MICROPYTHON_OTA
    assert set(data[0x8000:]) == {0xFF}  # NVS, otadata, phy_init


def test_an_error_is_one_line_and_leaves_no_file(app_folder: Path, tmp_path: Path):
    (app_folder / "main.py").write_text("COLOUR = \n")
    done = run("build", "1.2.3", "--app", app_folder, "-o", tmp_path / "update.bin")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("main.py, line 1: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "update.bin").exists()


def test_without_arguments_it_names_its_commands():
    done = run()
    assert done.returncode == 2
    assert "usage: python -m kit" in done.stderr
