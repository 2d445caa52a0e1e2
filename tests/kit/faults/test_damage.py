from collections.abc import Callable

import pytest

from kit.errors import ImageError, UpdateError
from kit.faults import damage
from kit.image.app_image import AppImage
from kit.image.release import is_virtual
from kit.image.update_image import UpdateImage, build
from kit.ota.client import OtaClient

SLOT = 0x180000


@pytest.fixture(scope="module")
def image() -> UpdateImage:
    assert is_virtual(None)
    return build("1.1.0")


DAMAGE = {
    damage.truncated: ("UPDATE_ERROR_ACTIVATE", "the first half of an image of"),
    damage.flipped: ("UPDATE_ERROR_ACTIVATE", "one bit turned in the middle, at 0x"),
    damage.too_large: ("UPDATE_ERROR_SIZE", "one more than a slot takes"),
    damage.for_another_chip: ("UPDATE_ERROR_MAGIC_BYTE", "an image for ESP32-S3"),
    damage.without_descriptor: ("UPDATE_ERROR_MAGIC_BYTE", "without app descriptor"),
    damage.with_bootloader: ("UPDATE_ERROR_MAGIC_BYTE", "a full firmware.bin"),
    damage.without_application: ("UPDATE_ERROR_ACTIVATE", "without application"),
    damage.with_damaged_application: ("UPDATE_ERROR_ACTIVATE", "one bit turned in the application, at 0x"),
    lambda image: damage.random_data(100_000): ("UPDATE_ERROR_MAGIC_BYTE", "100,000 bytes: random data"),
}


@pytest.mark.parametrize("make", DAMAGE)
def test_the_board_refuses_it_and_the_old_version_runs_on(board, image: UpdateImage, make: Callable):
    error, words = DAMAGE[make]
    damaged = make(image)
    assert words in repr(damaged)
    ota = OtaClient(board.url)
    before = repr(ota.info())
    ota.login()
    with pytest.raises(UpdateError) as caught:
        ota.upload(damaged)
    assert caught.value.error == error
    assert repr(ota.info()) == before


def test_one_fault_and_no_other(image: UpdateImage):
    """What is not damaged stays right: an image has but one reason to be refused."""
    chip = AppImage.read(damage.for_another_chip(image))
    assert (chip.chip_name, chip.checksum_ok, chip.hash_ok, chip.application_ok) == ("ESP32-S3", True, True, True)
    blank = AppImage.read(damage.without_descriptor(image))
    assert (blank.descriptor, blank.checksum_ok, blank.hash_ok, blank.application_ok) == (None, True, True, True)
    application = AppImage.read(damage.with_damaged_application(image))
    assert (application.checksum_ok, application.hash_ok, application.application_ok) == (True, True, False)
    flipped = AppImage.read(damage.flipped(image))
    assert (flipped.checksum_ok, flipped.hash_ok, flipped.application_ok) == (False, False, True)
    alone = AppImage.read(damage.without_application(image))
    assert (alone.hash_ok, alone.application, alone.follows) == (True, None, 0)
    assert len(damage.too_large(image).data) == SLOT + 1
    with pytest.raises(ImageError, match=r"firmware\.bin"):
        AppImage.read(damage.with_bootloader(image))
    assert damage.random_data(5000) == damage.random_data(5000)


def test_bytes_are_taken_like_an_image(image: UpdateImage):
    for make in (damage.truncated, damage.flipped, damage.for_another_chip, damage.without_application):
        assert make(image.data) == make(image)
    assert image.data == build("1.1.0", when=image.built).data  # it was not changed itself


@pytest.mark.parametrize("make", [make for make in DAMAGE if make.__name__ != "<lambda>"])
@pytest.mark.parametrize("nonsense", [None, 5, "image.bin", b"", b"\xe9"])
def test_what_is_no_image(make: Callable, nonsense: object):
    with pytest.raises(ImageError, match=r"(is|are) no image"):
        make(nonsense)


@pytest.mark.parametrize("size", [None, "5", -5])
def test_random_data_of_no_size(size: object):
    with pytest.raises(ImageError, match="is no number of bytes"):
        damage.random_data(size)


def test_application_that_is_not_there(image: UpdateImage):
    with pytest.raises(ImageError, match="no application in this image"):
        damage.with_damaged_application(image.data[: image.app_length])


MISBEHAVIOUR = {
    damage.crashing: "crashes at its start",
    damage.hanging: "hangs at its start",
    damage.asleep: "sleeps before it has confirmed itself",
    damage.asleep_in_order: "sleeps once it has confirmed itself",
    damage.never_confirming: "never confirms itself",
    damage.blindly_confirming: "confirms at every start, without a test",
    damage.confirming_too_early: "confirms itself without a test, and then crashes",
}


@pytest.mark.parametrize("make", MISBEHAVIOUR)
def test_a_version_that_misbehaves_is_a_valid_update(make: Callable):
    image = make("1.2.0")
    assert isinstance(image, UpdateImage)
    assert repr(image).startswith("UpdateImage 1.2.0: ")
    assert repr(image).endswith(f"; it {MISBEHAVIOUR[make]}")
    assert image._repr_html_ is None
    parsed = AppImage.read(image)
    parsed.check()
    assert parsed.application_ok


def test_no_version_is_called_good():
    with pytest.raises(ImageError, match="no version"):
        damage.crashing("latest")
