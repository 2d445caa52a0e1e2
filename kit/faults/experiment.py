"""Cut the power of a virtual board at every flash operation of an update, or let its flash fail, and see what boots.

One update is recorded. Its journal, replayed up to an operation, gives the flash that a cut there leaves. Few of these
need a board that starts on them: what a board does depends on nothing but the bytes that it reads before it erases
them, so a flash that has the same there ends the same.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import requests

from kit.board.board import Board
from kit.errors import BoardError, KitError
from kit.image.layout import APPLICATION_HEADER, APPLICATION_MAGIC
from kit.image.table import FLASH_BASE
from kit.image.update_image import UpdateImage
from kit.ota.client import OtaClient
from kit.ota.info import Info
from kit.ota.parcel import Parcel, changed, entire
from kit.ota.web import Web
from kit.settings import DEMO
from kit.virtual.board import _appimage
from kit.virtual.bootloader import Bootloader
from kit.virtual.chip import Chip
from kit.virtual.flash import LYING_READ, SECTOR, SIZE, STUCK_BIT, STUCK_SECTOR, Flash
from kit.virtual.ports import HOST

BENCHES = 10  # boards at a time; each waits more than it works
TRIES = 3  # of an upload
PATIENCE = 60.0  # s for a board to serve a confirmed version; an idle computer needs one
BLANK = b"\xff" * SECTOR
OLD, NEW, BROKEN = "old", "new", "broken"

Ranges = dict[int, set[tuple[int, int]]]  # by the number of a sector: begins and ends within it
Operation = tuple[int, bytes | None]  # address; what is written, None for the erase of a sector
Fault = tuple[str, int]  # kind and address, as Flash.plant takes them


class State(tuple[bytes, ...]):
    """The sectors of a flash. States that are made from one another share those that are alike."""

    def read(self, address: int, length: int) -> bytes:
        first, last = address // SECTOR, -(-(address + length) // SECTOR)
        return b"".join(self[first:last])[address % SECTOR :][:length]

    def after(self, operation: Operation) -> State:
        """Return the state after an operation; none of the firmware's writes crosses the end of a sector."""
        (sector, offset), data = divmod(operation[0], SECTOR), operation[1]
        old, new = self[sector], BLANK
        if data is not None:
            end = offset + len(data)
            new = old[:offset] + bytes(a & b for a, b in zip(old[offset:end], data, strict=True)) + old[end:]
        return State((*self[:sector], new, *self[sector + 1 :]))


def state_of(data: bytes) -> State:
    """Return the state with these bytes from address 0 on, blank behind them."""
    return State(data[start : start + SECTOR].ljust(SECTOR, b"\xff") for start in range(0, SIZE, SECTOR))


