"""The one address at which a board is found: a serial port, a pyserial URL, or "virtual"."""

import os
from dataclasses import dataclass

from serial.tools import list_ports

from kit.errors import AddressError

# USB vendors of the serial chips on ESP32 boards: Silicon Labs CP210x, WCH CH340, FTDI, Espressif's own bridge.
USB_VENDORS = {0x10C4, 0x1A86, 0x0403, 0x303A}

NO_PORT = "no USB serial port was found"


@dataclass(frozen=True)
class Address:
    """Where a board is, and why it is this one."""

    text: str
    reason: str

    @property
    def is_virtual(self) -> bool:
        return self.text == "virtual"

    def __str__(self) -> str:
        name = "virtual board" if self.is_virtual else f"board at {self.text}"
        return f"{name} ({self.reason})"


def resolve(address: str | None = None) -> Address:
    """Return the address of the board to use.

    The address itself, else the variable KIT_BOARD, else the only USB serial port that could be an ESP32, else
    "virtual".

    Raises:
        AddressError: several boards could be meant; it lists them.
    """
    if address is not None and not isinstance(address, str):
        raise AddressError(f"{address!r} is not an address.", 'Give a text, such as "/dev/ttyUSB0" or "virtual".')
    if address:
        return Address(address, "asked for")
    if from_environment := os.environ.get("KIT_BOARD"):
        return Address(from_environment, "KIT_BOARD")
    ports = sorted(port.device for port in list_ports.comports() if port.vid in USB_VENDORS)
    if len(ports) > 1:
        raise AddressError(
            f"Several boards could be meant: {', '.join(ports)}.",
            f'Name one: kit.connect("{ports[0]}"), or set KIT_BOARD.',
        )
    if ports:
        return Address(ports[0], "the only USB serial port that could be an ESP32")
    return Address("virtual", NO_PORT)
