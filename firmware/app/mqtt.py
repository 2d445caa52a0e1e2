"""MQTT 3.1.1 for who only publishes. MicroPython's umqtt waits for ever where a broker is dead."""

import struct

from link import Link

KEEP_ALIVE = 60  # seconds after which a broker gives up who is silent, and half as many more

# First byte of a packet with its flags (sections 2.2, 3.1 to 3.14)
_CONNECT, _CONNACK, _PUBLISH, _PUBACK = 0x10, 0x20, 0x33, 0x40  # _PUBLISH: QoS 1, retained
_PINGREQ, _PINGRESP, _DISCONNECT = b"\xc0\x00", 0xD0, b"\xe0\x00"
_CLEAN, _WILL, _PASSWORD, _USER = 0x02, 0x2C, 0x40, 0x80  # _WILL: QoS 1, retained
# Return codes of CONNACK (3.2.2.3)
_REFUSALS = (
    "The broker does not speak MQTT 3.1.1.",
    "The broker refuses the name of this board.",
    "The broker is not available now.",
    "The broker refuses the password.",
    "The broker does not let this board in.",
)


class Client:
    """A connection to a broker. What goes wrong is OSError or ValueError with one clear text; then close() is left.

    Each step has the time of link.py: the connection, and each packet with its answer.
    """

    def __init__(self):
        self._link = None
        self._number = 0

    async def connect(self, place, name, will=None):
        """Connect under a name.

        Args:
            place: dict of host, port, tls, certificate, user and password, as in telling.py.
            will: topic and message, both bytes, that the broker publishes when this board has gone.
        """
        self._link = Link(place["host"])
        await self._link.connect(place["port"], place["tls"], place["certificate"])
        flags, rest = _CLEAN, _text(name.encode())
        if will:
            flags |= _WILL
            rest += _text(will[0]) + _text(will[1])
        for flag, text in ((_USER, place["user"]), (_PASSWORD, place["password"])):
            if text:
                flags |= flag
                rest += _text(text.encode())
        head = _text(b"MQTT") + struct.pack(">BBH", 4, flags, KEEP_ALIVE)
        code = (await self._ask(_packet(_CONNECT, head + rest), _CONNACK, 2))[1]
        if code:
            raise OSError(_REFUSALS[code - 1] if code <= len(_REFUSALS) else "The broker refuses this board.")

    async def publish(self, topic, message):
        """Have the broker keep a message (both bytes), and return once it has it."""
        self._number = self._number % 0xFFFF + 1
        number = struct.pack(">H", self._number)
        packet = _packet(_PUBLISH, _text(topic) + number + message)
        if await self._ask(packet, _PUBACK, 2) != number:
            raise OSError("The broker confirms what it was not sent.")

    async def ping(self):
        """Show the broker that the board is there."""
        await self._ask(_PINGREQ, _PINGRESP, 0)

    async def disconnect(self):
        """Leave, so that no will is published."""
        await self._link.send(_DISCONNECT)

    def is_gone(self):
        """Tell whether the broker has closed, or sends what nobody asked for."""
        return self._link.look() is not None

    def close(self):
        """Close the connection, if there is one."""
        if self._link:
            self._link.close()

    async def _ask(self, packet, kind, size):
        """Send a packet, and return what is in the answer, which must be of a kind and a size."""
        await self._link.send(packet)
        head = await self._read(2)
        if head[0] != kind or head[1] != size:
            raise OSError("What answers there is no MQTT broker.")
        return await self._read(size)

    async def _read(self, size):
        data = bytearray(size)
        done = 0
        while done < size:
            got = await self._link.readinto(memoryview(data)[done:])
            if not got:
                raise OSError("The broker has closed the connection.")
            done += got
        return data


def _text(data):
    return struct.pack(">H", len(data)) + data


def _packet(kind, body):
    """Return a packet: its length stands in groups of 7 bits (2.2.3)."""
    head, left = bytes([kind]), len(body)
    while left > 0x7F:
        head += bytes([left & 0x7F | 0x80])
        left >>= 7
    return head + bytes([left]) + body
