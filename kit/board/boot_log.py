"""What a board prints when it starts, up to where it is as far as it gets."""

import re
import time
from contextlib import suppress

import serial

from kit.board.repl import restart
from kit.ota.pins import keep_pin, pin_of
from kit.uploads import meet

UP_TIMEOUT = 30.0  # s from reset to a web server that listens; Wi-Fi takes most of it
SILENCE = 3.0  # s; the ROM speaks at once, so a board that has said nothing by then will not
# What a board prints when it is as far as it gets: its web server, the REPL, or no program at all.
CORRUPT = "filesystem appears to be corrupted"  # MicroPython's inisetup, for ever
NO_PROGRAM = r"(?:invalid header: 0x\w+\r\n){3}|No bootable app partitions[^\r\n]*\r\n"
UP = re.compile(rf"(?m:^URL: https?://\S+\r\n)|>>> $|{NO_PROGRAM}|{CORRUPT}".encode())
LOG_LIMIT = 16384  # bytes, many times what a start prints: a program that prints without an end is up
BOOT_LOOP = 6  # starts without an end: what is in flash does not boot. firmware/starts.py needs five to leave a slot
# At the beginning of a line: what a Wi-Fi is called stands behind other words.
VIRTUAL_URLS = re.compile(r"^virtual board: port \d+ is reached at ((https?)://\S+)", re.MULTILINE)
BOARD_URL = re.compile(r"^URL: ((https?)://\S+)", re.MULTILINE)
FINGERPRINT = re.compile(r"^Certificate: SHA-256 ((?:[0-9A-F]{2}:){31}[0-9A-F]{2})\r\n", re.MULTILINE)

known_urls: dict[str, str] = {}  # by address, from the boot logs of this session


class BootLog(str):
    """What a board printed; it shows itself as the text that it is."""

    def __repr__(self) -> str:
        return str(self).replace("\r\n", "\n").rstrip()


def restarted(address: str, port: serial.SerialBase) -> BootLog:
    """Restart the board on an open port, if need be by the hand of the reader, and return what it prints."""
    if restart(port):
        return read_boot_log(address, port)
    print("Press the EN button of the board: it cannot be reset over this port.")
    return read_boot_log(address, port, UP_TIMEOUT)


def read_boot_log(address: str, port: serial.SerialBase, silence: float | None = None) -> BootLog:
    """Return what a board prints until it is up, and remember the address of its web server, and the pin of its HTTPS.

    Args:
        silence: seconds after which a board that has said nothing will not; None for SILENCE.
    """
    log = BootLog(_read_until_up(port, silence or SILENCE).decode("utf-8", "replace"))
    urls = {scheme: url for url, scheme in VIRTUAL_URLS.findall(log)}
    said = BOARD_URL.search(log)
    if url := urls.get(said[2] if said else "http", said and said[1]):
        known_urls[address] = url
        meet(url, address)
        if said and said[2] == "https" and (found := FINGERPRINT.search(log)):
            with suppress(ValueError):  # what a program prints may be no address
                keep_pin(pin_of(found[1]), url)
    return log


def _read_until_up(port: serial.SerialBase, silence: float) -> bytes:
    data = b""
    started = time.monotonic()
    port.timeout = 0.05
    while not UP.search(data) and data.count(b"rst:0x") < BOOT_LOOP and len(data) < LOG_LIMIT:
        data += port.read(max(1, port.in_waiting))
        if time.monotonic() - started > (UP_TIMEOUT if data else silence):
            break
    return data
