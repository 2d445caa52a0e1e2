"""Who connects to a server on this computer: on Linux it can be told, and only this user's own programs are let in."""

import os
import re
import socket
import struct
import sys
from pathlib import Path

# The kernel's tables of connections (proc_net_tcp.txt); the second has who connects to 127.0.0.1 as ::ffff:127.0.0.1.
TABLES = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
MAPPED = "0000000000000000FFFF0000" if sys.byteorder == "little" else "00000000000000000000FFFF"
NETLINK_SOCK_DIAG, BY_FAMILY, REQUEST, ANY = 4, 20, 1, 0xFFFFFFFF  # linux/netlink.h, linux/sock_diag.h
IS_LINUX = sys.platform.startswith("linux")


def is_own(connection: socket.socket) -> bool:
    """Tell whether a program of this user is at the other end of an accepted connection; True where nobody knows."""
    if not IS_LINUX:
        return True
    try:
        ends = connection.getpeername(), connection.getsockname()
    except OSError:
        return False  # it has gone
    uid = asked_owner(*ends)
    if uid is not None:
        return uid == os.geteuid()
    table = _read(TABLES[0])
    if not table:
        return True
    uid = owner(table, *ends)
    return (owner(_read(TABLES[1]), *ends, MAPPED) if uid is None else uid) == os.geteuid()


def asked_owner(here: tuple[str, int], there: tuple[str, int]) -> int | None:
    """Return the user ID of the program at one end of a connection, as the kernel tells of this one (sock_diag(7)).

    The table costs it milliseconds, and can lack a connection while others come and go. None where it tells nothing.
    """
    ports, addresses = (here[1], there[1]), (socket.inet_aton(end[0]) for end in (here, there))
    request = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, ANY)  # inet_diag_req_v2
    request += struct.pack("!HH4s12x4s12x", *ports, *addresses) + struct.pack("=III", 0, ANY, ANY)  # inet_diag_sockid
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as kernel:
            kernel.sendto(struct.pack("=IHHII", 16 + len(request), BY_FAMILY, REQUEST, 0, 0) + request, (0, 0))
            answer = kernel.recv(4096)
        (kind,), (uid, inode) = struct.unpack_from("=H", answer, 4), struct.unpack_from("=II", answer, 80)
    except (OSError, struct.error):
        return None
    return uid if kind == BY_FAMILY and inode else None  # no error; without a program it would be called root's


def owner(table: str, here: tuple[str, int], there: tuple[str, int], prefix: str = "") -> int | None:
    """Return the user ID of the program at one end of a connection.

    None where there is no such connection, or no program any more: the kernel would call that one root's.
    """
    row = re.search(rf" {prefix}{_hex(*here)} {prefix}{_hex(*there)} .*", table)
    _, _, _, _, _, _, uid, _, inode, *_ = row[0].split() if row else "0" * 9
    return int(uid) if inode != "0" else None


def say_where_unchecked() -> None:
    """Say so on stderr where the table cannot be read, and everybody is let in."""
    if IS_LINUX and not _read(TABLES[0]):
        print(f"{TABLES[0]} cannot be read: all users of this computer reach this board.", file=sys.stderr)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _hex(ip: str, port: int) -> str:
    return f"{int.from_bytes(socket.inet_aton(ip), sys.byteorder):08X}:{port:04X}"
