import os
import shutil
import subprocess
import sys
from pathlib import Path

from kit.image.app_image import AppImage
from kit.image.table import MICROPYTHON_OTA, PartitionTable


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """`python -m kit`, for the virtual board that tests/conftest.py names."""
    command = [sys.executable, "-m", "kit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def test_build_writes_an_update_image(app_folder: Path, tmp_path: Path):
    done = run("build", "1.2.3", "--app", app_folder, "-o", tmp_path / "update.bin")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("UpdateImage 1.2.3: ")
    assert AppImage.parse((tmp_path / "update.bin").read_bytes()).descriptor.version == "1.2.3"


def test_build_gives_the_same_bytes_on_every_computer(app_folder: Path, tmp_path: Path):
    (app_folder / "www" / "grüße.html").write_bytes("<h1>Grüße</h1>\r\n".encode())
    copy = tmp_path / "elsewhere" / "other name"
    copy.mkdir(parents=True)
    for path in sorted(app_folder.rglob("*"), reverse=True):  # the order in which folders list their files
        if path.is_file():
            (copy / path.relative_to(app_folder)).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, copy / path.relative_to(app_folder))
    here = {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "1"}
    there = {"TZ": "America/Los_Angeles", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2"}
    images = []
    for folder, environment, umask in ((app_folder, here, 0o077), (copy, there, 0)):
        environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"} | environment
        output = tmp_path / f"{len(images)}.bin"
        done = run("build", "1.2.3", "--app", folder, "-o", output, env=environment, umask=umask)
        assert done.returncode == 0, done.stderr
        images.append(output.read_bytes())
    assert images[0] == images[1]
    descriptor = AppImage.parse(images[0]).descriptor
    assert (descriptor.date, descriptor.time) == ("2023-11-14", "22:13:20")


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
