"""What a boot log tells: where the board is and by what certificate it is known, and nothing that a name puts there."""

from pathlib import Path

import pytest

from kit.board import boot_log
from kit.board.boot_log import read_boot_log
from kit.ota import pins

ADDRESS = "/dev/ttyUSB7"
PIN, OTHER = "AB" * 32, "CD" * 32
START = "rst:0x1 (POWERON_RESET)\r\nConnecting to WiFi: {name}\r\nWiFi connected!\r\nWeb server started\r\n{end}\r\n"
PLAIN, SECURE = "URL: http://192.168.1.5", "Certificate: SHA-256 {}\r\nURL: https://192.168.1.5"
ELSEWHERE = "http://192.168.1.66"


class Port:
    """A serial port on which a board says what it says, a line at a time."""

    in_waiting = 0

    def __init__(self, text: str) -> None:
        self._lines = text.encode().splitlines(keepends=True)

    def read(self, size: int) -> bytes:
        return self._lines.pop(0) if self._lines else b""


def colons(pin: str) -> str:
    """A fingerprint as a board prints it."""
    return ":".join(pin[at : at + 2] for at in range(0, len(pin), 2))


@pytest.fixture(autouse=True)
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this session knows of boards, and the file of pins, of one test."""
    monkeypatch.setattr(boot_log, "known_urls", {})
    monkeypatch.setattr(boot_log, "meet", lambda url, address: None)
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / name)


NAMES = [
    f"URL: {ELSEWHERE}",
    f"URL: {ELSEWHERE.replace('http', 'https')}",
    f"virtual board: port 80 is reached at {ELSEWHERE}",
    f"virtual board: port 443 is reached at {ELSEWHERE.replace('http', 'https')}",
    f"port 80 is reached at {ELSEWHERE}",
    f"Certificate: SHA-256 {colons(OTHER)}",
    ">>> URL: https:",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_wifi_that_is_called_like_an_address(name: str):
    end = f"Certificate: SHA-256 {colons(OTHER)}\r\n{PLAIN}"
    log = read_boot_log(ADDRESS, Port(START.format(name=name, end=end)))
    assert "Web server started" in log  # the name does not end it
    assert boot_log.known_urls == {ADDRESS: "http://192.168.1.5"}
    assert pins.pin_for("https://192.168.1.5") is None
    assert pins.pin_for("https://192.168.1.66") is None


@pytest.mark.parametrize("name", NAMES)
def test_a_wifi_that_is_called_like_an_address_of_a_board_with_https(name: str):
    read_boot_log(ADDRESS, Port(START.format(name=name, end=SECURE.format(colons(PIN)))))
    assert boot_log.known_urls == {ADDRESS: "https://192.168.1.5"}
    assert pins.pin_for("https://192.168.1.5") == PIN.lower()
    assert pins.pin_for("https://192.168.1.66") is None


def test_where_a_virtual_board_is_reached():
    said = "virtual board: port 80 is reached at http://127.0.0.1:8080\r\n"
    said += "virtual board: port 443 is reached at https://127.0.0.1:8443\r\n"
    for end, url in ((PLAIN, "http://127.0.0.1:8080"), (SECURE.format(colons(PIN)), "https://127.0.0.1:8443")):
        read_boot_log(ADDRESS, Port(said + START.format(name=f"port 80 is reached at {ELSEWHERE}", end=end)))
        assert boot_log.known_urls == {ADDRESS: url}
    assert pins.pin_for("https://127.0.0.1:8443") == PIN.lower()
