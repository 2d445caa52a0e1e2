"""Building update images: app image and application in one file."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import ImageError, interruptible
from kit.image.app_image import with_descriptor
from kit.image.application import firmware_dir, pack, tell_version
from kit.image.base import STAND_IN, BaseImage
from kit.image.file import save
from kit.image.layout import APPLICATION_HEADER, APPLICATION_MAGIC, SIGNERS
from kit.image.partition import SECTOR
from kit.image.release import base_image, is_virtual
from kit.image.version import check_version
from kit.security.keys import Key, read_key
from kit.security.signature import signature_sector
from kit.shown import html_table

if TYPE_CHECKING:
    from kit.board.board import Board

MAX_SECURE_VERSION = 0xFFFFFFFF


@dataclass(frozen=True, repr=False)
class UpdateImage:
    """One update: an app image with the application behind it, as it is written to a slot."""

    version: str
    project: str
    built: datetime
    data: bytes
    base: BaseImage
    app_length: int
    application_length: int
    signers: tuple[Key, ...] = field(default=(), repr=False)

    @property
    def is_stand_in(self) -> bool:
        return self.base.is_stand_in

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def md5(self) -> str:
        return hashlib.md5(self.data).hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write the image to a file.

        Raises:
            ImageError: it cannot be written there.
        """
        return save(path, self.data)

    def sign(self, *keys: Key | str | Path) -> UpdateImage:
        """Return the image with a signature at its end, by those who signed it before too; three in all at most.

        It names the digests of its keys: a board that trusts one of them will trust the others as well.

        Args:
            keys: what kit.new_key made, or files of it.

        Raises:
            SecurityError: a file holds no key that can sign, or they are too many.
        """
        signers = (*self.signers, *map(read_key, keys))
        unsigned = self.data[: self._signed_size]
        place = self._signed_size - self.application_length - SECTOR + SIGNERS
        names = b"".join(key.digest for key in signers)
        data = unsigned[:place] + names + unsigned[place + len(names) :]
        signed = replace(self, data=data + signature_sector(data, signers), signers=signers)
        if signed.size > (room := min(slot.size for slot in self.base.table.slots)):
            cause = f"With its signature the image has {signed.size:,} bytes, and a slot takes {room:,}."
            raise ImageError(cause, "Take files out of the application, or make them smaller.")
        return signed

    @property
    def _signed_size(self) -> int:
        """Bytes that a signature is for: all but the sector that it takes."""
        return self.size - (SECTOR if self.signers else 0)

    def __repr__(self) -> str:
        signed = f", signed by {' and '.join(key.name for key in self.signers)}" if self.signers else ""
        parts = f"app image {self.app_length:,} bytes + application {self.application_length:,} bytes"
        return f"UpdateImage {self.version}: {parts}, based on {self.base.name}{signed}"

    def _repr_html_(self) -> str:
        between = self._signed_size - self.app_length - self.application_length
        rows = {
            "version": self.version,
            "project": self.project,
            "built": f"{self.built:%Y-%m-%d %H:%M:%S} UTC",
            "based on": self.base.name,
            "MicroPython (app image)": f"{self.app_length:,} bytes",
            "our program (application)": f"{self.application_length:,} bytes",
            "header and filling between them": f"{between:,} bytes",
            "signed by": ", ".join(key.name for key in self.signers) or "nobody",
            "whole": f"{self.size:,} bytes",
            "SHA-256": self.sha256,
        }
        return html_table(rows.items())


@interruptible
def build(
    version: str,
    *,
    board: Board | None = None,
    app: str | Path | None = None,
    base: BaseImage | None = None,
    when: datetime | None = None,
    secure_version: int = 0,
) -> UpdateImage:
    """Build an update image.

    Args:
        version: MAJOR.MINOR.PATCH, and -PRERELEASE where it is one.
        board: for which board; without one the current address decides.
        app: folder of the application; without one the kit's own.
        base: what to build on; without one `base_image(board)`.
        when: build time; without one SOURCE_DATE_EPOCH (reproducible-builds.org), else now.
        secure_version: a board that has confirmed an image takes none with a lower one any more.

    Raises:
        ImageError: a bad version, an application that does not compile, or one too large for a slot.
    """
    check_version(version)
    if type(secure_version) is not int or not 0 <= secure_version <= MAX_SECURE_VERSION:
        raise ImageError(f"{secure_version!r} is no security version.", "Give a whole number from 0 on.")
    if base is not None and not isinstance(base, BaseImage):
        raise ImageError(f"{base!r} is no base image.", "Read it from a file: base=kit.base_image(file=…).")
    if app:
        tell_version(app)
    base = base or base_image(board)
    built = _build_time(when)
    project = STAND_IN if base.is_stand_in else "esp32-ota"
    date, clock = f"{built:%Y-%m-%d %H:%M:%S}".split()
    about = {"version": version, "project": project, "date": date, "time": clock, "secure_version": secure_version}
    app_image = with_descriptor(base.app, **about)
    start = -(-len(app_image) // SECTOR) * SECTOR + SECTOR  # of the application, behind the header sector
    application = pack(
        app or firmware_dir() / "app",
        compiled=not (base.is_stand_in or is_virtual(board)),
        room=max(0, min(partition.size for partition in base.table.slots) - start),
    )
    header = APPLICATION_HEADER.pack(APPLICATION_MAGIC, len(application), hashlib.sha256(application).digest())
    data = app_image.ljust(start - SECTOR, b"\xff") + header.ljust(SECTOR, b"\xff") + application
    return UpdateImage(version, project, built, data, base, len(app_image), len(application))


def _build_time(when: datetime | None) -> datetime:
    if when is not None:
        return when.astimezone(UTC)
    epoch = os.environ.get("SOURCE_DATE_EPOCH", time.time())
    try:
        return datetime.fromtimestamp(int(epoch), UTC)
    except (ValueError, OverflowError, OSError):
        raise ImageError(f"SOURCE_DATE_EPOCH is {epoch!r}.", "Set it to seconds since 1970, or unset it.") from None
