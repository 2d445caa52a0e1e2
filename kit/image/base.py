"""The base image: the bootloader, partition table and MicroPython app that update images are built on."""

from __future__ import annotations

from dataclasses import dataclass, field

from kit.errors import ImageError, KitError
from kit.image.app_image import TABLE_PLACE, AppImage, Descriptor, is_firmware_bin
from kit.image.layout import CHIP_ESP32
from kit.image.schemes import FLASH_SIZE
from kit.image.table import FLASH_BASE, PartitionTable

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
