"""The audit log on the board's own littlefs, beside the boot files: power cuts and bad sectors while it is written.

firmware/audit.py writes it as it is, over the virtual board's file system, for as long as many starts take: its rings
come round, and littlefs compacts and moves its folders. Whatever happens, the boot files are there at the next start.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple
from unittest.mock import patch

import pytest

from kit.faults.experiment import Operation, Recorder, State, state_of
from kit.image.application import firmware_dir
from kit.virtual.flash import SECTOR, STUCK_BIT, STUCK_SECTOR
from kit.virtual.run.littlefs import BLOCK_COUNT, BLOCK_ERASE, BLOCK_SIZE, VfsLfs2

SEED = 16
VFS, BLOCKS = 0x310000, 240
STARTS, WRITES = 24, 25  # starts, and writes to the log in each
SOME = 18  # faults of each kind in a start
FULL = 3 * 1800  # bytes that a ring keeps at least, once it was longer: three of its four files
BOOT_FILES = {f"/{path.name}": path.read_bytes() for path in sorted(firmware_dir().glob("*.py"))}
LOG_FILE = re.compile(r"/log/[uv]\d{8}")


class Blocks:
    """The partition vfs as MicroPython sees it."""

    def __init__(self, flash: Recorder) -> None:
        self._flash = flash

    def readblocks(self, block: int, buf: bytearray, offset: int = 0) -> None:
        buf[:] = self._flash.read(VFS + block * SECTOR + offset, len(buf))

    def writeblocks(self, block: int, buf: bytearray, offset: int = 0) -> None:
        self._flash.write(VFS + block * SECTOR + offset, bytes(buf))

    def ioctl(self, op: int, arg: int) -> int:
        if op == BLOCK_ERASE:
            self._flash.erase(VFS + arg * SECTOR, SECTOR)
        return {BLOCK_COUNT: BLOCKS, BLOCK_SIZE: SECTOR}.get(op, 0)


def audit_on(fs: VfsLfs2, boot: int) -> ModuleType:
    """The board's audit.py in a start: with its file system, and a clock that stands still."""
    stubs = {
        "slot": SimpleNamespace(LOG="/log/"),
        "starts": SimpleNamespace(STEP="step"),
        "esp32": SimpleNamespace(NVS=lambda _: SimpleNamespace(get_i32=lambda _: boot << 12)),
        "micropython": SimpleNamespace(const=lambda value: value),
    }
    module = ModuleType("audit")
    with patch.dict(sys.modules, stubs):
        exec((firmware_dir() / "audit.py").read_text(), vars(module))
    files = {"mkdir": fs.mkdir, "stat": fs.stat, "remove": fs.remove}
    module.os = SimpleNamespace(listdir=lambda folder: [name for name, *_ in fs.ilistdir(folder)], **files)
    module.open = fs.open
    module.time = SimpleNamespace(time=lambda: 0, gmtime=lambda _: (2026, 11, 30, 12, 0, 0))
    return module


Event = tuple[int, str, str | None, tuple]


def events_of(boot: int) -> list[list[Event]]:
    """What the application writes in a start, write after write."""
    chance = random.Random(SEED + boot)

    def event(uptime: int) -> Event:
        if chance.random() < 0.4:
            return uptime, "UPDATE_START", "192.168.1.7", (("version", f"1.{boot}.{uptime}"), ("bytes", 1_400_000))
        return uptime, "LOGIN_SUCCESS", "192.168.1.7", (("count", chance.randrange(10**9)),) * chance.randrange(2)

    return [[event(uptime) for _ in range(chance.choice((1, 1, 1, 3)))] for uptime in range(WRITES)]


def lines_of(module: ModuleType, boot: int, events: list[Event]) -> dict[str, list[str]]:
    """The lines of some events by their ring, as audit.py makes them."""
    found = {"u": [], "v": []}
    for event in events:
        found["u" if dict(event[3]).get("version") else "v"].append(module._line(boot, event[0], *event))
    return found


