"""Every firmware file through mpy-cross."""

from pathlib import Path

import pytest

from kit.image.application import compile_module

FIRMWARE = Path(__file__).parents[2] / "firmware"


@pytest.mark.parametrize("path", sorted(FIRMWARE.rglob("*.py")), ids=lambda path: str(path.relative_to(FIRMWARE)))
def test_compiles(path: Path) -> None:
    assert compile_module(path.name, path.read_text()).startswith(b"M\x06")
