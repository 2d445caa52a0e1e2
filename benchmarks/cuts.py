"""A power cut at every flash operation of an update of real size, two at a time, and failing flash (a minute or two).

`--mutants` takes the rules out of copies of the firmware, one by one, and says which test then turns red (ten minutes):
one that stays green would show that nothing here notices. The first is no mutant, and must stay green.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from kit.faults.cuts import Cut, Cuts
from kit.faults.experiment import Experiment, Fault, State
from kit.image.standin import image_set
from kit.image.update_image import build

ROOT = Path(__file__).parents[1]
SEED, TWICE, FAULTS = 6, 100, 100

ERASE = "        self.target.ioctl(_ERASE, 0)\n"
VERIFY = "await self._verify(size, digest, size - _SECTOR if has_signature else size)\n"
COMMIT = f"""        self.progress["phase"] = "verify"
        {VERIFY}        if await body.readinto(memoryview(self._buffer)[:1]):
            raise UpdateError("SPACE", "More bytes came than were announced.")
        self._lap("verify")
        self.progress["phase"] = "commit"
        await self._commit(size, digest)
"""
SET_BOOT = "            self.target.set_boot()\n"
CHECK = "offset, length = check(reader(partition), partition.info()[3], bytearray(SECTOR))"
ON_PROBATION = "    try:\n        await asyncio.wait_for(start"
UPDATER, MAIN, SLOT = "firmware/app/updater.py", "firmware/app/main.py", "firmware/slot.py"
SELF_TEST = "firmware/app/self_test.py"
BOOTLOADER = "kit/virtual/bootloader.py"
FIRST = "        try:\n            self.target.readblocks(0, self._buffer)\n"
OPEN = "                self._open()\n                self.target.writeblocks(index, self._buffer)\n"
READ_BACK = "            if self._buffer != self._first:\n                raise"
HASHED = "        self._sha.update(view)\n"
STARTS = "    starts.clear()\n    tasks ="
# rule, file, what stands there, what the mutant has in its place
MUTANTS = (
    ("none: as it is", UPDATER, "", ""),
    ("2: first sector not erased first", UPDATER, ERASE, ""),
    ("2: first sector written first", UPDATER, ERASE, ERASE.replace("ioctl(_ERASE, 0)", "writeblocks(0, self._first)")),
    ("2: changed sectors written before", UPDATER, OPEN, OPEN.replace("                self._open()\n", "")),
    ("3: what the slot held is not hashed", UPDATER, HASHED, "        if comes:\n            self._sha.update(view)\n"),
    ("3: set_boot's refusal ignored", UPDATER, "            if refusal:\n", "            if False:\n"),
    ("7: a refusal always the image's", UPDATER, "if await self._read_back(size) == digest:", "if True:"),
    ("3: first sector not read back", UPDATER, READ_BACK, "            if False:\n                raise"),
    (
        "3: application not checked",
        UPDATER,
        "start, length = slot.check(self._read, size, self._buffer)",
        "start, length, _ = slot.find(self._read, size)",
    ),
    (
        "3: committed before verified",
        UPDATER,
        COMMIT,
        "        await self._commit(size, digest)\n        " + VERIFY,
    ),
    (
        "3: set_boot before the first sector",
        UPDATER,
        FIRST,
        FIRST.replace("try:\n", "try:\n            self._set_boot()\n"),
    ),
    ("3: set_boot twice", UPDATER, SET_BOOT, SET_BOOT * 2),
    ("3: record not read back", UPDATER, "if slot.state(self.target) != slot.NEW:", "if False:"),
    ("4: no hash at the start", SLOT, CHECK, "offset, length, _ = find(reader(partition), partition.info()[3])"),
    (
        "confirm at every start, whatever runs",
        MAIN,
        STARTS,
        "    slot.Partition.mark_app_valid_cancel_rollback()\n" + STARTS,
    ),
    ("confirm before the self-test", SELF_TEST, ON_PROBATION, "    _confirm()\n" + ON_PROBATION),
    ("never confirm", SELF_TEST, "    _confirm()\n", ""),
    ("no way back after a refused slot", UPDATER, "if Partition(Partition.BOOT).info() !=", "if False and not"),
    ("no other slot after a damaged application", "firmware/starts.py", "and _set_boot_other()", "and False"),
    ("bootloader starts NEW again and again", BOOTLOADER, "if record.state == otadata.NEW:", "if False:"),
    ("bootloader never gives up", BOOTLOADER, "if record.state == otadata.PENDING_VERIFY:", "if False:"),
)


def full() -> None:
    base = image_set()
    started = time.perf_counter()
    experiment = Experiment(build("1.0.0", base=base), build("1.1.0", base=base))
    *about, states = zip(*experiment.cuts(), strict=True)
    cuts = Cuts(tuple(map(Cut, *about, experiment.outcomes(list(states)))))
    print(cuts)
    print(f"{len(experiment.journal)} operations, {len(experiment.runs)} boards started: ", end="")
    print(f"{time.perf_counter() - started:.0f} s\n")
    found = Counter(experiment.outcomes(twice(experiment)))
    print(f"a second cut while a board recovers, {TWICE} places by chance: {dict(found)}")
    answers = experiment.uploads(some_faults(experiment)).values()
    errors, found = (
        Counter(error for error, _ in answers),
        Counter(experiment.outcomes([state for _, state in answers])),
    )
    print(f"a flash that fails, {FAULTS} places of the slot by chance: {dict(errors)}, then {dict(found)}")
    print(f"{len(experiment.runs)} boards started: {time.perf_counter() - started:.0f} s")


def some_faults(experiment: Experiment) -> list[Fault]:
    slot, chance = experiment.new.base.table.slots[1], random.Random(SEED)
    faults = [(kind, address) for kind, address in experiment.faults(chance) if slot.offset <= address < slot.end]
    return chance.sample(faults, FAULTS)


def twice(experiment: Experiment) -> list[State]:
    chance = random.Random(SEED)
    states = []
    for _ in range(TWICE):
        run = chance.choice(experiment.runs)
        state = run.state
        for operation in run.journal[: chance.randrange(1, len(run.journal) + 1)]:
            state = state.after(operation)
        states.append(state)
    return states


def mutant(file: str, there: str, instead: str) -> str:
    """Return the first test that turns red on a changed copy, GREEN when none does."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        tree = Path(name)
        for part in ("kit", "firmware", "tests"):
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        change(tree / file, there, instead)
        change(tree / "kit/faults/experiment.py", "PATIENCE = 60.0", "PATIENCE = 15.0")
        command = [sys.executable, "-m", "pytest", "-qx", "--tb=line", "tests/virtual/test_every_cut.py"]
        environment = os.environ | {"PYTHONPATH": name, "CI": "true"}
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        red = re.search(r"^(FAILED|ERROR) .*?::(\S+)", done.stdout, re.MULTILINE)
        if not red and done.returncode:
            raise RuntimeError(done.stdout)  # the tests did not even begin
        return red[2] if red else "GREEN"


def change(path: Path, there: str, instead: str) -> None:
    source = path.read_text()
    assert there in source, (path.name, there)
    path.write_text(source.replace(there, instead))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutants", action="store_true", help="take the rules out, one by one")
    if not parser.parse_args().mutants:
        return full()
    for rule, *changed in MUTANTS:
        print(f"{rule:<44} {mutant(*changed)}", flush=True)


if __name__ == "__main__":
    main()