class Recorder(Flash):
    """A flash that keeps a journal, and notes which bytes were read as they were when it was loaded."""

    def load(self, state: State) -> None:
        """Begin anew with another content."""
        self._memory[:] = b"".join(state)
        self._loaded = state
        self.journal: list[Operation] = []
        self.needed: Ranges = {}
        self._erased: set[int] = set()

    def content(self) -> State:
        """Return what is in it now."""
        pairs = zip(self._loaded, state_of(self._memory[:]), strict=True)
        return State(old if old == new else new for old, new in pairs)

    def read(self, address: int, length: int) -> bytes:
        self._need(address, length)
        return super().read(address, length)

    def write(self, address: int, data: bytes) -> None:
        self._need(address, len(data))  # bits that are 0 stay so
        super().write(address, data)
        self.journal.append((address, data))

    def erase(self, address: int, length: int) -> None:
        super().erase(address, length)
        for start in range(address, address + length, SECTOR):
            self._erased.add(start // SECTOR)
            self.journal.append((start, None))

    def _need(self, address: int, length: int) -> None:
        while length > 0:
            sector, start = divmod(address, SECTOR)
            end = min(start + length, SECTOR)
            if sector not in self._erased:
                self.needed.setdefault(sector, set()).add((start, end))
            address, length = address + end - start, length - (end - start)


class Bench:
    """A virtual board that can be started once, on any flash."""

    def __init__(self, file: Path) -> None:
        self.flash = Recorder(file, 0)
        self.flash.powered = False
        self._chip = Chip(self.flash, DEMO)
        self._chip.start()
        url = f"http://{HOST}:{self._chip.http}"
        self.board = Board(f"rfc2217://{HOST}:{self._chip.uart.port}", url=url, control="")

    def start(self, state: State) -> None:
        """Switch the power on, with this in the flash."""
        self.flash.load(state)
        self._chip.power(True)

    def close(self) -> None:
        """End the board."""
        self._chip.stop()
        self.flash.close()

    def info(self) -> Info | None:
        """Return what the version says that serves now; None where none does."""
        with suppress(KitError):
            return OtaClient(self.board.url, virtual=True).info()

    def settled(self, *slots: str) -> Info | None:
        """Return what a confirmed version says that serves from one of the slots; None where none does in time."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            info = self.info()
            if info and info["image_state"] == "VALID" and info["running"] in slots:
                return info
            time.sleep(0.1)
        return None

    def update(self, data: bytes, is_whole: bool = True) -> requests.Response:
        """Send an image of any version, and return the answer; where it is taken, once the board goes down for it.

        Args:
            is_whole: send all of it, not only what the slot lacks.
        """
        child = self._chip.child
        for left in reversed(range(TRIES)):
            try:
                answer = self._send(data, is_whole)
                break
            except requests.ConnectionError:  # a busy computer was late for the ten seconds that a board waits
                if not left or self._chip.child is not child:
                    raise
        while answer.ok and self._chip.child is child:
            time.sleep(0.1)
        return answer

    def _send(self, data: bytes, is_whole: bool) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            parcel = entire(data, {}) if is_whole else self._changed(session, data)
            options = {"auth": ("admin", DEMO.password), "headers": parcel.headers, "timeout": PATIENCE}
            return session.request(parcel.method, f"{self.board.url}/update?force=1", data=parcel.body, **options)

    def _changed(self, session: requests.Session, data: bytes) -> Parcel:
        web = Web(self.board.url)
        web.token = session.post(f"{web.url}/login", json={"password": DEMO.password}, timeout=PATIENCE).json()["token"]
        return changed(web, data)


@contextmanager
def new_bench() -> Iterator[Bench]:
    """Make a board that is off; it ends with the block."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, closing(Bench(Path(folder, "flash.bin"))) as bench:
        yield bench


class Run(NamedTuple):
    """What a board did that was started on a state: the outcome, and the operations until it had settled."""

    state: State
    needed: Ranges
    outcome: str
    journal: tuple[Operation, ...]

    def covers(self, state: State) -> bool:
        """Tell whether a board on another state does the same."""
        return all(
            state[sector] == self.state[sector]
            or all(state[sector][start:end] == self.state[sector][start:end] for start, end in ranges)
            for sector, ranges in self.needed.items()
        )


class Experiment:
    """An update from one image to another, recorded on a virtual board of its own; some more take the cuts.

    The slot to be written holds what is hardest to tell from the new version: its app image, with another application.
    Where only what changed is sent, that differs in its last two sectors, and in the header before it.

    Attributes:
        start: the flash before the update.
        journal: the operations of the update, from its first to the confirmation.
        runs: what boards did that were started for outcomes().

    Raises:
        BoardError: the old version does not start, or the update does not go through.
    """

    def __init__(self, old: UpdateImage, new: UpdateImage, is_whole: bool = True) -> None:
        self.old, self.new, self._is_whole = old, new, is_whole
        self._slots = {slot.label: slot.offset for slot in old.base.table.slots}
        self._before = _with_another_application(new, new.application_length if is_whole else 2 * SECTOR)
        self.runs: list[Run] = []
        with new_bench() as bench:
            self.start = self._begin(bench)
            bench.flash.load(self.start)
            if not (bench.update(new.data, is_whole).ok and bench.settled(*self._slots)):
                raise BoardError(
                    "The update does not go through.", "Upload it to a virtual board, and look at its console."
                )
            self.journal = bench.flash.journal

    def _begin(self, bench: Bench) -> State:
        """Install the old version, and return the flash as it is once that serves."""
        second = list(self._slots.values())[1]
        flash = b"\xff" * FLASH_BASE + self.old.base.before_slots() + self.old.data
        bench.start(state_of(flash.ljust(second, b"\xff") + self._before))
        bench.board.install()
        if not bench.settled(*self._slots):
            raise BoardError("The old version does not start.", "Flash it to a virtual board; its console says why.")
        return bench.flash.content()

    def cuts(self) -> Iterator[tuple[int, str, str, State]]:
        """Yield number of the operation from 1 on, kind, region and state: without it, and with half of a write."""
        state = self.start
        for number, (address, data) in enumerate(self.journal, 1):
            region = next((part.label for part in self.old.base.table if part.offset <= address < part.end), "vfs")
            yield number, "erase" if data is None else "write", region, state
            if data is not None:
                yield number, "half write", region, state.after((address, data[: len(data) // 2]))
            state = state.after((address, data))

    def faults(self, chance: random.Random) -> list[Fault]:
        """Return a fault of every sector that the update touches, and two of every write: where it clears a bit."""
        found: dict[Fault, None] = {}
        state = self.start
        for address, data in self.journal:
            found[STUCK_SECTOR, address - address % SECTOR] = None
            cleared = [at for at, byte in enumerate(data or b"", address) if state.read(at, 1)[0] & ~byte]
            if cleared:
                at = chance.choice(cleared)
                found[STUCK_BIT, at] = found[LYING_READ, at] = None
            state = state.after((address, data))
        return list(found)

    def uploads(self, faults: list[Fault]) -> dict[Fault, tuple[str | None, State]]:
        """Send the update to boards that run on, with one fault after another in a slot that holds zeros, or the other
        application where only what changed is sent.

        Returns for each fault the error with which the board refuses, and the flash then. A board that takes the update
        has no error, and what was to come after that is missing.
        """
        with ThreadPoolExecutor(BENCHES) as pool:
            shares = pool.map(self._uploads, [faults[number::BENCHES] for number in range(BENCHES)])
            return {fault: answer for share in shares for fault, answer in share.items()}

    def _uploads(self, faults: list[Fault]) -> dict[Fault, tuple[str | None, State]]:
        found, second = {}, list(self._slots.values())[1]
        with new_bench() as bench:
            bench.start(self.start)
            bench.settled(*self._slots)
            for fault in faults:
                bench.flash.load(self.start)
                if self._is_whole:  # tell what is not erased from what is written
                    bench.flash.write(second, bytes(len(self.new.data)))
                bench.flash.plant(*fault, on=True)
                answer = bench.update(self.new.data, self._is_whole)
                bench.flash.plant(*fault, on=False)
                found[fault] = answer.json().get("error"), bench.flash.content()
                if answer.ok:
                    break
        return found

    def outcomes(self, states: list[State], show: Callable[[Counter[str]], None] = lambda found: None) -> list[str]:
        """Return for each state what a board does that starts on it: OLD, NEW or BROKEN.

        Args:
            show: takes, again and again, how often each outcome was found so far.
        """
        found = [BROKEN if self._has_torn_image(state) else self._known(state) for state in states]
        with ThreadPoolExecutor(BENCHES) as pool:
            while left := [number for number, outcome in enumerate(found) if outcome is None]:
                show(Counter(outcome for outcome in found if outcome))
                picked = left[:: -(-len(left) // BENCHES)]
                self.runs.extend(pool.map(self.run, [states[number] for number in picked]))  # in an order that repeats
                for number in left:
                    found[number] = self._known(states[number])
        return found

    def _known(self, state: State) -> str | None:
        return next((run.outcome for run in self.runs if run.covers(state)), None)

    def run(self, state: State) -> Run:
        """Start a board on a state; whatever it boots must serve, be whole, and take the next update."""
        with new_bench() as bench:
            bench.start(state)
            info = bench.settled(*self._slots)
            journal = tuple(bench.flash.journal)
            outcome = self.outcome(bench, info)
            if outcome != BROKEN:
                log: list[str] = []
                Bootloader(bench.flash, lambda text: None).select()  # it may give up a version that it has refused
                Bootloader(bench.flash, log.append).select()
                if log or not self._takes_an_update(bench, info["running"]):
                    outcome = BROKEN
            return Run(state, bench.flash.needed, outcome, journal)

    def outcome(self, bench: Bench, info: Info | None) -> str:
        """Return which version it is that serves: OLD or NEW where it is whole, else BROKEN."""
        for outcome, image in (OLD, self.old), (NEW, self.new):
            if info and info["version"] == image.version:
                is_whole = bench.flash.read(self._slots[info["running"]], image.size) == image.data
                return outcome if is_whole else BROKEN
        return BROKEN

    def _takes_an_update(self, bench: Bench, running: str) -> bool:
        """Send the old version, and tell whether a board that runs from this slot comes to run it from the other."""
        (other,) = self._slots.keys() - {running}
        return bench.update(self.old.data).ok and self.outcome(bench, bench.settled(other)) == OLD

    def _has_torn_image(self, state: State) -> bool:
        """Tell whether the bootloader would take a slot in which there is no whole update image."""
        for slot in self.old.base.table.slots:
            known = (self.old.data, self.new.data, self._before)
            if not any(state.read(slot.offset, len(data)) == data for data in known):
                with suppress(ValueError):
                    _appimage.verify(state.read, slot.offset, slot.size)
                    return True
        return False


def _with_another_application(image: UpdateImage, length: int) -> bytes:
    """Return the image with so many bytes at its end in another order, and a header that fits."""
    start = image.size - image.application_length
    application = image.data[start : image.size - length] + image.data[-length:][::-1]
    header = APPLICATION_HEADER.pack(APPLICATION_MAGIC, len(application), hashlib.sha256(application).digest())
    return image.data[: start - SECTOR] + header.ljust(SECTOR, b"\xff") + application
