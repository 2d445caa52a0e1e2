import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kit.image.app_image import AppImage
from kit.image.application import firmware_dir
from kit.image.table import MICROPYTHON_OTA, PartitionTable
from kit.security.keys import new_key, read_key
from kit.security.signature import signer_digests


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


def test_build_signs(app_folder: Path, tmp_path: Path):
    """With the key of a file or of a variable, and never with one that stands among the arguments."""
    new_key(tmp_path / "team.pem")
    pem = (tmp_path / "team.pem").read_text()
    images = []
    for sign, variables in ((("--sign", tmp_path / "team.pem"), {}), (("--sign",), {"KIT_SIGNING_KEY": pem})):
        output = tmp_path / f"{len(images)}.bin"
        environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"} | variables
        done = run("build", "1.2.3", "--app", app_folder, *sign, "-o", output, env=environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith(("signed by team.pem\n", "signed by KIT_SIGNING_KEY\n"))
        images.append(output.read_bytes()[:-4096])
        assert signer_digests(output.read_bytes()) == (read_key(tmp_path / "team.pem").digest,)
    assert images[0] == images[1]


@pytest.mark.parametrize("variables", [{}, {"KIT_SIGNING_KEY": "a secret that is no key"}])
def test_build_without_a_key_to_sign_with(app_folder: Path, tmp_path: Path, variables: dict[str, str]):
    output = tmp_path / "update.bin"
    done = run("build", "1.2.3", "--app", app_folder, "-o", output, "--sign", env=os.environ | variables)
    assert (done.returncode, done.stdout, output.exists()) == (1, "", False)
    assert "KIT_SIGNING_KEY" in done.stderr
    assert "a secret" not in done.stderr


def test_release_lays_out(app_folder: Path, tmp_path: Path):
    new_key(tmp_path / "team.pem")
    update, staging, main = tmp_path / "update.bin", tmp_path / "staging", tmp_path / "main"
    (tmp_path / "CHANGELOG.md").write_text("## 1.2.3\n- A green LED\n\n## 1.2.2\n- red\n")
    assert run("build", "1.2.3", "--app", app_folder, "--sign", tmp_path / "team.pem", "-o", update).returncode == 0
    done = run("release", update, staging, "--notes", tmp_path / "CHANGELOG.md")
    size = update.stat().st_size
    assert (done.stdout, done.stderr) == (f"Release 1.2.3 in {staging}: {size:,} bytes, the newest\n", "")
    assert run("release", staging / "esp32-ota-1.2.3.bin", main).returncode == 0
    assert (main / "manifest.json").read_bytes() == (staging / "manifest.json").read_bytes()
    assert json.loads((main / "manifest.json").read_bytes())["builds"][0]["ota"]["summary"] == "- A green LED"


def test_release_refuses(app_folder: Path, tmp_path: Path):
    update = tmp_path / "update.bin"
    assert run("build", "1.2.3", "--app", app_folder, "-o", update).returncode == 0
    done = run("release", update, tmp_path / "staging")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "is not signed" in done.stderr
    assert not (tmp_path / "staging").exists()


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


def test_an_error_in_a_module_that_is_packed_is_named(app_folder: Path, tmp_path: Path):
    shutil.copy(firmware_dir() / "app/packed.py", app_folder)
    (app_folder / "page.py").write_text('COLOUR = "green"\n\n\ndef show(:\n    pass\n')
    done = run("build", "1.2.3", "--app", app_folder, "-o", tmp_path / "update.bin")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("page.py, line 4: SyntaxError")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "update.bin").exists()


def test_without_arguments_it_names_its_commands():
    done = run()
    assert done.returncode == 2
    assert "usage: python -m kit" in done.stderr
