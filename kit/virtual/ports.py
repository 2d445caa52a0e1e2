"""TCP ports of the virtual board: loopback only, kept for it while nothing listens there."""

import socket
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

HOST = "127.0.0.1"


def reserve(port: int, wish: int = 0) -> tuple[ExitStack, int]:
    """Take a port (0: the wish where it is free, else one that the system chooses) without listening there.

    Connections are refused then. Returns what holds the port until it is closed, and its number. On Linux a second
    socket may bind and listen there beside it, since both say SO_REUSEADDR and this one never listens (socket(7)); but
    none of another board, since each takes a name as well. Elsewhere the port is let go at once.

    Raises:
        OSError, OverflowError: somebody has this port, or there is no such port.
    """
    if wish and not port:
        with suppress(OSError, OverflowError):
            return reserve(wish)
    with ExitStack() as held:
        holder = held.enter_context(socket.socket())
        if sys.platform != "win32":  # it would take the port of somebody who listens
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, port))
        number = holder.getsockname()[1]
        if sys.platform.startswith("linux"):
            name = held.enter_context(socket.socket(socket.AF_UNIX))
            name.bind(f"\0esp32-ota-kit port {number}")  # unix(7): in no folder, and gone with this process
        else:
            holder.close()
        return held.pop_all(), number


def ports_path(flash: Path) -> Path:
    """Return the file in which the ports of a board outlive it."""
    return flash.with_name(flash.name + ".ports")


def last_ports(flash: Path) -> list[int]:
    """Return the ports (serial, http, control, https) that the board of a flash file had; 0 where that is not known."""
    with suppress(OSError, ValueError):  # it is new, or this is no file of ours
        serial, http, control, *others = map(int, ports_path(flash).read_text().split())
        return [serial, http, control, *(others or [0])][:4]  # boards had three ports before
    return [0, 0, 0, 0]


def keep_ports(flash: Path, *ports: int) -> None:
    """Note the ports of a board for `last_ports`; where that is not possible, do without."""
    with suppress(OSError):
        ports_path(flash).write_text(" ".join(map(str, ports)))
