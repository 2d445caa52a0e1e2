"""docs/release.yml: what it says of itself, and its very commands, run here by two runners and a folder for GitHub."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kit.__main__ import parser
from kit.address import resolve
from kit.image.application import new_app
from kit.security.keys import Key
from kit.security.signature import signer_digests

FILE = Path(__file__).parents[3] / "docs/release.yml"
TOOLS = Path(__file__).parent / "tools"
WORKFLOW = yaml.safe_load(FILE.read_text("utf-8"))
ON = WORKFLOW[True]  # YAML 1.1 takes `on` for a truth value; GitHub does not
JOBS = WORKFLOW["jobs"]
STEPS = [step for job in JOBS.values() for step in job["steps"]]
RUN = [step for step in STEPS if "run" in step]
PLACE = re.compile(r"\$\{\{ (.+?) \}\}")


@pytest.fixture
def repository(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A learner's: an application and a changelog."""
    folder = here / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    new_app("my_app")
    (folder / "CHANGELOG.md").write_text("## [1.1.0] - 2026-11-30\n- A green LED\n\n## 1.0.1\n- A fix\n")
    return folder


def work(step: dict, folder: Path, version: str, key: str) -> subprocess.CompletedProcess[str]:
    """Run one step as a runner does, but for a virtual board."""
    known = {
        "github.ref_name": version,
        "github.repository": "octo-team/esp32-lamp",
        "github.token": "a token",
        "secrets.KIT_SIGNING_KEY": key,
        "vars.KIT": "git+https://example.org/course",
    }
    variables = {
        name: PLACE.sub(lambda found: known[found[1]], text)
        for name, text in (WORKFLOW["env"] | step.get("env", {})).items()
    }
    path = os.pathsep.join([str(TOOLS), str(Path(sys.executable).parent), os.environ["PATH"]])
    variables |= {"KIT_BOARD": "virtual", "PATH": path, "STORE": str(folder.parent / "store")}
    command = {"python": [sys.executable, "-c"], "bash": ["bash", "-e", "-c"]}[step.get("shell", "bash")]
    environment = os.environ | variables
    return subprocess.run(
        [*command, step["run"]], cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
    )


def run_job(name: str, folder: Path, version: str, key: str) -> list[str]:
    """Run the steps of a job; return what they say, up to and with one that fails."""
    said = []
    for step in JOBS[name]["steps"]:
        if "run" in step:
            done = work(step, folder, version, key)
            said.append(done.stdout + done.stderr)
            assert key not in said[-1]
            if done.returncode:
                return [*said, f"failed: {done.returncode}"]
    return said


def commands() -> Iterator[list[str]]:
    """What stands behind each `python -m kit`."""
    for step in RUN:
        for line in re.findall(r"^python -m kit (.*)$", step["run"], re.MULTILINE):
            yield shlex.split(line)


def test_the_commands_exist():
    known = [parser().parse_args(command) for command in commands()]
    assert [arguments.command for arguments in known] == ["build", "release", "release"]


def test_a_tag_begins_it_and_a_reviewer_lets_it_go_on():
    assert ON == {"push": {"tags": ["[0-9]+.[0-9]+.[0-9]+", "[0-9]+.[0-9]+.[0-9]+-*"]}}
    assert (JOBS["main"]["needs"], JOBS["main"]["environment"]) == ("staging", "production")
    assert WORKFLOW["permissions"] == {"contents": "write"}


def test_each_step_is_explained():
    lines = FILE.read_text("utf-8").splitlines()
    before = [lines[number - 1] for number, line in enumerate(lines) if line.startswith("      - ")]
    assert len(before) == len(STEPS)
    assert all(re.fullmatch(r"      # [A-Z].*\.", line) for line in before)


def test_who_sees_what():
    """No expression stands in a command, where a tag could write code; the key is one step's, and the token gh's."""
    assert [step for step in RUN if "${{" in step["run"]] == []
    seen = {
        name: [step["run"] for step in RUN if name in step.get("env", {})] for name in ("KIT_SIGNING_KEY", "GH_TOKEN")
    }
    (sign,) = seen["KIT_SIGNING_KEY"]
    assert "kit build" in sign
    assert seen["GH_TOKEN"] == [step["run"] for step in RUN if "gh " in step["run"]]
    assert not {"KIT_SIGNING_KEY", "GH_TOKEN"} & {*WORKFLOW["env"]}


def test_what_is_released_is_for_real_boards():
    (step,) = [step for step in RUN if "kit build" in step["run"]]
    assert not resolve(step["env"]["KIT_BOARD"]).is_virtual


def test_it_works(repository: Path, here: Path, team: Key, team_file: Path):
    """1.1.0 goes to staging and from there to main; a fix of 1.0 comes later, and staging stays at 1.1.0."""
    key, store, runner = team_file.read_text(), here / "store", here / "runner"
    runner.mkdir()
    said = run_job("staging", repository, "1.1.0", key)
    assert "1.1.0 in ota_1: " in said[1]
    assert "accepted, confirmed" in said[1]
    assert said[2].rstrip().endswith("signed by KIT_SIGNING_KEY")
    assert "Release 1.1.0 in staging: " in said[4]
    assert len(said) == 6, said
    said = run_job("main", runner, "1.1.0", key)
    assert len(said) == 4, said
    names = ["esp32-ota-1.1.0.bin", "esp32-ota-1.1.0.crc32", "manifest-1.1.0.json", "manifest.json"]
    for tag in ("staging", "1.1.0"):
        assert sorted(path.name for path in (store / tag).iterdir()) == names
    for name in names:
        assert (store / "1.1.0" / name).read_bytes() == (store / "staging" / name).read_bytes()
    image = (store / "1.1.0/esp32-ota-1.1.0.bin").read_bytes()
    assert signer_digests(image) == (team.digest,)
    ota = json.loads((store / "1.1.0/manifest.json").read_bytes())["builds"][0]["ota"]
    assert ota["summary"] == "- A green LED"

    again = here / "again"
    repository.rename(again)
    for path in ("staging", "update.bin"):
        (again / path).rename(here / path)
    assert len(run_job("staging", again, "1.0.1", key)) == 6
    assert json.loads((store / "staging/manifest.json").read_bytes())["version"] == "1.1.0"
    assert (store / "staging/esp32-ota-1.0.1.bin").exists()


def test_an_application_that_fails_goes_nowhere(repository: Path, here: Path):
    """It is not even signed."""
    (repository / "my_app/main.py").write_text("def run():\n    raise ValueError('not today')\n")
    said = run_job("staging", repository, "1.1.0", "no key at all")
    assert said[-1] == "failed: 1"
    assert "RollbackError" in said[1]
    assert len(said) == 3
    assert not (here / "store").exists()


def test_without_a_key_nothing_is_released(repository: Path, here: Path):
    step = next(step for step in RUN if "kit build" in step["run"])
    done = work(step, repository, "1.1.0", "")
    assert (done.returncode, done.stdout) == (1, "")
    assert "KIT_SIGNING_KEY is not set" in done.stderr
    assert not (repository / "update.bin").exists()
