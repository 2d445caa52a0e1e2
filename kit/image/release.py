"""What to build on: MicroPython's release, downloaded once, a file of it, or the stand-in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kit.address import resolve
from kit.errors import ImageError, interruptible
from kit.image.base import BaseImage
from kit.image.file import read_file
from kit.image.standin import image_set

if TYPE_CHECKING:
    from kit.board.board import Board

RELEASE = "ESP32_GENERIC-OTA-20250809-v1.26.0.bin"
RELEASE_URL = f"https://micropython.org/resources/firmware/{RELEASE}"
RELEASE_SHA256 = "14268bb6c65d716f2baef239aa73192febe96aeea924e3fb39a4444e2e2e0cc1"

TIMEOUT = 20  # seconds without a byte


def is_virtual(board: Board | None) -> bool:
    """Tell whether this board, or without one the board at the current address, is virtual."""
    found = resolve() if board is None else board
    if not hasattr(found, "is_virtual"):
        raise ImageError(f"{board!r} is not a board.", "Give what kit.connect() returned: board=board.")
    return found.is_virtual


@interruptible
def base_image(board: Board | None = None, file: str | Path | None = None) -> BaseImage:
    """Return what to build on: the file, the stand-in for a virtual board, else MicroPython 1.26.0 (1.5 MB).

    The release is downloaded once and kept in the user's cache folder.

    Raises:
        ImageError: the file is unusable, or the download failed.
    """
    if file is not None:
        return BaseImage.from_firmware_bin(read_file(file), Path(file).name)
    if is_virtual(board):
        return image_set()
    return BaseImage.from_firmware_bin(download_release().read_bytes(), RELEASE)


def download_release() -> Path:
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