class Write(NamedTuple):
    """One write to the log: the operations done at its end, and the lines until then."""

    end: int
    lines: dict[str, list[str]]


class Story(NamedTuple):
    """What a board does with its flash in some starts.

    Attributes:
        state: the flash before.
        journal: the operations.
        writes: all writes.
        starts: the operations done when each start begins, and the flash then.
    """

    state: State
    journal: list[Operation]
    writes: list[Write]
    starts: list[tuple[int, State]]


@contextmanager
def new_flash(folder: Path, state: State) -> Iterator[Recorder]:
    with closing(Recorder(folder / "flash.bin", 0)) as flash:
        flash.load(state)
        yield flash


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    with new_flash(tmp_path_factory.mktemp("story"), state_of(b"")) as flash:
        VfsLfs2.mkfs(Blocks(flash))
        fs = VfsLfs2(Blocks(flash))
        for name, data in BOOT_FILES.items():  # as board.install() writes them
            with fs.open(name, "wb") as file:
                for at in range(0, len(data), 1024):
                    file.write(data[at : at + 1024])
        state = flash.content()
        flash.load(state)
        writes, starts = [], []
        for boot in range(STARTS):
            starts.append((len(flash.journal), flash.content()))
            audit = audit_on(VfsLfs2(Blocks(flash)), boot)
            for events in events_of(boot):
                audit.write(events, events[0][0])
                writes.append(Write(len(flash.journal), lines_of(audit, boot, events)))
        return Story(state, flash.journal, writes, starts)


def log_in(files: dict[str, bytes]) -> dict[str, list[str]]:
    """The lines of each ring, the oldest first; whole ones."""
    rings = {}
    for ring in "uv":
        text = b"".join(data for path, data in sorted(files.items()) if path.startswith(f"/log/{ring}")).decode()
        assert text.endswith("\n") or not text
        rings[ring] = text.splitlines(keepends=True)
        assert all(isinstance(json.loads(line), dict) for line in rings[ring])
    return rings


def assert_starts(files: dict[str, bytes]) -> None:
    """Boot files byte for byte, and nothing else but the log, which keeps to its size."""
    others = {path: data for path, data in files.items() if not LOG_FILE.fullmatch(path)}
    assert others == BOOT_FILES
    assert all(len(data) <= 2048 for path, data in files.items() if path.startswith("/log/"))


def assert_log_is(found: dict[str, list[str]], story: Story, operations: int) -> None:
    """All that was written before so many operations, but for what is older than a ring; and of the write that was
    under way what came first."""
    for ring in "uv":
        done = [line for write in story.writes if write.end <= operations for line in write.lines[ring]]
        begun = next((write.lines[ring] for write in story.writes if write.end > operations), [])
        more = len(found[ring]) and next(
            (n for n in range(len(begun), -1, -1) if found[ring] == (done + begun[:n])[-len(found[ring]) :]), None
        )
        assert more is not None, (ring, operations)
        size = sum(map(len, found[ring]))
        assert size >= min(FULL, sum(map(len, done))), (ring, operations, size)


def test_the_story_has_all_of_it(story: Story, files_in: Callable):
    """Rings that come round, folders that littlefs compacts, and moves to other sectors."""
    assert len(story.writes) == STARTS * WRITES
    assert all(sum(len(line) for write in story.writes for line in write.lines[ring]) > 2.5 * 8192 for ring in "uv")
    final = story.state
    for operation in story.journal:
        final = final.after(operation)
    assert_log_is(log_in(files_in(final)), story, len(story.journal))
    assert min(int(path[6:]) for path in files_in(final) if LOG_FILE.fullmatch(path)) > 3
    erased = [address for address, data in story.journal if data is None]
    assert len(set(erased)) > BLOCKS / 2  # it goes about the whole partition


