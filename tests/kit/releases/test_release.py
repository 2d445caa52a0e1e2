import errno
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

import kit
from kit.errors import ImageError, KitError, ReleaseError, SecurityError
from kit.image.base import BaseImage
from kit.image.standin import image_set
from kit.image.update_image import UpdateImage, build
from kit.lock import lock_file
from kit.releases import release as module
from kit.releases.release import Release, release
from kit.security.keys import Key

SECTOR = 4096


def files(folder: str | Path) -> dict[str, bytes]:
    """What a web server would find in a folder."""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if not path.name.startswith(".")}


def newest(folder: str | Path) -> str:
    return json.loads(Path(folder, "manifest.json").read_bytes())["version"]


def test_what_is_laid_out(signed: Callable[..., UpdateImage], staging: Release):
    laid, data = files("staging"), signed("1.1.0").data
    assert sorted(laid) == ["esp32-ota-1.1.0.bin", "esp32-ota-1.1.0.crc32", "manifest-1.1.0.json", "manifest.json"]
    assert laid["esp32-ota-1.1.0.bin"] == data
    assert laid["manifest.json"] == laid["manifest-1.1.0.json"]
    count, *sectors = struct.unpack(f"<{len(laid['esp32-ota-1.1.0.crc32']) // 4}I", laid["esp32-ota-1.1.0.crc32"])
    assert count == len(sectors) == -(-len(data) // SECTOR)
    padded = data + b"\xff" * (-len(data) % SECTOR)
    assert sectors == [zlib.crc32(padded[start : start + SECTOR]) for start in range(0, len(padded), SECTOR)]


def test_what_a_release_says(staging: Release, cells: Callable[[str], list[list[str]]]):
    assert repr(staging) == f"Release 1.1.0 in staging: {staging.size:,} bytes, the newest"
    rows = dict(cells(staging._repr_html_()))
    assert rows["notes"] == "A green LED."
    assert rows["SHA-256"] == staging.sha256
    with pytest.raises(FrozenInstanceError):
        staging.version = "2.0.0"


def test_the_same_image_gives_the_same_bytes(signed: Callable[..., UpdateImage]):
    image = signed("1.1.0")
    assert release(image, "a") == replace(release(image, "b"), path=Path("a/esp32-ota-1.1.0.bin"))
    assert files("a") == files("b")
    release(image, "a")
    assert files("a") == files("b")


def test_an_image_for_real_boards(firmware_bin: bytes, team: Key):
    image = build("1.1.0", base=BaseImage.from_firmware_bin(firmware_bin, "firmware.bin")).sign(team)
    assert release(image, "staging").sha256 == image.sha256


def test_versions_stay_and_the_newest_is_offered(signed: Callable[..., UpdateImage]):
    for version, offered in (("1.0.0", "1.0.0"), ("1.2.0-rc.1", "1.2.0-rc.1"), ("1.1.0", "1.2.0-rc.1")):
        laid = release(signed(version), "staging")
        assert laid.newest == newest("staging") == offered
    assert repr(laid).endswith("bytes, the newest there is 1.2.0-rc.1")
    assert files("staging")["manifest.json"] == files("staging")["manifest-1.2.0-rc.1.json"]
    assert len(files("staging")) == 3 * 3 + 1
    assert release(signed("1.2.0"), "staging").newest == newest("staging") == "1.2.0"


def test_what_else_lies_in_the_folder_stays_and_counts_for_nothing(signed: Callable[..., UpdateImage], here: Path):
    (here / "staging").mkdir()
    for name in ("manifest-latest.json", "manifest-99.json", "manifest-9.9.9.txt", "index.html"):
        (here / "staging" / name).write_text("mine")
    assert release(signed("1.1.0"), "staging").newest == "1.1.0"
    assert files("staging")["index.html"] == b"mine"


def test_a_version_is_never_replaced(signed: Callable[..., UpdateImage], staging: Release):
    before = files("staging")
    with pytest.raises(ReleaseError) as caught:
        release(signed("1.1.0", secure_version=1), "staging")
    assert str(caught.value) == (
        "staging has another 1.1.0, and boards may have it: versions are never replaced. Build the next one."
    )
    assert files("staging") == before


def test_security_version(signed: Callable[..., UpdateImage]):
    assert release(signed("1.1.0", secure_version=1), "main").security_version == 1


def test_promoting_brings_the_same_bytes_and_notes(staging: Release, here: Path):
    (here / "CHANGELOG.md").write_text("## 1.1.0\nWhat the changelog says meanwhile.\n")
    for source in (staging, staging.path, str(staging.path)):
        assert release(source, "main").notes == "A green LED."
        assert files("main") == files("staging")
    assert release(staging, "main", "Other words.").notes == "Other words."
    copy = Path("update.bin")
    copy.write_bytes(staging.path.read_bytes())
    assert release(copy, "elsewhere").notes == "What the changelog says meanwhile."


def test_a_manifest_of_other_bytes_gives_no_notes(staging: Release, signed: Callable[..., UpdateImage]):
    staging.path.write_bytes(signed("1.1.0", secure_version=1).data)
    assert release(staging.path, "main").notes == ""


def test_an_unsigned_image(here: Path):
    with pytest.raises(SecurityError) as caught:
        release(build("1.1.0"), "staging")
    assert str(caught.value) == (
        "This image of 1.1.0 is not signed, and boards fetch only what is. Sign it: image.sign(key), or python -m "
        "kit build … --sign KEYFILE. The key is what kit.new_key made and board.install(signers=[key]) brought to the "
        "boards."
    )
    assert not (here / "staging").exists()


@pytest.mark.parametrize("place", [20_000, -SECTOR - 1, -SECTOR + 5, -SECTOR + 40, -SECTOR + 900])
def test_a_damaged_image(signed: Callable[..., UpdateImage], here: Path, place: int):
    """Of the app image, of the application, of the signature's block."""
    data = bytearray(signed("1.1.0").data)
    data[place] ^= 1
    (here / "update.bin").write_bytes(data)
    with pytest.raises(KitError, match=r"damaged|not signed"):
        release("update.bin", "staging")
    assert not (here / "staging").exists()


def test_what_is_no_update_image(here: Path):
    (here / "app.bin").write_bytes(image_set().app)
    (here / "notes.bin").write_text("notes")
    (here / "folder.bin").mkdir()
    for image, words in (
        (None, "A NoneType is no update image"),
        (b"\xe9" * 5000, "A bytes is no update image"),
        (3, "A int is no update image"),
        ("nothing.bin", "There is no file nothing.bin"),
        ("folder.bin", "folder.bin is a folder"),
        ("notes.bin", "no app image"),
        ("app.bin", "an app image without an application behind it"),
    ):
        with pytest.raises(ImageError, match=words):
            release(image, "staging")
    assert not (here / "staging").exists()


def test_folders_that_are_none(signed: Callable[..., UpdateImage], here: Path):
    (here / "file").write_text("")
    for folder, words in (
        ("file", "file is a file. Name a folder"),
        ("file/staging", "cannot be written into file/staging: Not a directory"),
        ("a\0b", "this is no path"),
        (None, "cannot be written into None: this is no path"),
    ):
        with pytest.raises(ReleaseError, match=words):
            release(signed("1.1.0"), folder)


def test_a_spoilt_manifest(signed: Callable[..., UpdateImage], staging: Release, here: Path):
    for text in ("", "{", "[]", "[[[", '{"builds": [{"ota": {}}]}', "[" * 100_000):
        (here / "staging/manifest-1.1.0.json").write_text(text)
        with pytest.raises(ReleaseError, match=r"manifest-1.1.0.json is no manifest any more. Delete it"):
            release(signed("1.1.0"), "staging")
    (here / "staging/manifest-1.1.0.json").unlink()
    release(signed("1.1.0"), "staging", "A green LED.")
    assert newest("staging") == "1.1.0"


@pytest.mark.parametrize("step", range(4))
def test_an_interrupted_release(
    signed: Callable[..., UpdateImage], staging: Release, monkeypatch: pytest.MonkeyPatch, step: int
):
    """Whatever step fails, a board finds 1.1.0, whole; the next try completes it, also with other bytes."""
    real, done = Path.replace, []

    def replace_until(path: Path, target: Path) -> Path:
        if len(done) == step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done.append(target)
        return real(path, target)

    before = files("staging")
    image = signed("1.2.0")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace_until)
        with pytest.raises(ReleaseError, match="No space left on device"):
            release(image, "staging")
    assert len(done) == step
    assert before.items() <= files("staging").items()
    assert not list(Path("staging").glob(".draft-*"))
    again = signed("1.2.0", secure_version=1) if step < 3 else signed("1.2.0")
    assert release(again, "staging").newest == newest("staging") == "1.2.0"
    assert files("staging")["esp32-ota-1.2.0.bin"] == again.data


