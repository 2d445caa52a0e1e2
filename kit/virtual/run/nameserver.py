"""The name server in the virtual board's network, which programs ask by UDP: it knows what this computer knows."""

import contextlib
import socket as host
import struct
import threading

from .memory import memory

PORT = 53
MOST, MOST_ADDRESSES = 512, 8  # bytes of a message (RFC 1035, 2.3.4); what fits into one
HEADER, KIND, RECORD = map(struct.Struct, ("!6H", "!HH", "!HHHIH4s"))  # RFC 1035, 4.1.1 to 4.1.3
IS_NO_QUESTION = 0xF800  # any of these flags
ANSWER, NO_NAME = 0x8180, 0x8183  # flags
IPV4 = (1, 1)  # A, IN
OF_QUESTION, SECONDS = 0xC00C, 60  # whose address it is; how long that holds


def start_name_server(ip: str) -> int:
    """Serve from now on, as a home's router does, and return the port for it on this computer."""
    server = host.socket(type=host.SOCK_DGRAM)
    server.bind((ip, 0))
    threading.Thread(target=_serve, args=(server,), daemon=True).start()
    return server.getsockname()[1]


def _serve(server: host.socket) -> None:
    while True:
        with contextlib.suppress(ConnectionError):  # Windows tells so of an answer that nobody took
            threading.Thread(target=reply, args=(server, *server.recvfrom(MOST)), daemon=True).start()


def reply(server: host.socket, message: bytes, client: tuple) -> None:
    """Send the answer to a message, if there is one and the board can hear it."""
    if (found := answer(message)) and not memory.is_deaf:
        with contextlib.suppress(OSError):
            server.sendto(found, client)


def answer(message: bytes) -> bytes:
    """Return the answer to a message, empty where it is no question. Only IPv4 addresses are ever found."""
    try:
        number, flags, questions, *_ = HEADER.unpack_from(message)
        name, end = "", HEADER.size
        while size := message[end]:
            name += message[end + 1 : end + 1 + size].decode("ascii") + "."
            end += 1 + size
        kind, end = KIND.unpack_from(message, end + 1), end + 1 + KIND.size
    except (struct.error, IndexError, UnicodeDecodeError):
        return b""
    if flags & IS_NO_QUESTION or questions != 1:
        return b""
    try:  # an address is no name; a text would bring the tables of IDNA, which count as a program's
        found = host.gethostbyname_ex(name[:-1].encode())[2] if name.strip("0123456789.") else None
    except (OSError, ValueError):
        found = None
    flags, found = (NO_NAME, []) if found is None else (ANSWER, found[:MOST_ADDRESSES] if kind == IPV4 else [])
    records = [RECORD.pack(OF_QUESTION, *IPV4, SECONDS, 4, host.inet_aton(ip)) for ip in found]
    return HEADER.pack(number, flags, 1, len(found), 0, 0) + message[HEADER.size : end] + b"".join(records)
