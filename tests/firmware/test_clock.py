"""Time is counted by ticks, on both interpreters: NTP moves the clock by 26 years."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

BODY = (Path(__file__).parent / "bodies/clocks.py").read_text()
FIRMWARE = Path(__file__).parents[2] / "firmware"


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)\(\)", BODY, re.M))
def test_clock(function: str, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("clocks", function, make_flash())
    assert done.code == 0, done.output


@pytest.mark.parametrize("path", sorted(FIRMWARE.rglob("*.py")), ids=lambda path: path.name)
def test_nothing_asks_the_clock(path: Path) -> None:
    if path.name == "audit.py":  # a line of the log says what the clock shows, beside the seconds
        assert path.read_text().count("time.gmtime(time.time() - ") == 1
        return
    if path.name == "tokens.py":  # a JWT says what others' clocks shall show; its stamp counts seconds
        assert len(re.findall(r"\btime\.", path.read_text())) == 3
        return
    if path.name == "fetching.py":  # hours of the night; in their place, and without a clock, it counts seconds
        assert len(re.findall(r"\btime\.", path.read_text())) == 2
        return
    if path.name == "ntp.py":  # sets the clock, and tells what it shows
        assert path.read_text().count("RTC") == 2
        return
    assert not re.search(r"time\.(time|time_ns|localtime|gmtime|mktime)\b|from time\b|RTC", path.read_text())
