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
from kit.ota.exchange import Answer
from kit.ota.web import Web

NOT_FOUND = 404  # what firmware answers that knows whole images only
BINARY = "application/octet-stream"
SIGNATURE = b"\xe7\x02\0\0"  # begins its sector (kit/security/signature.py); it ends with a CRC-32 of itself
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
    held, total = _held(answer), -(-len(data) // SECTOR)
    if total > len(held):
        return None
    numbers = tuple(n for n in range(total) if _may_lack(held[n], _sector(data, n)))
    if len(numbers) + 1 >= total:
        return None
    tag = answer.headers.get("ETag", "")
    headers = {"Content-Type": SECTORS.format(len(data)), "If-Match": tag, "Repr-Digest": sha256_digest(data)}
    body = b"".join(struct.pack("<H", number) + _sector(data, number) for number in numbers)
    text = f"{len(numbers):,} of {total:,} sectors, {len(numbers) * SECTOR:,} bytes"
    return Parcel("PATCH", body, headers, numbers, text)


def _held(answer: Answer) -> list[int]:
    """Return the CRC-32 of each sector of the slot, none where the firmware is older; or raise what the board says."""
    if answer.status == NOT_FOUND:
        return []
    if not answer.is_ok:
        read(answer)
    count, rest = divmod(len(answer.body), 4)
    if rest or not count:
        raise not_ours(answer)
    sectors, *held = struct.unpack(f"<{count}I", answer.body)
    if len(held) != sectors:
        raise not_ours(answer)
    return held


def _may_lack(crc: int, sector: bytes) -> bool:
    """Tell whether a slot may lack a sector where it holds one of a CRC-32: all signatures have the same one."""
    return crc != zlib.crc32(sector) or sector.startswith(SIGNATURE)


def _sector(data: bytes, number: int) -> bytes:
    return data[number * SECTOR : (number + 1) * SECTOR].ljust(SECTOR, b"\xff")


def sha256_digest(data: bytes) -> str:
    """Return the SHA-256 of an image as RFC 9530 writes it."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"
