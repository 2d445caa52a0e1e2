import pytest

from kit.address import NO_PORT, Address, resolve
from kit.errors import AddressError


class Port:
    """One of those that pyserial lists."""

    def __init__(self, device: str, vid: int | None) -> None:
        self.device, self.vid = device, vid


CP210X, CH340 = Port("/dev/ttyUSB1", 0x10C4), Port("/dev/ttyUSB0", 0x1A86)
MODEM, MOUSE = Port("/dev/ttyACM0", 0x1234), Port("/dev/ttyS0", None)


@pytest.fixture(autouse=True)
def _no_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("KIT_BOARD")


@pytest.mark.parametrize(
    ("ports", "address"),
    [
        ([], Address("virtual", NO_PORT)),
        ([MODEM, MOUSE], Address("virtual", NO_PORT)),
        ([MODEM, CP210X], Address("/dev/ttyUSB1", "the only USB serial port that could be an ESP32")),
    ],
)
def test_the_only_board_is_taken(monkeypatch: pytest.MonkeyPatch, ports: list[Port], address: Address):
    monkeypatch.setattr("kit.address.list_ports.comports", lambda: ports)
    assert resolve() == address


def test_several_boards_are_listed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.address.list_ports.comports", lambda: [CP210X, CH340])
    with pytest.raises(AddressError, match=r"/dev/ttyUSB0, /dev/ttyUSB1\. Name one: kit\.connect\(\"/dev/ttyUSB0\"\)"):
        resolve()
    assert resolve("/dev/ttyUSB1") == Address("/dev/ttyUSB1", "asked for")
    monkeypatch.setenv("KIT_BOARD", "COM5")
    assert resolve() == Address("COM5", "KIT_BOARD")


@pytest.mark.parametrize("address", [5, b"/dev/ttyUSB0", ["/dev/ttyUSB0"], object()])
def test_an_address_is_a_text(address: object):
    with pytest.raises(AddressError, match="is not an address"):
        resolve(address)
