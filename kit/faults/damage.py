"""Images that are damaged on purpose, and versions of the application that misbehave."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from kit.board.board import Board
from kit.errors import ImageError
from kit.image.app_image import DESCRIPTOR, DESCRIPTOR_OFFSET, AppImage
from kit.image.application import new_app
from kit.image.layout import layout, seal
from kit.image.table import MICROPYTHON_OTA
from kit.image.update_image import UpdateImage, build

__all__ = ["flipped", "random_data", "too_large", "truncated", "with_bootloader", "with_damaged_application"]
__all__ += ["for_another_chip", "without_application", "without_descriptor"]
__all__ += [
    "asleep",
    "asleep_in_order",
    "blindly_confirming",
    "confirming_too_early",
    "crashing",
    "hanging",
    "never_confirming",
]

CHIP_ID_OFFSET = 12  # in esp_image_header_t
ESP32_S3 = 9

CONFIRM = "from esp32 import Partition\n\nPartition.mark_app_valid_cancel_rollback()\n"
ASLEEP = "import machine\n\nmachine.deepsleep(1000)\n"
ASLEEP_IN_ORDER = """
import packed
import asyncio
import machine
import self_test
import sleep

show_access = self_test.show_access


def show_and_sleep():
    show_access()
    if machine.reset_cause() != machine.DEEPSLEEP_RESET:
        self_test.sleeping = asyncio.create_task(sleep.deep(1))


self_test.show_access = show_and_sleep
"""
CRASH = "raise RuntimeError('crashed on purpose')\n"
# The watchdog runs already, for a minute; five seconds are enough to see it
HANG = "import machine\n\nmachine.WDT(timeout=5000)\nwhile True:\n    pass\n"
NO_CONFIRM = "import packed\nimport self_test\n\nself_test._confirm = lambda: None\n"


@dataclass(frozen=True, repr=False)
class Damaged:
    """An image that no board may take: its bytes, and what was done to it."""

    data: bytes
    damage: str

    def __repr__(self) -> str:
        return f"{len(self.data):,} bytes: {self.damage}"


@dataclass(frozen=True, repr=False)
class Misbehaving(UpdateImage):
    """An update image that is right in every part, with an application that is not."""

    fault: str = field(kw_only=True)

    def __repr__(self) -> str:
        return f"{super().__repr__()}; it {self.fault}"

    _repr_html_ = None  # its table would not say it


def truncated(image: UpdateImage | bytes) -> Damaged:
    """Return the first half of an image."""
    data = _bytes(image)
    return Damaged(data[: len(data) // 2], f"the first half of an image of {len(data):,}")


def flipped(image: UpdateImage | bytes) -> Damaged:
    """Return an image with one bit turned in its middle, which belongs to MicroPython."""
    data = _bytes(image)
    return _flipped(data, len(data) // 2, "in the middle")


def too_large(image: UpdateImage | bytes) -> Damaged:
    """Return an image filled up to one byte more than a slot takes."""
    size = MICROPYTHON_OTA.slots[0].size
    return Damaged(_bytes(image).ljust(size + 1, b"\xff"), "an image and 0xFF, one more than a slot takes")


def for_another_chip(image: UpdateImage | bytes) -> Damaged:
    """Return an image that is whole, but says that it is for an ESP32-S3."""
    data = bytearray(_bytes(image))
    data[CHIP_ID_OFFSET] = ESP32_S3
    return Damaged(seal(data), "an image for ESP32-S3")


def without_descriptor(image: UpdateImage | bytes) -> Damaged:
    """Return an image that is whole, but for the app descriptor, which is blank."""
    data = bytearray(_bytes(image))
    data[DESCRIPTOR_OFFSET : DESCRIPTOR_OFFSET + DESCRIPTOR.size] = bytes(DESCRIPTOR.size)
    return Damaged(seal(data), "an image without app descriptor")


def with_bootloader(image: UpdateImage) -> Damaged:
    """Return the firmware.bin that belongs to an update image: bootloader, partition table, MicroPython."""
    if not isinstance(image, UpdateImage):
        raise ImageError(f"A {type(image).__name__} is no image with a bootloader.", "Give what kit.build() made.")
    return Damaged(image.base.before_slots() + _app(image), "a full firmware.bin, with the bootloader in front")


def random_data(size: int) -> Damaged:
    """Return so many random bytes, the same every time."""
    if not isinstance(size, int) or size < 0:
        raise ImageError(f"{size!r} is no number of bytes.", "Give one, as in kit.faults.random_data(100_000).")
    return Damaged(random.Random(1).randbytes(size), "random data")


def without_application(image: UpdateImage | bytes) -> Damaged:
    """Return only the app image, MicroPython, of an update image."""
    return Damaged(_app(image), "the app image alone, without application")


def with_damaged_application(image: UpdateImage | bytes) -> Damaged:
    """Return an image with one bit turned in the application; the app image in front of it is whole."""
    data = _bytes(image)
    place = layout(lambda offset, count: data[offset : offset + count], len(data)).application
    if not place:
        raise ImageError("There is no application in this image.", "Give what kit.build() made.")
    return _flipped(data, place[len(place) // 2], "in the application")


def crashing(version: str, board: Board | None = None) -> UpdateImage:
    """Build a version that crashes when it is started."""
    return _misbehaving(version, board, "crashes at its start", CRASH)


def hanging(version: str, board: Board | None = None) -> UpdateImage:
    """Build a version that sets the watchdog to 5 seconds, and then hangs when it is started."""
    return _misbehaving(version, board, "hangs at its start", HANG)


def asleep(version: str, board: Board | None = None) -> UpdateImage:
    """Build a version that goes to deep sleep for a second at its start."""
    return _misbehaving(version, board, "sleeps before it has confirmed itself", ASLEEP)


def asleep_in_order(version: str, board: Board | None = None) -> UpdateImage:
    """Build a version that goes to deep sleep for a second once, as soon as the firmware's `deep` lets it."""
    return _misbehaving(version, board, "sleeps once it has confirmed itself", ASLEEP_IN_ORDER)


