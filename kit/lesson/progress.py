"""What a learner has done, kept in the folder that was laid out for them."""

import contextlib
import json
from pathlib import Path

from kit.image.file import write_whole

FILE = "progress.json"
RECORD = ".lessons.json"  # stands in a folder that was laid out, and nowhere else


def note(check: str, state: str) -> None:
    """Keep the state of a check, such as "02-slot", in the folder of its notebook; what was right stays right.

    Nothing is kept in a folder that was not laid out, as that of a checkout, or where nothing can be written.
    """
    states = noted()
    if not Path(RECORD).is_file() or states.get(check) in ("right", state):
        return
    with contextlib.suppress(OSError):
        write_whole(Path(FILE), json.dumps(states | {check: state}, indent=1).encode())


def noted() -> dict[str, str]:
    """Return the states of checks, by id; a file that is missing or broken counts as nothing done."""
    try:
        states = json.loads(Path(FILE).read_bytes())
        return {check: state for check, state in states.items() if isinstance(state, str)}
    except (OSError, ValueError, AttributeError, RecursionError):  # ValueError: no JSON, AttributeError: another JSON
        return {}
