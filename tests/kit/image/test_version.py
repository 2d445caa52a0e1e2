import ast
import json
import random
from pathlib import Path

import pytest

from kit.errors import ImageError
from kit.image.version import check_version, is_version, precedence

ROOT = Path(__file__).parents[3]
VERSIONS = json.loads((ROOT / "tests/versions.json").read_text(encoding="utf-8"))
# https://semver.org, 11, and what it does not show
ORDER = ["0.9.10", "1.0.0-0", "1.0.0-2", "1.0.0-10", "1.0.0--", "1.0.0-0a", "1.0.0-alpha", "1.0.0-alpha.1"]
ORDER += ["1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.9.0"]
ORDER += ["1.10.0-rc.1", "1.10.0", "2.0.0", "10.0.0"]
SHUFFLED = random.Random(1).sample(ORDER, len(ORDER))


def test_the_order_of_versions():
    assert sorted(SHUFFLED, key=precedence) == ORDER


def test_a_board_sorts_them_the_same_way():
    """The board's own comparison runs here, without the modules that it has beside it."""
    source = ast.parse((ROOT / "firmware/app/judge.py").read_text("utf-8"))
    names = {"_is_number", "_is_word", "_key"}
    functions = [node for node in source.body if isinstance(node, ast.FunctionDef) and node.name in names]
    board = {"_LONGEST": 31, "_WORD": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-"}
    exec(compile(ast.Module(functions, []), "judge.py", "exec"), board)
    assert sorted(SHUFFLED, key=board["_key"]) == ORDER
    assert [version for version in VERSIONS["good"] + VERSIONS["bad"] if board["_key"](version)] == VERSIONS["good"]


def test_what_is_a_version():
    assert [version for version in VERSIONS["good"] + VERSIONS["bad"] if is_version(version)] == VERSIONS["good"]
    for other in (None, 1.0, b"1.0.0", ["1.0.0"]):
        with pytest.raises(ImageError, match="is no version of an update"):
            check_version(other)
