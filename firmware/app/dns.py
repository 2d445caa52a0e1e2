"""Addresses of names, from the name server of the Wi-Fi (RFC 1035).

socket.getaddrinfo stops all else for many seconds where no name server answers.
"""

import os

import network
import udp
from micropython import const

PORT = 53
WAITS = (1, 2, 2)  # seconds, one for each time that the question is sent

_HEAD = const(12)  # bytes, of a packet
_ASKS = const(b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00")  # recursion desired; one question, and nothing else
_ADDRESS = const(b"\x00\x01\x00\x01")  # type A, class IN
_POINTER = const(0xC0)  # from here on a length is a place where the name goes on, and ends here


async def resolve(name):
    """Return the IPv4 address of a name as text, without a question where it is one already. Raises OSError."""
    if _is_address(name):
        return name
    if name == "localhost":
        return "127.0.0.1"
    question = os.urandom(2) + _ASKS + _labels(name) + _ADDRESS

    def read(answer):
        return _read(answer, question, name)

    server = network.WLAN(network.STA_IF).ifconfig()[3]
    address = await udp.ask(server, PORT, question, read, WAITS)
    if not address:
        raise OSError(f"The name server {server} does not answer. Nobody knows the address of {name}.")
    return address


def _is_address(name):
    parts = name.split(".")
    return len(parts) == 4 and all(part.isdigit() and len(part) < 4 and int(part) < 256 for part in parts)


def _labels(name):
    """Return a name as a packet has it."""
    data = b""
    for label in name.rstrip(".").split("."):
        text = label.encode()
        if not 0 < len(text) < 64 or min(text) < 33 or max(text) > 126:
            raise OSError(f"{name[:80]!r} is no name of a computer.")
        data += bytes([len(text)]) + text
    if len(data) > 254:
        raise OSError(f"{name[:80]!r}... is too long for the name of a computer.")
    return data + b"\x00"


def _read(answer, question, name):
    """Return the first address of an answer, None if it is not one to this question. Raises OSError if it has none.

    Whose addresses they are is not looked at: the server was asked for one name, and has followed its aliases.
    """
    end = len(question)
    if answer[:2] != question[:2] or answer[4:6] != question[4:6] or answer[_HEAD:end] != question[_HEAD:]:
        return None
    if answer[2] < 0x80:  # a question
        return None
    problem = answer[3] & 15
    if problem:
        what = "knows no" if problem == 3 else "cannot answer for"
        raise OSError(f"The name server {what} {name} (code {problem}).")
    try:
        for _ in range(answer[6] << 8 | answer[7]):
            while 0 < answer[end] < _POINTER:
                end += 1 + answer[end]
            end += 2 if answer[end] else 1
            size = answer[end + 8] << 8 | answer[end + 9]
            if answer[end : end + 4] == _ADDRESS and size == 4:
                return ".".join([str(answer[end + n]) for n in range(10, 14)])
            end += 10 + size
    except IndexError:
        return None
    raise OSError(f"The name server gives no IPv4 address of {name}.")
