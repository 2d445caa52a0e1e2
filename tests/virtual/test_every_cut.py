"""A reduced update, of a few sectors of app image and the whole application, and what breaks it at every place."""

import json
import random
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest
import requests

from kit.faults.experiment import BENCHES, BROKEN, NEW, OLD, Bench, Experiment, State, new_bench
from kit.image import standin
from kit.image.application import firmware_dir
from kit.image.base import BaseImage
from kit.image.layout import make
from kit.image.table import MICROPYTHON_OTA
from kit.image.update_image import UpdateImage, build
from kit.ota.client import OtaClient
from kit.settings import DEMO
from kit.virtual.chip import Chip
from kit.virtual.flash import SECTOR, Flash

pytestmark = pytest.mark.timeout(600)  # dozens of boards, on a computer that may be busy

SEED = 6
DROM, IRAM = 0x3F400020, 0x40080000
NVS, OTADATA, OTA_1, VFS = 0x9000, 0xD000, 0x190000, 0x310000
SLOT, NOTES = range(OTA_1, VFS), range(NVS, OTADATA)
LOG = 40  # cuts: more than there are in what the log writes at a time


@pytest.fixture(scope="module")
def base() -> BaseImage:
    """A stand-in whose app image has four sectors."""
    descriptor = standin.image_set().app[0x20:0x120]
    app = make([(DROM, descriptor.ljust(SECTOR, b"\x55")), (IRAM, bytes(range(256)) * 32)], IRAM)
    return BaseImage(standin.bootloader(), MICROPYTHON_OTA, app, is_stand_in=True, name="reduced")


@pytest.fixture(scope="module")
def old(base: BaseImage) -> UpdateImage:
    return build("1.0.0", base=base)


@pytest.fixture(scope="module")
def experiment(base: BaseImage, old: UpdateImage) -> Experiment:
    return Experiment(old, build("1.1.0", base=base))


@pytest.fixture(scope="module")
def states(experiment: Experiment) -> list[State]:
    return [state for *_, state in experiment.cuts()]


@pytest.fixture(scope="module")
def last(experiment: Experiment) -> State:
    """The flash at the end of the update."""
    state = experiment.start
    for operation in experiment.journal:
        state = state.after(operation)
    return state


@pytest.fixture(scope="module")
def found(experiment: Experiment, states: list[State], last: State) -> list[str]:
    """What boots after each cut, and without one; on the way it is told how many are known."""
    known: list[int] = []
    outcomes = experiment.outcomes([*states, last], lambda found: known.append(found.total()))
    assert len(known) > 2
    assert known == sorted(set(known))
    return outcomes


def begin(bench: Bench, experiment: Experiment) -> None:
    """Bring a board to where the journal begins: the old version serves."""
    bench.start(experiment.start)
    bench.settled("ota_0")
    bench.flash.load(experiment.start)  # without the traces of this start


def test_a_board_made_without_power_does_not_start_late(tmp_path: Path):
    flash, said = Flash(tmp_path / "flash.bin", 0), []
    flash.powered = False
    with closing(flash):
        chip = Chip(flash, DEMO)
        chip.uart.write = said.append
        with chip._busy:  # the chip's own thread comes late, as on a loaded computer
            chip.start()
            flash.powered = True
        chip.stop()
    assert said == []


def test_a_board_leaves_nothing_behind(experiment: Experiment):
    threads = set(threading.enumerate())
    with new_bench() as bench:
        begin(bench, experiment)
        assert bench.board.reset()
        assert set(threading.enumerate()) > threads
    assert set(threading.enumerate()) == threads
    assert not bench.flash.path.parent.exists()


def test_an_answer_that_is_read_late(experiment: Experiment, monkeypatch: pytest.MonkeyPatch):
    """As on a loaded computer: by then the new version has settled."""
    send = requests.Session.request

    with new_bench() as bench:

        def send_and_wait(*arguments: object, **options: object) -> requests.Response:
            answer = send(*arguments, **options)
            assert bench.settled("ota_1")
            return answer

        begin(bench, experiment)
        monkeypatch.setattr(requests.Session, "request", send_and_wait)
        assert bench.update(experiment.new.data).ok


def test_every_cut(experiment: Experiment, found: list[str]):
    """Old or new, whole, serving, and the next update works."""
    about = [(number, kind, region) for number, kind, region, _ in experiment.cuts()]
    assert [where for where, outcome in zip(about, found, strict=False) if outcome == BROKEN] == []
    assert {region for _, _, region in about} == {"ota_1", "otadata", "nvs", "vfs"}
    # Old until set_boot has written its record. From then on new; but once it was started, only if it also confirms.
    erased = [n for n, (_, kind, region) in enumerate(about) if (kind, region) == ("erase", "otadata")]
    set_boot, probation, confirmation = erased
    assert about[set_boot - 1][2] == "ota_1"
    # Between the two stands what the old version notes of the update and of its restart.
    assert {region for _, _, region in about[set_boot + 3 : probation]} == {"nvs", "vfs"}
    new = [*range(set_boot + 3, probation + 1), *range(confirmation + 3, len(about) + 1)]
    assert [n for n, outcome in enumerate(found) if outcome == NEW] == new


