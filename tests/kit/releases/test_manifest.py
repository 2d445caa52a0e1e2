"""The manifest against those who read it: ESPHome, ESP Web Tools, and a board with little memory."""

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import pytest

from kit.errors import ReleaseError
from kit.image.update_image import UpdateImage
from kit.releases.manifest import read_ota, write_manifest
from kit.releases.release import Release, release


def esphome(text: bytes, source: str) -> dict[str, str] | None:
    """What ESPHome's update platform reads (http_request_update.cpp): None where it says "required fields"."""
    root = json.loads(text)
    if not (isinstance(root["name"], str) and isinstance(root["version"], str) and isinstance(root["builds"], list)):
        return None
    for build in root["builds"]:
        if build["chipFamily"] == "ESP32":
            ota = build["ota"]
            if not (isinstance(ota["path"], str) and isinstance(ota["md5"], str)):
                return None
            url = ota["path"] if "http" in ota["path"] else source[: source.rindex("/") + 1] + ota["path"]
            more = {name: ota[name] for name in ("summary", "release_url") if isinstance(ota.get(name), str)}
            return {"version": root["version"], "url": url, "md5": ota["md5"]} | more
    return None


def test_what_esphome_reads(staging: Release, signed: Callable[..., UpdateImage]):
    source = "https://example.org/boards/manifest.json"
    text = Path("staging/manifest.json").read_bytes()
    assert esphome(text, source) == {
        "version": "1.1.0",
        "url": "https://example.org/boards/esp32-ota-1.1.0.bin",
        "md5": hashlib.md5(signed("1.1.0").data).hexdigest(),
        "summary": "A green LED.",
    }


def test_what_esp_web_tools_reads(staging: Release):
    """It takes the first build of the chip's family, and would write its parts to an empty board: there are none."""
    manifest = json.loads(Path("staging/manifest.json").read_bytes())
    assert (manifest["name"], manifest["version"]) == ("esp32-ota", "1.1.0")
    assert manifest["new_install_prompt_erase"] is False
    assert [(build["chipFamily"], "parts" in build) for build in manifest["builds"]] == [("ESP32", False)]


def test_what_our_boards_read(staging: Release, signed: Callable[..., UpdateImage]):
    image = signed("1.1.0")
    ota = read_ota(Path("staging/manifest.json").read_bytes())
    assert (ota["size"], ota["sha256"], ota["security_version"]) == (image.size, image.sha256, 0)
    for name in ("path", "sectors"):
        assert urljoin("http://host/a/manifest.json", ota[name]) == f"http://host/a/{ota[name]}"
        assert Path("staging", ota[name]).is_file()


@pytest.mark.parametrize("letter", ["a", '"', "\n", "\\", "é", "€", "🦉", "\0"])
@pytest.mark.parametrize("size", [1000, 7000, 9000, 100_000])
def test_it_has_at_most_8_kb(letter: str, size: int):
    notes = letter * size
    text = write_manifest("1.1.0", b"image", 0, notes)
    found = read_ota(text)["summary"]
    assert len(text) <= 8192
    if found != notes:
        assert found.endswith(" …")
        assert notes.startswith(found.removesuffix(" …"))
        assert len(text) > 8150 or letter == "\n"  # white space at the end goes too


def test_notes_are_cut_wherever_they_are_too_long():
    chance = random.Random(3)
    for _ in range(50):
        notes = "".join(chance.choices('aé"\n€🦉 ', k=chance.randrange(5000, 9000)))
        assert len(write_manifest("1.1.0-rc.1", b"image", 2**32 - 1, notes)) <= 8192


def test_notes_that_nobody_can_write(signed: Callable[..., UpdateImage]):
    with pytest.raises(ReleaseError, match="The notes have characters that UTF-8 has not"):
        release(signed("1.1.0"), "staging", "half a \ud83e")
    assert not Path("staging").exists()
