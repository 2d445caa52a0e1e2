"""What speaks against an image, by its first 288 bytes: esp_image_header_t and esp_app_desc_t of ESP-IDF."""

import struct

from errors import UpdateError
from image import HEAD, descriptor, is_virtual
from micropython import const

_CHIP_ESP32 = const(0)
_LONGEST = const(31)  # characters of a version: a NUL ends it
_WORD = const("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")
_STAND_IN = "kit-stand-in"  # project of the image that the kit makes where no real one can be had


def judge(head, size):
    """Return the app descriptor of an image of `size` bytes, or raise UPDATE_ERROR_MAGIC_BYTE."""
    if size < HEAD or head[0] != 0xE9:
        raise UpdateError("MAGIC_BYTE", "This is no app image: it is too short, or does not start with 0xE9.")
    found = descriptor(head)
    if not found:
        cause = "it has no app descriptor. A full firmware.bin starts with the bootloader instead."
        raise UpdateError("MAGIC_BYTE", "This is no app image: " + cause)
    chip = struct.unpack_from("<H", head, 12)[0]
    if chip != _CHIP_ESP32:
        raise UpdateError("MAGIC_BYTE", f"The image is for another chip (id {chip}), not for an ESP32.")
    if found["project"] == _STAND_IN and not is_virtual():
        cause = "The image is built on a stand-in, which runs on virtual boards only."
        raise UpdateError("MAGIC_BYTE", cause, "Build it for this board: kit.build(version, board=board).")
    return found


# The grammar of https://semver.org without build metadata, in what an app descriptor holds; kit.build() has the same.
def _is_number(text):
    return text == "0" or (text[:1] != "0" and text != "" and not text.strip("0123456789"))


def _is_word(text):
    return _is_number(text) or (text.strip("0123456789") != "" and not text.strip(_WORD))


# https://semver.org, 11: numbers before words, numbers by value, a pre-release before its release. None: not so built
def _key(version):
    core, dash, pre = version.partition("-")
    numbers, words = core.split("."), pre.split(".") if dash else []
    is_core = len(numbers) == 3 and all(map(_is_number, numbers))
    if not is_core or not all(map(_is_word, words)) or len(version) > _LONGEST:
        return None
    keys = [(0, int(word), "") if _is_number(word) else (1, 0, word) for word in words]
    return [int(number) for number in numbers], not dash, keys


def is_version(text):
    """Tell whether a text is a version of the form MAJOR.MINOR.PATCH[-PRERELEASE]."""
    return _key(text) is not None


def check_version(version, running):
    """Raise UPDATE_ERROR_VERSION unless `version` is newer than the running one. Both: MAJOR.MINOR.PATCH[-pre]."""
    new, old = _key(version), _key(running)
    if new is None:
        raise UpdateError("VERSION", "The image has no version of the form MAJOR.MINOR.PATCH[-PRERELEASE].")
    if old and new <= old:  # where what runs was not built by the kit anything may follow it
        raise UpdateError("VERSION", f"Version {version} is not newer than the running {running}.")