def test_a_full_disk_leaves_nothing(signed: Callable[..., UpdateImage], monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    image = signed("1.1.0")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(ReleaseError, match="into staging: No space left on device"):
            release(image, "staging")
    assert files("staging") == {}


def test_a_killed_release_is_in_nobodys_way(signed: Callable[..., UpdateImage], here: Path):
    """Its draft stays, hidden; the lock goes with its process."""
    code = (
        "import os, pathlib, kit\n"
        "pathlib.Path.replace = lambda *_: os.kill(os.getpid(), 9)\n"
        "kit.release('update.bin', 'staging')"
    )
    signed("1.1.0").save("update.bin")
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == -9
    assert files("staging") == {}
    assert len(list((here / "staging").glob(".draft-*"))) == 1
    assert release("update.bin", "staging").newest == newest("staging") == "1.1.0"


def test_several_at_once(signed: Callable[..., UpdateImage]):
    versions = ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]
    images = [signed(version) for version in versions] * 3
    with ThreadPoolExecutor(len(images)) as pool:
        done = list(pool.map(lambda image: release(image, "staging"), images))
    assert [laid.version for laid in done] == versions * 3
    assert newest("staging") == "1.3.0"
    assert len(files("staging")) == 4 * 3 + 1


def test_of_two_with_one_version_one_wins(signed: Callable[..., UpdateImage]):
    def attempt(image: UpdateImage) -> str:
        try:
            return release(image, "staging").sha256
        except ReleaseError as error:
            return error.advice

    images = [signed("1.1.0"), signed("1.1.0", secure_version=1)]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(attempt, images))
    (winner,) = [image for image in images if image.sha256 in done]
    assert "Build the next one." in done
    assert files("staging")["esp32-ota-1.1.0.bin"] == winner.data
    ota = json.loads(files("staging")["manifest.json"])["builds"][0]["ota"]
    assert ota["sha256"] == winner.sha256


def test_a_folder_that_another_one_holds(
    signed: Callable[..., UpdateImage], staging: Release, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    with open("staging/.lock", "ab") as file:
        lock_file(file.fileno())
        with pytest.raises(ReleaseError, match=r"Another release is being laid out in staging. Wait"):
            release(signed("1.2.0"), "staging")
    assert release(signed("1.2.0"), "staging").version == "1.2.0"


def test_it_is_there_by_its_name():
    assert kit.release is release