def log_lines(files: dict[str, bytes], ring: str) -> list[dict]:
    """What the files of a ring of the audit log say, line after line; each is a whole one."""
    text = b"".join(data for path, data in sorted(files.items()) if path.startswith(f"/log/{ring}")).decode()
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


class OfABoardWithALog(Experiment):
    """As a board is after some use: without that it has no line yet."""

    def _begin(self, bench: Bench) -> State:
        super()._begin(bench)
        assert not bench.update(b"no image").ok
        ota = OtaClient(bench.board.url, virtual=True)
        ota.login()
        assert {entry.event for entry in ota.log()} == {"LOGIN_SUCCESS", "UPDATE_REFUSED"}
        assert not bench.update(self.new.data[:-SECTOR]).ok
        ota.log()  # it has written what waited
        return bench.flash.content()


def test_every_cut_leaves_boot_files_and_log(base: BaseImage, old: UpdateImage, files_in: Callable):
    """Boot files byte for byte, and every line that was there; of those that come, only the last ones can be missing.

    The board's own runs after a cut are those of test_every_cut.
    """
    experiment = OfABoardWithALog(old, build("1.1.0", base=base))
    *_, states = zip(*experiment.cuts(), strict=True)
    begin, end = files_in(experiment.start), files_in(states[-1].after(experiment.journal[-1]))
    others = {path: data for path, data in begin.items() if not path.startswith("/log/")}
    assert {path.name for path in firmware_dir().glob("*.py")} <= {path.removeprefix("/") for path in others}
    first, final = ({ring: log_lines(files, ring) for ring in "uv"} for files in (begin, end))
    assert all(first.values())
    assert len(final["u"]) > len(first["u"])
    looked = {}
    for state in states:
        key = tuple(map(id, state[VFS // SECTOR :]))  # states share the sectors that are alike
        if key not in looked:
            files = files_in(state)
            looked[key] = {ring: log_lines(files, ring) for ring in "uv"}
            assert {path: data for path, data in files.items() if not path.startswith("/log/")} == others
            for ring, lines in looked[key].items():
                assert lines == final[ring][: len(lines)]
                assert len(lines) >= len(first[ring])
    assert len(looked) > 10


@pytest.fixture(scope="module")
def synced(base: BaseImage, old: UpdateImage) -> Experiment:
    """An update of which only the changed sectors are sent."""
    return Experiment(old, build("1.1.0", base=base), is_whole=False)


def test_every_cut_of_changed_sectors(synced: Experiment):
    """The old version, as for a whole image; and what is missing then is no more than was, but for the first sector.

    From set_boot's record on nothing is different.
    """
    *_, regions, states = zip(*synced.cuts(), strict=True)
    states = states[: regions.index("otadata") + 3]
    touched = {address // SECTOR for address, _ in synced.journal if address in SLOT}
    assert len(touched) == 4  # the first one, the header of the application, and two of that
    assert synced.outcomes(list(states)) == [OLD] * len(states)
    first = OTA_1 // SECTOR
    image = [synced.new.data[at : at + SECTOR] for at in range(0, synced.new.size, SECTOR)]
    for state in states:
        missing = {first + number for number, data in enumerate(image) if state[first + number] != data}
        assert missing <= touched


def test_flash_that_fails_under_changed_sectors(synced: Experiment):
    faults = [(kind, address) for kind, address in synced.faults(random.Random(SEED)) if address in SLOT]
    faults.remove(("stuck_sector", OTA_1))  # which stays as it shall be
    answers = synced.uploads(faults)
    assert answers.keys() == set(faults)
    assert {error for error, _ in answers.values()} == {"UPDATE_ERROR_WRITE"}
    assert set(synced.outcomes([state for _, state in answers.values()])) == {OLD}


def sector_without_places(number: int, data: bytes) -> object:
    """A sector; of NVS its entries wherever they stand: the running board wrote some that `begin` took out again.

    Of the log nothing: its lines say at which second they were written.
    """
    if number * SECTOR >= VFS:
        return None
    is_nvs = NVS <= number * SECTOR < OTADATA
    return sorted(without_starts(data[start : start + 32]) for start in range(64, SECTOR, 32)) if is_nvs else data


def without_starts(entry: bytes) -> bytes:
    """An entry of NVS; where it counts the starts, of which `begin` was one, without that count and the CRC-32."""
    if entry[8:24].rstrip(b"\0\xff") != b"step":
        return entry
    return entry[:4] + entry[8:24] + bytes([entry[24], entry[25] & 0x0F]) + entry[28:]


def test_a_cut_in_earnest_leaves_what_the_journal_says(
    experiment: Experiment, states: list[State], wait_until: Callable
):
    def is_as_expected(cut: tuple[int, str, str, State]) -> bool:
        number, kind, _, state = cut
        with new_bench() as bench:
            begin(bench, experiment)
            bench.flash.plant("half_write" if kind == "half write" else "power_cut", number - 1, on=True)
            with suppress(requests.RequestException):
                bench.update(experiment.new.data)
            wait_until(lambda: not bench.flash.powered)
            found = [sector_without_places(*pair) for pair in enumerate(bench.flash.content())]
            # The loop writes the log by the clock, a little earlier or later among the other operations.
            at = states.index(state)
            near = states[max(0, at - LOG) : at + LOG + 1]
            return found in [[sector_without_places(*pair) for pair in enumerate(state)] for state in near]

    cuts = {region: [cut for cut in experiment.cuts() if cut[2] == region] for region in ("ota_1", "otadata", "nvs")}
    # of otadata: the first three cuts are set_boot's, the next three the bootloader's, the last the confirmation's
    some = [cuts["ota_1"][37], *(cuts["otadata"][index] for index in (2, 4, 8)), cuts["nvs"][5]]
    with ThreadPoolExecutor(BENCHES) as pool:
        assert all(pool.map(is_as_expected, some))


def test_two_cuts(experiment: Experiment, found: list[str]):
    """The second one comes while a board recovers from the first."""
    chance = random.Random(SEED)
    twice = []
    for run in chance.sample(experiment.runs, 10):
        state = run.state
        for operation in run.journal[: chance.randrange(1, len(run.journal) + 1)]:
            state = state.after(operation)
        twice.append(state)
    assert BROKEN not in experiment.outcomes(twice)


def changed(folder: Path, *changes: tuple[str, str, str]) -> Path:
    """Return a folder with the firmware's application in which texts are replaced: file, old text, new text."""
    shutil.copytree(firmware_dir() / "app", folder)
    for name, there, instead in changes:
        source = (folder / name).read_text()
        assert there in source
        (folder / name).write_text(source.replace(there, instead))
    return folder


@pytest.fixture(scope="module")
def rolled_back(base: BaseImage, old: UpdateImage, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """An update to a version that starts, and does not answer."""
    app = changed(
        tmp_path_factory.mktemp("mute") / "app",
        ("self_test.py", "_TEST_SECONDS = 60", "_TEST_SECONDS = 1"),
        ("web.py", "def info(request):\n", "def info(request):\n    raise OSError\n"),
    )
    return Experiment(old, build("1.1.0", base=base, app=app))


def test_cuts_of_an_update_that_is_rolled_back(rolled_back: Experiment):
    """Until set_boot it is an update like any other; wherever the power goes after that, the old version comes back."""
    *_, regions, states = zip(*rolled_back.cuts(), strict=True)
    after = states[regions.index("otadata") :]
    assert set(rolled_back.outcomes(random.Random(SEED).sample(after, 10))) == {OLD}


def damaged(state: State, address: int) -> State:
    """Clear the lowest bit that is set from an address on, as it happens to a flash in the course of years."""
    while not (byte := state.read(address, 1)[0]):
        address += 1
    return state.after((address, bytes([byte & (byte - 1)])))


def before_first_start(experiment: Experiment) -> State:
    """The flash when set_boot is over: the second record to be erased is the bootloader's."""
    return [state for _, kind, region, state in experiment.cuts() if (kind, region) == ("erase", "otadata")][1]


APP_IMAGE = 0x1800  # a place in it
A_TEXT = b"OTA Update System"  # of the application, which runs as well with another one


def test_a_version_that_loses_a_bit(experiment: Experiment, last: State):
    """Before its first start; or once confirmed, its application. The old version, whole, runs instead."""
    before, application = before_first_start(experiment), OTA_1 + experiment.new.data.index(A_TEXT)
    states = [damaged(before, OTA_1 + APP_IMAGE), damaged(before, application), damaged(last, application)]
    with ThreadPoolExecutor(BENCHES) as pool:
        assert [run.outcome for run in pool.map(experiment.run, states)] == [OLD] * 3


def test_way_back_after_a_refused_slot(experiment: Experiment, rolled_back: Experiment, last: State):
    """The bootloader refuses the version that otadata names; the next one, sent then, does not answer."""

    def comes_back(state: State) -> bool:
        with new_bench() as bench:
            bench.start(damaged(state, OTA_1 + APP_IMAGE))
            bench.settled("ota_0")
            assert bench.update(rolled_back.new.data).ok
            info = bench.settled("ota_0", "ota_1")
            return (info["version"], info["image_state"]) == ("1.0.0", "VALID")

    with ThreadPoolExecutor(BENCHES) as pool:
        assert all(pool.map(comes_back, [before_first_start(experiment), last]))


def test_flash_that_fails_in_the_slot(experiment: Experiment):
    """Wherever: refused, all else untouched, the old version serves, and on a good flash the next update works."""
    faults = [(kind, address) for kind, address in experiment.faults(random.Random(SEED)) if address in SLOT]
    assert len(faults) == 3 * experiment.new.size // SECTOR
    answers = experiment.uploads(faults)
    assert [fault for fault, (error, _) in answers.items() if error != "UPDATE_ERROR_WRITE"] == []
    assert answers.keys() == set(faults)
    states = [state for _, state in answers.values()]
    changed = {number for state in states for number in range(len(state)) if state[number] != experiment.start[number]}
    noted = {number for number in changed if number * SECTOR in NOTES or number * SECTOR >= VFS}
    assert changed - noted <= {address // SECTOR for _, address in faults}
    assert set(experiment.outcomes(states)) == {OLD}


def test_flash_that_fails_elsewhere(experiment: Experiment, wait_until: Callable):
    """Records of otadata, notes and count of starts, log: the board serves, with the fault and on a good flash.

    A record that is not as it was written is refused, and the old version runs on.
    """

    def with_fault(fault: tuple[str, int]) -> State:
        with new_bench() as bench:
            begin(bench, experiment)
            bench.flash.plant(*fault, on=True)
            answer = bench.update(experiment.new.data)
            if fault[0] != "stuck_sector" and OTADATA <= fault[1] < OTA_1:
                assert answer.json()["error"] == "UPDATE_ERROR_ACTIVATE"
                assert experiment.outcome(bench, bench.info()) == OLD
            else:
                assert answer.ok
            wait_until(lambda: (info := bench.info()) and info["image_state"] != "PENDING_VERIFY")
            assert experiment.outcome(bench, bench.info()) != BROKEN
            return bench.flash.content()

    faults = [(kind, address) for kind, address in experiment.faults(random.Random(SEED)) if address not in SLOT]
    assert {address // SECTOR for _, address in faults if address < OTA_1} == {NVS // SECTOR, OTADATA // SECTOR + 1}
    assert len({address // SECTOR for _, address in faults if address >= VFS}) > 2
    sectors = [fault for fault in faults if fault[0] == "stuck_sector"]
    bits = [fault for fault in faults if fault not in sectors]
    faults = sectors + random.Random(SEED).sample(bits, 24)
    with ThreadPoolExecutor(BENCHES) as pool:
        found = experiment.outcomes(list(pool.map(with_fault, faults)))
    assert [fault for fault, outcome in zip(faults, found, strict=True) if outcome == BROKEN] == []


def test_an_application_that_is_damaged_is_refused(experiment: Experiment):
    data = bytearray(experiment.new.data)
    data[-experiment.new.application_length // 2] ^= 1

    with new_bench() as bench:
        begin(bench, experiment)
        answer = bench.update(bytes(data))
        assert not [at for at, _ in bench.flash.journal if OTADATA <= at < OTADATA + 2 * SECTOR]
    assert (answer.status_code, answer.json()["error"]) == (422, "UPDATE_ERROR_ACTIVATE")


# More of these, which take minutes: benchmarks/cuts.py --mutants


def test_notices_an_updater_that_writes_the_first_sector_first(base: BaseImage, tmp_path: Path):
    there, instead = "self.target.ioctl(_ERASE, 0)", "self.target.writeblocks(0, self._first)"
    app = changed(tmp_path / "app", ("updater.py", there, instead))
    old, new = (build(version, base=base, app=app) for version in ("1.0.0", "1.1.0"))
    experiment = Experiment(old, new)
    *_, regions, states = zip(*experiment.cuts(), strict=True)
    writing = states[: regions.index("otadata")]
    assert BROKEN in experiment.outcomes(writing[-10:-5])  # the app image is whole, the application is not


def test_notices_an_application_that_confirms_whatever_runs(base: BaseImage, tmp_path: Path):
    there = "    starts.clear()\n    tasks ="  # before anybody can ask the board whether it serves
    blind = f"    slot.Partition.mark_app_valid_cancel_rollback()\n{there}"
    app = changed(tmp_path / "app", ("main.py", there, blind))
    old, new = (build(version, base=base, app=app) for version in ("1.0.0", "1.1.0"))
    experiment = Experiment(old, new)
    state = damaged(before_first_start(experiment), OTA_1 + APP_IMAGE)
    assert experiment.run(state).outcome == BROKEN
