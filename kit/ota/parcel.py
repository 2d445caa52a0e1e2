"""What travels of an image: all of it, or only the sectors that the next slot lacks."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from dataclasses import dataclass

from kit.errors import BoardError
from kit.image.partition import SECTOR
from kit.ota.answer import not_ours, read
from kit.ota.web import Web

NOT_FOUND = 404  # what firmware answers that knows whole images only
BINARY = "application/octet-stream"
SECTORS = "application/vnd.esp32-sectors; size={}"


@dataclass(frozen=True)
class Parcel:
    """The request that brings an image to a board.

    Attributes:
        sectors: numbers of those that travel; None where the whole image does.
        text: how many they are, empty where the whole image travels.
    """

    method: str
    body: bytes
    headers: dict[str, str]
    sectors: tuple[int, ...] | None = None
    text: str = ""

    @property
    def size(self) -> int:
        """Bytes of the image that travel."""
        return len(self.body) if self.sectors is None else len(self.sectors) * SECTOR

    def during(self, phase: str) -> str:
        """Return what a progress bar says of the parcel in a phase of its update."""
        return f"{self.text} · {phase}" if self.text else phase


def entire(data: bytes, digest: dict[str, str]) -> Parcel:
    """Return the parcel with all of an image, and the header that announces its digest."""
    return Parcel("POST", data, {"Content-Type": BINARY} | digest)


def changed(web: Web, data: bytes) -> Parcel | None:
    """Return the parcel with what the slot lacks of an image; None where that is all, or the board takes nothing else.

    Raises:
        UpdateError: an update runs, or the board has no place for one.
        BoardError: nobody is logged in, or this is no board of ours.
    """
    try:
        answer = web.request("GET", "/sectors")
    except BoardError:  # nobody answers: the upload will say why
        return None
    if answer.status == NOT_FOUND:
        return None
    if not answer.is_ok:
        read(answer)
    count, *held = struct.unpack(f"<{len(answer.body) // 4}I", answer.body[: len(answer.body) // 4 * 4]) or (0,)
    if len(held) != count or len(answer.body) % 4:
        raise not_ours(answer)
    parcel = _with_what_differs(data, held, answer.headers.get("ETag", ""))
    return parcel if parcel.size + SECTOR < len(data) else None


def _with_what_differs(data: bytes, held: list[int], tag: str) -> Parcel:
    """Return the parcel for a slot of which the CRC-32 of each sector is known."""
    sectors = [data[start : start + SECTOR].ljust(SECTOR, b"\xff") for start in range(0, len(data), SECTOR)]
    numbers = tuple(n for n, sector in enumerate(sectors) if held[n : n + 1] != [zlib.crc32(sector)])
    body = b"".join(struct.pack("<H", number) + sectors[number] for number in numbers)
    headers = {"Content-Type": SECTORS.format(len(data)), "If-Match": tag, "Repr-Digest": sha256_digest(data)}
    text = f"{len(numbers):,} of {len(sectors):,} sectors, {len(numbers) * SECTOR:,} bytes"
    return Parcel("PATCH", body, headers, numbers, text)


def sha256_digest(data: bytes) -> str:
    """Return the SHA-256 of an image as RFC 9530 writes it."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"
