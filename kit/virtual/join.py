"""Join the virtual board of this user: the one that runs already, or a new one that ends with its last user."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from kit.errors import BoardError
from kit.virtual.__main__ import IN_USE
from kit.virtual.control import register_path
from kit.virtual.mac import OWN_FILE

PATIENCE = 20.0  # s; a board is ready in well under one
KNOCK = 0.3  # s; on this computer a port answers at once
_leases: list[HTTPResponse] = []  # held open until this process ends, by whatever cause


def flash_file() -> Path:
    """Return the flash file of this user's virtual board: KIT_FLASH, else one in the user's data folder."""
    if named := os.environ.get("KIT_FLASH"):
        return Path(named).expanduser().absolute()
    return OWN_FILE


def join() -> dict[str, str]:
    """Return the addresses (serial, http, control) of the virtual board, which is started where none runs.

    Raises:
        BoardError: it does not start.
    """
    file = flash_file()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if addresses := _lease(file):
            return addresses
        _start(file)
    raise BoardError(
        "The virtual board does not answer.", "Restart the kernel; if that does not help, restart the computer."
    )


def running() -> list[dict[str, str]]:
    """Return the addresses of all virtual boards that run and keep their flash file beside this user's."""
    boards = []
    for register in sorted(register_path(flash_file()).parent.glob("*.board")):
        with suppress(OSError, ValueError, KeyError, TypeError):  # no register, or one that a killed board left
            addresses = json.loads(register.read_text())
            control = urlsplit(addresses["control"])
            socket.create_connection((control.hostname, control.port), timeout=KNOCK).close()
            boards.append(addresses)
    return boards


def proxies() -> list[str]:
    """Return the names by which browsers ask for a board on a hub: its proxy passes them on."""
    places = (os.environ.get(name, "") for name in ("KIT_PROXY", "JUPYTERHUB_PUBLIC_URL", "JUPYTERHUB_HOST"))
    return sorted({name for place in places if (name := urlsplit(place).hostname)})


def _lease(file: Path) -> dict[str, str] | None:
    """Take a share in the board that the register names, if it runs."""
    try:
        addresses = json.loads(register_path(file).read_text())
        past_proxies = build_opener(ProxyHandler({}))
        _leases.append(past_proxies.open(f"{addresses['control']}/lease", timeout=5))  # the answer holds the socket
    except (OSError, ValueError, KeyError, HTTPException):
        return None  # no register, half a register, or one that a killed board left behind, or that ends now
    return addresses


def _start(file: Path) -> None:
    """Start a board and return when it is ready, or when somebody else turns out to have started it."""
    command = [sys.executable, "-P", "-m", "kit.virtual", "--leased", "--flash", str(file)]
    command += [f"--host={name}" for name in proxies()]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,  # interrupting a notebook's cell must not reach the board
    )
    for line in process.stdout:
        if line.startswith("control:"):
            return
    if process.wait() == IN_USE:
        time.sleep(0.1)  # its owner is still starting or stopping; the caller asks again
        return
    raise BoardError("The virtual board does not start.", process.stderr.read().strip() or "Is the disk full?")
