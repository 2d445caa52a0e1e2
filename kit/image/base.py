"""The base image: the bootloader, partition table and MicroPython app that update images are built on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kit.address import resolve
from kit.errors import ImageError, KitError
from kit.image import CHIP_ESP32, FLASH_BASE, TABLE_PLACE, AppImage, Descriptor, is_firmware_bin, read_file
from kit.schemes import FLASH_SIZE
from kit.table import PartitionTable

if TYPE_CHECKING:
    from kit.board import Board

RELEASE = "ESP32_GENERIC-OTA-20250809-v1.26.0.bin"
RELEASE_URL = f"https://micropython.org/resources/firmware/{RELEASE}"
RELEASE_SHA256 = "14268bb6c65d716f2baef239aa73192febe96aeea924e3fb39a4444e2e2e0cc1"

TIMEOUT = 20  # seconds without a byte

STAND_IN = "kit-stand-in"  # the project that a stand-in names in its app descriptor
ADVICE = "Download the .bin file of MicroPython's release ESP32_GENERIC-OTA."


@dataclass(frozen=True)
class BaseImage:
    """What a release consists of; each part as it is written to flash."""

    bootloader: bytes = field(repr=False)
    table: PartitionTable = field(repr=False)
    app: bytes = field(repr=False)
    is_stand_in: bool
    name: str

    @classmethod
    def from_firmware_bin(cls, data: bytes, name: str) -> BaseImage:
        """Take a release file apart, whose first byte belongs at flash 0x1000.

        Args:
            name: what to call it, for instance the name of the file.

        Raises:
            ImageError: not such a file, cut short, damaged, for another chip, or without slots for updates.
        """
        try:
            bootloader = data[: _bootloader_length(data)]
            partitions = PartitionTable.from_bytes(data[TABLE_PLACE:])
            if len(partitions.slots) < 2 or partitions.otadata is None:
                raise ImageError("This release has no two slots, so it cannot be updated over the air.", ADVICE)
            partitions.check(FLASH_SIZE)
            app = data[partitions.slots[0].offset - FLASH_BASE :]
            if not app:
                raise ImageError("This release is cut short: it ends before its first slot.", ADVICE)
            parsed = AppImage.parse(app)
            parsed.check()
        except KitError as error:
            raise ImageError(f"{name}: {error.cause}", ADVICE) from None
        is_stand_in = parsed.descriptor.project == STAND_IN  # as read back from a virtual board
        return cls(bootloader, partitions, app[: parsed.length], is_stand_in, name)

    def before_slots(self) -> bytes:
        """Return the flash from 0x1000 to the first slot: bootloader, partition table, all else blank.

        Blank NVS holds no settings, and with blank otadata the bootloader starts ota_0.
        """
        tabled = self.bootloader.ljust(TABLE_PLACE, b"\xff") + self.table.to_bytes()
        return tabled.ljust(self.table.slots[0].offset - FLASH_BASE, b"\xff")


def _bootloader_length(data: bytes) -> int:
    if Descriptor.parse(data):
        raise ImageError("This is an app image alone, without bootloader and partition table.", ADVICE)
    bootloader = AppImage.parse(data[:TABLE_PLACE])
    if bootloader.chip_id != CHIP_ESP32:
        raise ImageError(f"This release is for {bootloader.chip_name}, not for ESP32.", ADVICE)
    if not is_firmware_bin(data):
        raise ImageError("This file has no partition table behind its bootloader.", ADVICE)
    if not bootloader.checksum_ok or bootloader.hash_ok is False:
        raise ImageError("The bootloader in this file is damaged.", ADVICE)
    return bootloader.length


def is_virtual(board: Board | None) -> bool:
    """Tell whether this board, or without one the board at the current address, is virtual."""
    found = resolve() if board is None else board
    if not hasattr(found, "is_virtual"):
        raise ImageError(f"{board!r} is not a board.", "Give what kit.connect() returned: board=board.")
    return found.is_virtual


def base_image(board: Board | None = None, file: str | Path | None = None) -> BaseImage:
    """Return what to build on: the file, the stand-in for a virtual board, else MicroPython 1.26.0 (1.5 MB).

    The release is downloaded once and kept in the user's cache folder.

    Raises:
        ImageError: the file is unusable, or the download failed.
    """
    if file is not None:
        return BaseImage.from_firmware_bin(read_file(file), Path(file).name)
    if is_virtual(board):
        from kit import standin  # which is made of a BaseImage itself

        return standin.image_set()
    return BaseImage.from_firmware_bin(_download().read_bytes(), RELEASE)


def _download() -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")  # else it tells where its files are
    place = RELEASE_URL, f"sha256:{RELEASE_SHA256}", RELEASE, pooch.os_cache("esp32-ota-kit")
    try:
        # pooch moves a file into the cache once it is whole and its hash is right.
        return Path(pooch.retrieve(*place, downloader=pooch.HTTPDownloader(timeout=TIMEOUT)))
    except (OSError, ValueError) as error:
        cause = f"MicroPython could not be downloaded from {RELEASE_URL}: {_reason(error)}."
        advice = "Try again, or download it by hand and build on it: kit.build(…, base=kit.base_image(file=…))."
        raise ImageError(cause, advice) from error


def _reason(error: OSError | ValueError) -> str:
    import requests

    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code}"
    if "timed out" in str(error):
        return f"nothing came for {TIMEOUT} seconds"
    if isinstance(error, requests.RequestException):
        return "the connection failed or broke off"
    return str(error) if isinstance(error, OSError) else "what came has another SHA-256"
