"""The sending of an image, watched by asking the board how much it has written."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from kit.errors import BoardError, ImageError, UpdateError
from kit.image.file import read_file
from kit.ota.answer import not_ours, read
from kit.ota.exchange import Answer, Exchange
from kit.ota.info import Info
from kit.ota.parcel import Parcel, changed, sha256_digest
from kit.ota.result import Sample
from kit.ota.waiting import PROGRESS
from kit.ota.web import RETRY, Web
from kit.progress import Progress

if TYPE_CHECKING:
    from kit.image.update_image import UpdateImage

TAKEN = {"version": str, "slot": str, "bytes": int}  # the answer to an upload
TAKEN |= {"seconds": dict.fromkeys(("receive", "write", "verify", "commit"), float)}
VERDICT_TIMEOUT = 180.0  # seconds for the answer, once all is sent
SILENCE = 30.0  # seconds without an answer to a poll after which the link counts as broken
SENT_LOOK = 0.25  # seconds between two looks at what was sent
ABORT_TIMEOUT = 12.0  # seconds: the firmware gives an upload up after 10 s without a byte
STALE = "UPDATE_ERROR_BASE"  # the slot is not what the changed sectors were made for
UNDECIDED = ("check", "write", "idle")  # phases of a board that has not had the whole image


def image_bytes(image: UpdateImage | str | os.PathLike | bytes) -> bytes:
    """Return the bytes of what is to be sent: what kit.build made, a file of it, or its bytes."""
    data = getattr(image, "data", image)
    if isinstance(data, str | os.PathLike):
        data = read_file(data)
    if not isinstance(data, bytes | bytearray):
        raise ImageError(f"A {type(image).__name__} is no update image.", 'Build one: kit.build("1.1.0", board=board).')
    return data


def digest_header(data: bytes, md5: str | None) -> dict[str, str]:
    """Return the header that announces the digest of an image."""
    if md5 is not None:
        if not (isinstance(md5, str) and re.fullmatch("[0-9a-fA-F]{32}", md5)):
            raise ImageError(f"{md5!r} is no MD5.", "Give 32 hex digits, or leave it out.")
        return {"x-MD5": md5}
    return {"Content-Digest": sha256_digest(data)}


def send_until_taken(
    web: Web, data: bytes, everything: Parcel, old: Info, bar: Progress, tries: int, is_whole: bool
) -> tuple[dict, list[tuple[Sample, ...]], Parcel]:
    """Send the image until the link holds; return the board's answer, the samples of each try, and the last parcel.

    Each try sends what the slot lacks: what an earlier one has brought does not travel again.
    """
    tried: list[tuple[Sample, ...]] = []
    while True:
        parcel = (None if is_whole else changed(web, data)) or everything
        try:
            taken, samples = _send(web, len(data), parcel, bar)
        except UpdateError as error:
            if error.error != STALE or parcel is everything:
                raise
            is_whole = True
            continue
        tried.append(samples)
        if taken:
            return taken, tried, parcel
        error = _broken(samples[-1], len(data), old)
        if len(tried) == tries or samples[-1][3] not in UNDECIDED:
            raise error
        print(f"Try {len(tried)}: {error.cause}")


def _send(web: Web, size: int, parcel: Parcel, bar: Progress) -> tuple[dict | None, tuple[Sample, ...]]:
    """Send it in one thread and poll in this one; return the board's answer, if any, and the samples."""
    exchange, start = web.exchange(), time.monotonic()

    def send() -> tuple[Answer, float]:
        options = {"body": parcel.body, "headers": parcel.headers, "seconds": VERDICT_TIMEOUT, "exchange": exchange}
        return web.request(parcel.method, "/update", **options), time.monotonic() - start

    with ThreadPoolExecutor(1) as pool:
        try:
            sending = pool.submit(send)
            samples = _watch(web, sending, exchange, start, size, parcel, bar)
        finally:  # the board is silent, or the reader has interrupted it
            exchange.break_off()
    if isinstance(sending.exception(), BoardError):  # the link broke
        seconds = time.monotonic() - start
        last = (0.0, 0, 0, samples[-1][3]) if web.pin else samples[-1]  # by the board's word
        return None, (*samples, (seconds, *(_last_word(web) or last)[1:]))
    answer, seconds = sending.result()
    taken = read(answer, TAKEN)
    if taken["bytes"] != size:
        raise not_ours(answer)
    bar.update(size, parcel.during("restart"))
    samples = [sample for sample in samples if sample[0] < seconds]
    return taken, (*samples, (seconds, parcel.size, size, "restart"))


def _watch(
    web: Web, sending: Future, exchange: Exchange, start: float, size: int, parcel: Parcel, bar: Progress
) -> list[Sample]:
    """Show what the board has written, until the sending ends or the board falls silent.

    A board has memory for one TLS session: over its HTTPS nobody can ask it meanwhile, and what was sent is shown.
    """
    if web.pin:
        return _watch_sent(sending, exchange, start, size, parcel, bar)
    samples = [(0.0, 0, 0, "check")]
    heard = time.monotonic()
    while not sending.done() and time.monotonic() - heard < SILENCE:
        wait([sending], 0.25 if time.monotonic() - start < 1 else 1.0)
        state = None if sending.done() else web.look("/progress", PROGRESS)
        heard = heard if state is None else time.monotonic()
        if state and state["phase"] != "idle":  # idle: the board has not begun, and tells of an update before
            samples.append((heard - start, state["received"], state["written"], state["phase"]))
            bar.update(state["written"], parcel.during(state["phase"]))
    return samples


def _watch_sent(
    sending: Future, exchange: Exchange, start: float, size: int, parcel: Parcel, bar: Progress
) -> list[Sample]:
    """Show what is sent, until the sending ends; it has its own time-outs."""
    samples, total = [(0.0, 0, 0, "check")], max(1, len(parcel.body))
    while not wait([sending], SENT_LOOK).done:
        sent = exchange.sent
        phase, shown = ("write", "sent") if sent < total else ("verify", "verify")
        samples.append((time.monotonic() - start, sent * parcel.size // total, sent * size // total, phase))
        bar.update(sent * size // total, parcel.during(shown))
    return samples


def _last_word(web: Web) -> Sample | None:
    """Return what the board has of an upload whose link broke, once the board has noticed; None if it won't say."""
    start = time.monotonic()
    while (state := web.look("/progress", PROGRESS)) and (seconds := time.monotonic() - start) < ABORT_TIMEOUT:
        if state["phase"] not in ("check", "write"):
            return seconds, state["received"], state["written"], state["phase"]
        time.sleep(RETRY)
    return None


def _broken(last: Sample, size: int, old: Info) -> BoardError:
    _, _, written, phase = last
    cause = f"The link broke after the board had acknowledged {written:,} of {size:,} bytes."
    if phase in UNDECIDED:
        return BoardError(cause, f"The old version {old.get('version')} still runs: upload again.")
    return BoardError(cause, "ota.info() shows which version runs: the board may have had all.")
