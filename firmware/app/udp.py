"""A question that goes out as one packet, and the answer that comes as one."""

import asyncio
import socket
import time

_LONGEST = 512  # bytes of an answer: what DNS allows (RFC 1035, 2.3.4)
_PAUSE = 0.05  # seconds; asyncio's streams know no UDP


async def ask(address, port, question, read, waits):
    """Return what `read` makes of an answer, None if none comes.

    Packets that others send are thrown away, and so are those of which `read` makes None.

    Args:
        address: four numbers with dots; getaddrinfo would block for a name.
        read: function of the bytes of a packet; what it raises ends all.
        waits: seconds to wait for an answer, each after the question was sent once more.
    """
    target = socket.getaddrinfo(address, port)[0][-1]
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        link.setblocking(False)
        for wait in waits:
            _send(link, question, target)
            start = time.ticks_ms()
            while time.ticks_diff(time.ticks_ms(), start) < wait * 1000:
                await asyncio.sleep(_PAUSE)
                try:
                    data, sender = link.recvfrom(_LONGEST)
                except OSError:  # nothing there
                    continue
                answer = read(data) if sender == target else None
                if answer is not None:
                    return answer
    finally:
        link.close()


def _send(link, question, target):
    try:
        link.sendto(question, target)
    except OSError:
        pass  # as good as lost on the way
