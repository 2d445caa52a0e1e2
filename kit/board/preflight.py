"""`kit.preflight`: what a board needs, checked one after the other, and the next step where something is missing."""

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass

from kit.address import NO_PORT, resolve
from kit.board.cable import disturbed
from kit.board.connection import board_at
from kit.board.loader import download_mode
from kit.board.port import open_port
from kit.errors import KitError, interruptible
from kit.shown import html_table

OK, NOT_YET, FAILED = "ok", "not yet", "failed"
HEAD = ("check", "state", "found", "next step")
NAMES = ("port", "access", "chip", "MicroPython")

# Where the board of a learner can be when no USB port is here.
HUB = (
    "Your board is plugged into your own computer, and this notebook runs on another one. There: pip install esptool, "
    "then esp_rfc2217_server -p 4000 PORT (it asks for no password: only in a network that you trust). "
    "Here: %env KIT_BOARD=rfc2217://YOUR-COMPUTER:4000?ign_set_control. This server must be able to reach it."
)
WSL = "Windows has the board. In its PowerShell: usbipd list, usbipd bind --busid ID, usbipd attach --wsl --busid ID."
CABLE = "For a real board: a USB cable made for data, on Windows and Mac also the driver of its chip (CP210x, CH340)."


@dataclass(frozen=True)
class Check:
    """One thing that a board needs: its state is "ok", "not yet" or "failed"."""

    name: str
    state: str
    found: str
    next_step: str = ""


@dataclass(frozen=True, repr=False)
class Preflight:
    """The checks that were made; after one that failed there are no more."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """No check failed."""
        return all(check.state != FAILED for check in self.checks)

    def __repr__(self) -> str:
        return "\n".join(f"{c.name:<11}  {c.state:<7}  {c.found}  {c.next_step}".rstrip() for c in self.checks)

    def _repr_html_(self) -> str:
        return html_table(((c.name, c.state, c.found, c.next_step) for c in self.checks), HEAD)


@interruptible
def preflight(address: str | None = None) -> Preflight:
    """Check port, access, chip and MicroPython of a board, and say what to do next; the board restarts meanwhile.

    Nothing is raised for a check that fails: it is in the result.

    Args:
        address: as in kit.connect.
    """
    checks: list[Check] = []
    try:
        for check in _checks(address):
            checks.append(check)
    except KitError as error:
        checks.append(Check(NAMES[len(checks)], FAILED, error.cause, error.advice))
    return Preflight(tuple(checks))


def _checks(address: str | None) -> Iterator[Check]:
    found = resolve(address)
    yield Check("port", OK, str(found), _no_port() if found.reason == NO_PORT else "")
    board = board_at(found)
    with open_port(board.address):
        pass
    yield Check("access", OK, "the port opens")
    with disturbed(board.address) as port, download_mode(port) as loader:
        chip = f"{loader.chip}, {loader.flash_size >> 20} MB of flash"
    yield Check("chip", OK, chip)
    try:
        with board.repl() as repl:
            version = repl.eval("__import__('os').uname().version")
        yield Check("MicroPython", OK, version)
    except KitError as error:
        yield Check("MicroPython", NOT_YET, error.cause, error.advice)


def _no_port() -> str:
    if os.environ.keys() & {"JUPYTERHUB_USER", "JUPYTERHUB_API_URL"}:
        return HUB
    return WSL if "microsoft" in platform.release().lower() else CABLE
