import errno
import hashlib
import json
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from kit.errors import ImageError
from kit.image import standin
from kit.image.app_image import AppImage
from kit.image.application import pack
from kit.image.base import BaseImage
from kit.image.file import save
from kit.image.update_image import build

VERSIONS = json.loads((Path(__file__).parents[2] / "versions.json").read_text(encoding="utf-8"))
WHEN = datetime(2025, 11, 24, 10, 20, 30, tzinfo=UTC)


class Board:
    is_virtual = False


@pytest.fixture(scope="session")
def stand_in() -> BaseImage:
    return standin.image_set()


@pytest.fixture(scope="session")
def release(firmware_bin: bytes) -> BaseImage:
    return BaseImage.from_firmware_bin(firmware_bin, "release.bin")


def test_the_layout(stand_in: BaseImage, app_folder: Path):
    update = build("1.2.3", app=app_folder, base=stand_in, when=WHEN)
    app = AppImage.parse(update.data)
    app.check()
    header = -(-app.length // 4096) * 4096
    magic, length, digest = struct.unpack("<4sI32s", update.data[header : header + 40])
    application = update.data[header + 4096 :]
    assert update.data[app.length : header] == b"\xff" * (header - app.length)
    assert (magic, length, digest) == (b"APP1", len(application), hashlib.sha256(application).digest())
    assert update.data[header + 40 : header + 4096] == b"\xff" * 4056
    assert application == pack(app_folder, compiled=False, room=0x40000)
    assert (update.app_length, update.application_length) == (app.length, len(application))
    assert update.size == len(update.data)


@pytest.mark.parametrize(("base", "project"), [("release", "esp32-ota"), ("stand_in", "kit-stand-in")])
def test_esptool_prints_what_was_built(
    request: pytest.FixtureRequest, app_folder: Path, tmp_path: Path, base: str, project: str
):
    base = request.getfixturevalue(base)
    path = build("1.2.3-rc.1", board=Board(), app=app_folder, base=base, when=WHEN).save(tmp_path / "update.bin")
    command = [sys.executable, "-m", "esptool", "image-info", path]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "App version: 1.2.3-rc.1\n" in printed
    assert f"Project name: {project}\n" in printed
    assert "Compile time: 2025-11-24 10:20:30\n" in printed
    assert printed.count("(valid)") == 2


def test_a_real_board_gets_bytecode_and_a_virtual_one_does_not(
    release: BaseImage, stand_in: BaseImage, app_folder: Path
):
    real = build("1.0.0", board=Board(), app=app_folder, base=release)
    assert real.data.endswith(pack(app_folder, compiled=True, room=0x40000))
    assert not real.is_stand_in
    virtual = build("1.0.0", app=app_folder, base=stand_in)
    assert virtual.data.endswith(pack(app_folder, compiled=False, room=0x40000))
    assert (virtual.is_stand_in, virtual.project) == (True, "kit-stand-in")


def test_the_same_build_gives_the_same_bytes(stand_in: BaseImage, app_folder: Path):
    first, second = (build("1.0.0", app=app_folder, base=stand_in, when=WHEN) for _ in range(2))
    assert first == second
    assert first.sha256 == hashlib.sha256(second.data).hexdigest()
    assert first.md5 == hashlib.md5(second.data).hexdigest()


def test_build_time(stand_in: BaseImage, app_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    update = build("1.0.0", app=app_folder, base=stand_in)
    descriptor = AppImage.parse(update.data).descriptor
    assert (descriptor.date, descriptor.time) == ("2023-11-14", "22:13:20")
    east = WHEN.astimezone(timezone(timedelta(hours=5)))
    assert build("1.0.0", app=app_folder, base=stand_in, when=east).built == WHEN
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ImageError, match="SOURCE_DATE_EPOCH is 'yesterday'"):
        build("1.0.0", app=app_folder, base=stand_in)
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert abs(build("1.0.0", app=app_folder, base=stand_in).built - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("version", VERSIONS["good"])
def test_good_versions(stand_in: BaseImage, app_folder: Path, version: str):
    update = build(version, app=app_folder, base=stand_in)
    assert AppImage.parse(update.data).descriptor.version == update.version == version


@pytest.mark.parametrize("version", VERSIONS["bad"])
def test_bad_versions(stand_in: BaseImage, app_folder: Path, version: str):
    with pytest.raises(ImageError, match=r"is no version.*1\.1\.0"):
        build(version, app=app_folder, base=stand_in)


def test_an_application_that_fills_the_slot_fits_and_one_file_more_does_not(stand_in: BaseImage, app_folder: Path):
    slot = stand_in.table.slots[0].size
    room = slot - build("1.0.0", app=app_folder, base=stand_in).size
    (app_folder / "big.bin").write_bytes(bytes(room - 8192))
    assert slot - 8192 <= build("1.0.0", app=app_folder, base=stand_in).size <= slot
    (app_folder / "big.bin").write_bytes(bytes(room + 4096))
    with pytest.raises(ImageError, match=r"too large: .* exceed the 258,048 left in a slot"):
        build("1.0.0", app=app_folder, base=stand_in)


def test_texts_are_stable_and_the_html_says_more(stand_in: BaseImage, app_folder: Path):
    update = build("1.0.0", app=app_folder, base=stand_in, when=WHEN)
    later = build("1.0.0", app=app_folder, base=stand_in, when=WHEN + timedelta(days=1))
    assert repr(update) == repr(later)
    assert repr(update) == (
        "UpdateImage 1.0.0: app image 1,310,720 bytes + "
        f"application {update.application_length:,} bytes, based on kit-stand-in"
    )
    assert "2025-11-24 10:20:30 UTC" in update._repr_html_()
    assert update.sha256 in update._repr_html_()


def test_save(stand_in: BaseImage, app_folder: Path, tmp_path: Path):
    update = build("1.0.0", app=app_folder, base=stand_in)
    assert update.save(tmp_path / "u.bin").read_bytes() == update.data
    for bad in (tmp_path, tmp_path / "none" / "u.bin"):
        with pytest.raises(ImageError, match="cannot be written"):
            update.save(bad)


def test_a_base_that_is_the_name_of_a_file():
    with pytest.raises(ImageError, match="is no base image") as caught:
        build("1.0.0", base="fw.bin")
    assert "kit.base_image(file=" in caught.value.advice


@pytest.mark.parametrize("board", [3, "virtual", b"/dev/ttyUSB0"])
def test_a_board_that_is_none(board: object):
    with pytest.raises(ImageError, match="is not a board"):
        build("1.0.0", board=board)


@pytest.mark.parametrize("path", [None, 3, "", "a\0b", "none/update.bin"])
def test_a_file_that_cannot_be_written(path: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match="cannot be written"):
        save(path, b"data")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, data: bytes) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "update.bin").write_text("the one before")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ImageError, match="No space left on device"):
        save(tmp_path / "update.bin", b"data")
    assert (tmp_path / "update.bin").read_text() == "the one before"
    assert [path.name for path in tmp_path.iterdir()] == ["update.bin"]
