from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

import kit
from kit.errors import ImageError
from kit.image.schemes import FLASH_SIZE, SCHEMES
from kit.image.table import MICROPYTHON_OTA

RELEASE = 1_447_440  # bytes of the app in MicroPython's release 1.26.0


def test_the_schemes_are_those_that_learners_meet():
    assert list(SCHEMES) == ["default 4 MB", "minimal SPIFFS", "no OTA", "MicroPython", "MicroPython OTA"]
    assert SCHEMES["MicroPython OTA"] == MICROPYTHON_OTA


@pytest.mark.parametrize("name", SCHEMES)
def test_a_bootloader_accepts_each_scheme(name: str):
    SCHEMES[name].check(FLASH_SIZE)
    SCHEMES[name].with_vfs(FLASH_SIZE).check(FLASH_SIZE)


@pytest.mark.parametrize(
    ("name", "apps", "files"),
    [  # in KiB; Arduino's menu says 1.2MB/1.5MB, 1.9MB/128KB and 2MB/2MB
        ("default 4 MB", [1280, 1280], 1408),
        ("minimal SPIFFS", [1920, 1920], 128),
        ("no OTA", [2048], 1920),
        ("MicroPython", [1984], 2048),
        ("MicroPython OTA", [1536, 1536], 960),
    ],
)
def test_what_a_scheme_has_room_for(name: str, apps: list[int], files: int):
    scheme = next(scheme for scheme in kit.compare_schemes().schemes if scheme.name == name)
    assert [app.size // 1024 for app in scheme.apps] == apps
    assert scheme.files // 1024 == files
    assert (scheme.excess, scheme.verdict) == (0, "")


def test_the_text_without_an_image():
    assert (
        repr(kit.compare_schemes())
        == """\
scheme           app partitions  room for files
default 4 MB     2 of 1,280 KiB       1,408 KiB
minimal SPIFFS   2 of 1,920 KiB         128 KiB
no OTA           1 of 2,048 KiB       1,920 KiB
MicroPython      1 of 1,984 KiB       2,048 KiB
MicroPython OTA  2 of 1,536 KiB         960 KiB"""
    )


def test_the_text_with_an_image():
    assert (
        repr(kit.compare_schemes(RELEASE))
        == """\
scheme           app partitions  room for files  image of 1,447,440 bytes
default 4 MB     2 of 1,280 KiB       1,408 KiB  too large by 136,720 bytes
minimal SPIFFS   2 of 1,920 KiB         128 KiB  fits, and can be updated over the air
no OTA           1 of 2,048 KiB       1,920 KiB  fits, but no second slot
MicroPython      1 of 1,984 KiB       2,048 KiB  fits, but no second slot
MicroPython OTA  2 of 1,536 KiB         960 KiB  fits, and can be updated over the air"""
    )


def test_the_html_has_the_same_cells(cells):
    html = kit.compare_schemes(RELEASE)._repr_html_()
    assert html.count("<tr>") == 6
    assert ["default 4 MB", "2 of 1,280 KiB", "1,408 KiB", "too large by 136,720 bytes"] in cells(html)


@pytest.mark.parametrize(("size", "verdict"), [(0x140000, "fits, and can be"), (0x140001, "too large by 1 bytes")])
def test_an_image_as_large_as_the_slot_fits(size: int, verdict: str):
    assert kit.compare_schemes(size).schemes[0].verdict.startswith(verdict)


def test_what_was_built_is_measured_whole():
    image = kit.build("1.0.0")
    comparison = kit.compare_schemes(image)
    assert (comparison.image, comparison.is_stand_in) == (image.size, True)
    assert f"image of {image.size:,} bytes" in repr(comparison)


def test_the_figure():
    assert isinstance(kit.compare_schemes(RELEASE).plot(), Figure)
    assert isinstance(kit.compare_schemes().plot(), Figure)


@pytest.mark.parametrize("image", [0, -1, 1.5, "update.bin", b"data", SimpleNamespace(size="large")])
def test_what_is_no_image(image: object):
    with pytest.raises(ImageError, match=r"is no image\. Give what kit\.build\(\) returned, or a number of bytes\."):
        kit.compare_schemes(image)
