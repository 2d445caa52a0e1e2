"""A release: an image and its manifest, laid out as files that any web server brings to boards."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kit.errors import ImageError, ReleaseError, SecurityError, interruptible
from kit.image.app_image import AppImage
from kit.image.file import read_file
from kit.image.partition import SECTOR
from kit.image.update_image import UpdateImage
from kit.image.version import check_version, is_version, precedence
from kit.lock import lock_file
from kit.releases.manifest import NEWEST, image_name, manifest_name, read_ota, sectors_name, write_manifest
from kit.releases.notes import find_notes
from kit.security.signature import signer_digests
from kit.shown import html_table

LOCK = ".lock"
PATIENCE = 30  # seconds for another release to be laid out in the same folder
NOT_SIGNED = (
    "Sign it: image.sign(key), or python -m kit build … --sign KEYFILE. The key is what kit.new_key made and "
    "board.install(signers=[key]) brought to the boards."
)


@dataclass(frozen=True, repr=False)
class Release:
    """A version in a folder of releases.

    Attributes:
        path: of the image.
        newest: the version that boards find there, which is not this one where this one is older.
    """

    version: str
    path: Path
    size: int
    sha256: str
    security_version: int
    notes: str
    newest: str

    @property
    def folder(self) -> Path:
        return self.path.parent

    def __repr__(self) -> str:
        place = "the newest" if self.newest == self.version else f"the newest there is {self.newest}"
        return f"Release {self.version} in {self.folder}: {self.size:,} bytes, {place}"

    def _repr_html_(self) -> str:
        rows = {
            "version": self.version,
            "folder": self.folder,
            "newest there": self.newest,
            "image": self.path.name,
            "size": f"{self.size:,} bytes",
            "SHA-256": self.sha256,
            "security version": self.security_version,
            "notes": self.notes or "none",
        }
        return html_table(rows.items())


@interruptible
def release(image: UpdateImage | Release | str | Path, folder: str | Path, notes: str | Path | None = None) -> Release:
    """Lay out an image in a folder, from which a web server brings it to boards; the versions before it stay.

    A folder is a channel. What was tried out in one is promoted to another by releasing its file there: the same bytes.

    Args:
        image: what kit.build made and a key has signed, a release, or the path of the .bin file of one of them.
        folder: where; it need not exist.
        notes: a text, or a file; of a changelog the section of this version. Without any those of the release that is
            promoted, else the section in CHANGELOG.md in the current folder, if there is one.

    Raises:
        ImageError: it is no update image, or a damaged one.
        SecurityError: it is not signed.
        ReleaseError: the version is there with other bytes, or the folder or the notes are unusable.
    """
    data, source = _read(image)
    version, security_version = _checked(data)
    if notes is None and source:
        notes = _promoted(source.with_name(manifest_name(version)), data)
    notes = find_notes(version, notes)
    manifest = write_manifest(version, data, security_version, notes)
    files = {image_name(version): data, sectors_name(version): _checksums(data), manifest_name(version): manifest}
    with _held(folder) as place:
        laid = _laid_out(place / manifest_name(version))
        if laid and laid != hashlib.sha256(data).hexdigest():
            cause = f"{folder} has another {version}, and boards may have it: versions are never replaced."
            raise ReleaseError(cause, "Build the next one.")
        newest = _lay_out(place, version, files)
    return Release(version, place / image_name(version), len(data), *_about(manifest), newest)


def _about(manifest: bytes) -> tuple[str, int, str]:
    ota = read_ota(manifest)
    return ota["sha256"], ota["security_version"], ota["summary"]


def _read(image: object) -> tuple[bytes, Path | None]:
    """Return the bytes of an image, and the file that they are from."""
    if isinstance(image, UpdateImage):
        return image.data, None
    if isinstance(image, Release):
        image = image.path
    if not isinstance(image, str | os.PathLike):
        cause = f"A {type(image).__name__} is no update image."
        raise ImageError(cause, "Give what kit.build(…).sign(key) made, or the path of its .bin file.")
    return read_file(image), Path(image)


def _checked(data: bytes) -> tuple[str, int]:
    """Return version and security version of an image that a board would take."""
    app = AppImage.parse(data)
    app.check()
    if app.application is None:
        raise ImageError("This is an app image without an application behind it.", "Build one: kit.build(version).")
    if not app.application_ok:
        raise ImageError(
            "This image is damaged: the application's SHA-256 is wrong.", "Build or download it once more."
        )
    check_version(app.descriptor.version)
    if not signer_digests(data):
        cause = f"This image of {app.descriptor.version} is not signed, and boards fetch only what is."
        raise SecurityError(cause, NOT_SIGNED)
    return app.descriptor.version, app.descriptor.secure_version


def _promoted(manifest: Path, data: bytes) -> str | None:
    """Return the notes of the release that these bytes are of; None where they are of none."""
    try:
        ota = read_ota(manifest.read_bytes())
    except OSError:
        return None
    return ota["summary"] if ota and ota["sha256"] == hashlib.sha256(data).hexdigest() else None


def _checksums(data: bytes) -> bytes:
    """Return the CRC-32 of each sector as `GET /sectors` of a board has them."""
    sectors = [data[start : start + SECTOR].ljust(SECTOR, b"\xff") for start in range(0, len(data), SECTOR)]
    return struct.pack(f"<{1 + len(sectors)}I", len(sectors), *map(zlib.crc32, sectors))


def _laid_out(manifest: Path) -> str:
    """Return the SHA-256 of an image that was released before, empty where it was not."""
    if not manifest.exists():
        return ""
    if not (sha256 := read_ota(manifest.read_bytes()).get("sha256")):
        raise ReleaseError(f"{manifest} is no manifest any more.", "Delete it, and release that version once more.")
    return sha256


def _lay_out(place: Path, version: str, files: dict[str, bytes]) -> str:
    """Bring files into a folder, those that name others after them, and return the newest version there.

    Before its manifest is there a version counts as not released; a board sees it when manifest.json is replaced.
    """
    versions = [path.name.removeprefix("manifest-").removesuffix(".json") for path in place.glob("manifest-*.json")]
    newest = max({version, *filter(is_version, versions)}, key=precedence)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=place))
    try:
        name = manifest_name(newest)
        whole = files | {NEWEST: files[name] if name in files else (place / name).read_bytes()}
        for name, data in whole.items():
            (draft / name).write_bytes(data)
        for name in whole:
            (draft / name).replace(place / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return newest


@contextmanager
def _held(folder: str | Path) -> Iterator[Path]:
    """Make a folder, and keep others from releasing there meanwhile."""
    try:
        place = Path(folder)
        if place.is_file():
            raise ReleaseError(f"{folder} is a file.", "Name a folder, which need not exist.")
        place.mkdir(parents=True, exist_ok=True)
        file = open(place / LOCK, "ab")  # noqa: SIM115
    except (OSError, TypeError, ValueError) as error:  # ValueError: a name with a NUL
        raise _unwritable(folder, getattr(error, "strerror", None) or "this is no path") from None
    with file:
        _lock(file.fileno(), folder)
        try:
            yield place
        except OSError as error:
            raise _unwritable(folder, error.strerror) from None


def _unwritable(folder: object, reason: object) -> ReleaseError:
    cause = f"The release cannot be written into {folder}: {reason}."
    return ReleaseError(cause, "Name another folder, or make room there.")


def _lock(descriptor: int, folder: str | Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return lock_file(descriptor)
        except BlockingIOError:
            if time.monotonic() > deadline:
                cause = f"Another release is being laid out in {folder}."
                raise ReleaseError(cause, "Wait for its end, and try again.") from None
        time.sleep(0.05)