def never_confirming(version: str, board: Board | None = None) -> UpdateImage:
    """Build a version that works, but does not confirm itself."""
    return _misbehaving(version, board, "never confirms itself", NO_CONFIRM)


def blindly_confirming(version: str, board: Board | None = None) -> UpdateImage:
    """Build a version that works, and that at every start marks whatever otadata follows as valid, as first thing."""
    return _misbehaving(version, board, "confirms at every start, without a test", CONFIRM)


def confirming_too_early(version: str, board: Board | None = None) -> UpdateImage:
    """Build a version that confirms itself as first thing, and then crashes."""
    return _misbehaving(version, board, "confirms itself without a test, and then crashes", CONFIRM + CRASH)


def _misbehaving(version: str, board: Board | None, fault: str, before: str) -> UpdateImage:
    with TemporaryDirectory() as folder:
        main = new_app(Path(folder) / "app") / "main.py"
        main.write_text(before + main.read_text(encoding="utf-8"), encoding="utf-8")
        return Misbehaving(**vars(build(version, board=board, app=main.parent)), fault=fault)


def _bytes(image: UpdateImage | bytes) -> bytes:
    data = getattr(image, "data", image)
    if not isinstance(data, bytes | bytearray):
        raise ImageError(f"A {type(image).__name__} is no image.", "Give what kit.build() made, or bytes.")
    if len(data) < DESCRIPTOR_OFFSET:
        raise ImageError(f"So few bytes, {len(data)}, are no image.", "Give what kit.build() made.")
    return bytes(data)


def _app(image: UpdateImage | bytes) -> bytes:
    data = _bytes(image)
    return data[: AppImage.parse(data).length]


def _flipped(data: bytes, place: int, where: str) -> Damaged:
    changed = data[place] ^ 1
    return Damaged(data[:place] + bytes([changed]) + data[place + 1 :], f"one bit turned {where}, at {place:#x}")