def test_power_cuts(story: Story, files_in: Callable):
    """In place of every erase and of what follows it, and of many other operations; in the middle of writes too."""
    erases = {number for number, (_, data) in enumerate(story.journal) if data is None}
    chosen = erases | {number + 1 for number in erases}
    chosen |= set(random.Random(SEED).sample(range(len(story.journal)), 400))
    state = story.state
    looked = 0
    for number, (address, data) in enumerate(story.journal):
        if number in chosen:
            for cut in [state] if data is None else [state, state.after((address, data[: len(data) // 2]))]:
                files = files_in(cut)
                assert_starts(files)
                assert_log_is(log_in(files), story, number)
                looked += 1
        state = state.after((address, data))
    assert looked > 700


def test_the_log_goes_on_after_a_cut(story: Story, files_in: Callable, tmp_path: Path):
    chance = random.Random(SEED)
    chosen = sorted(chance.sample(range(len(story.journal)), 60))
    state, done = story.state, 0
    with new_flash(tmp_path, state) as flash:
        for number in chosen:
            for operation in story.journal[done:number]:
                state = state.after(operation)
            done = number
            address, data = story.journal[number]
            flash.load(state if data is None else state.after((address, data[: len(data) // 2])))
            before = log_in(files_in(flash.content()))
            audit = audit_on(VfsLfs2(Blocks(flash)), STARTS)
            for events in events_of(STARTS)[:3]:
                audit.write(events, 1)
            files = files_in(flash.content())
            assert_starts(files)
            for ring, found in log_in(files).items():
                new = [line for events in events_of(STARTS)[:3] for line in line_list(audit, events, ring)]
                assert found == (before[ring] + new)[-len(found) :]
                assert found[-len(new) :] == new or not new


def line_list(audit: ModuleType, events: list[Event], ring: str) -> list[str]:
    return [
        audit._line(STARTS, 1, *event)
        for event in events
        if (dict(event[3]).get("version") is not None) == (ring == "u")
    ]


def faults_of(story: Story, boot: int) -> list[tuple[str, int]]:
    """Sectors that a start erases, to stick, and bits of what it writes, one in a sector: some of them, and all in the
    two sectors of the root folder, which has the boot files."""
    first, state = story.starts[boot]
    last = story.starts[boot + 1][0] if boot + 1 < STARTS else len(story.journal)
    chance = random.Random(SEED + boot)
    sectors, bits = {}, {}
    for address, data in story.journal[first:last]:
        if data is None:
            sectors[address] = None
        cleared = [at for at, byte in enumerate(data or b"", address) if state.read(at, 1)[0] & ~byte]
        if cleared and (address // SECTOR not in bits or chance.random() < 0.05):
            bits[address // SECTOR] = chance.choice(cleared)
        state = state.after((address, data))
    found = [(STUCK_SECTOR, at) for at in sectors], [(STUCK_BIT, at) for at in bits.values()]
    some = {fault for faults in found for fault in chance.sample(faults, min(SOME, len(faults)))}
    return sorted(some | {fault for faults in found for fault in faults if fault[1] < VFS + 2 * SECTOR})


@pytest.mark.parametrize("boot", [0, 9, 23])
def test_failing_sectors(story: Story, files_in: Callable, boot: int, tmp_path: Path):
    """The log may end there; what starts the board stays, with the fault and on a good flash."""
    _, state = story.starts[boot]
    faults = faults_of(story, boot)
    assert {kind for kind, _ in faults} == {STUCK_SECTOR, STUCK_BIT}
    assert len(faults) >= 2 * SOME
    assert boot or any(at < VFS + 2 * SECTOR for _, at in faults)  # the first start makes the folder of the log
    lost = 0
    with new_flash(tmp_path, state) as flash:
        for fault in faults:
            flash.load(state)
            flash.plant(*fault, on=True)
            audit = audit_on(VfsLfs2(Blocks(flash)), boot)
            for events in events_of(boot):
                try:
                    audit.write(events, events[0][0])
                except OSError:  # starts.quietly says so, and goes on
                    lost += 1
            for found in files_in(flash), files_in(flash.content()):  # at the next start, on the same flash
                assert BOOT_FILES.items() <= found.items(), fault
            flash.plant(*fault, on=False)
    assert lost < len(faults) * WRITES / 2  # littlefs goes round most of them
