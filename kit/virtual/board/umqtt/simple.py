# Runs on CPython and on MicroPython.
"""An MQTT 3.1.1 client, with the interface of MicroPython's frozen `umqtt.simple`; QoS 0 and 1."""

import socket
import struct

_CONNECT, _CONNACK, _PUBLISH, _PUBACK = 0x10, 0x20, 0x30, 0x40
_SUBSCRIBE, _SUBACK, _PING, _PONG, _DISCONNECT = 0x82, 0x90, 0xC0, 0xD0, 0xE0


class MQTTException(Exception):  # noqa: N818 - its name is upstream's
    pass


def _bytes(text):
    return text.encode() if isinstance(text, str) else text


def _text(text):
    """A text as a packet has it: its length, then its bytes."""
    text = _bytes(text)
    return struct.pack("!H", len(text)) + text


class MQTTClient:
    def __init__(self, client_id, server, port=0, user=None, password=None, keepalive=0, ssl=None):
        self.client_id, self.server, self.port = client_id, server, port or (8883 if ssl else 1883)
        self.user, self.pswd, self.keepalive, self.ssl = user, password, keepalive, ssl
        self.sock = self.cb = self.lw_topic = None
        self.pid = 0

    def set_callback(self, f):
        self.cb = f

    def set_last_will(self, topic, msg, retain=False, qos=0):
        if not 0 <= qos <= 2 or not topic:
            raise AssertionError
        self.lw_topic, self.lw_msg, self.lw_qos, self.lw_retain = topic, msg, qos, retain

    def connect(self, clean_session=True, timeout=None):
        """Connect; return whether the broker has a session of before."""
        self.sock = socket.socket()
        self.sock.settimeout(timeout)
        self.sock.connect(socket.getaddrinfo(self.server, self.port)[0][-1])
        if self.ssl:
            self.sock = self.ssl.wrap_socket(self.sock, server_hostname=self.server)
        flags, payload = clean_session << 1, _text(self.client_id)
        if self.lw_topic:
            flags |= 0x04 | self.lw_qos << 3 | bool(self.lw_retain) << 5
            payload += _text(self.lw_topic) + _text(self.lw_msg)
        if self.user is not None:
            flags |= 0xC0
            payload += _text(self.user) + _text(self.pswd)
        self._send(_CONNECT, _text("MQTT") + struct.pack("!BBH", 4, flags, self.keepalive) + payload)
        answer = self.sock.read(4)
        if answer[:2] != b"\x20\x02":
            raise AssertionError
        if answer[3]:
            raise MQTTException(answer[3])
        return answer[2] & 1

    def disconnect(self):
        self._send(_DISCONNECT, b"")
        self.sock.close()

    def ping(self):
        self._send(_PING, b"")

    def publish(self, topic, msg, retain=False, qos=0):
        """Publish; with QoS 1 return once the broker has it."""
        if qos == 2:
            raise AssertionError(0)
        head = _text(topic)
        if qos:
            head += self._next_id()
        mine = self.pid
        self._send(_PUBLISH | qos << 1 | bool(retain), head + _bytes(msg))
        while qos:
            if self.wait_msg() == _PUBACK:
                self.sock.read(1)
                if struct.unpack("!H", self.sock.read(2))[0] == mine:
                    return

    def subscribe(self, topic, qos=0):
        if self.cb is None:
            raise AssertionError("Subscribe callback is not set")
        self._send(_SUBSCRIBE, self._next_id() + _text(topic) + bytes([qos]))
        while self.wait_msg() != _SUBACK:
            pass
        if self.sock.read(4)[3] == 0x80:
            raise MQTTException(0x80)

    def wait_msg(self):
        """Wait for one packet: a message goes to the callback, of others the kind is returned."""
        kind = self.sock.read(1)
        self.sock.setblocking(True)
        if kind is None:
            return None
        if kind == b"":
            raise OSError(-1)
        if kind[0] == _PONG:
            self.sock.read(1)
            return None
        if kind[0] & 0xF0 != _PUBLISH:
            return kind[0]
        body = self.sock.read(self._read_length())
        end = 2 + struct.unpack_from("!H", body)[0]
        topic, qos = body[2:end], kind[0] >> 1 & 3
        number, message = (body[end : end + 2], body[end + 2 :]) if qos else (b"", body[end:])
        self.cb(topic, message)
        if qos == 1:
            self._send(_PUBACK, number)
        elif qos == 2:
            raise AssertionError
        return kind[0]

    def check_msg(self):
        """Like wait_msg, but return at once where nothing has come."""
        self.sock.setblocking(False)
        return self.wait_msg()

    def _next_id(self):
        self.pid += 1
        return struct.pack("!H", self.pid)

    def _send(self, kind, body):
        size, length = len(body), b""
        while size > 0x7F:
            length += bytes([size & 0x7F | 0x80])
            size >>= 7
        self.sock.write(bytes([kind]) + length + bytes([size]) + body)

    def _read_length(self):
        length = shift = 0
        while True:
            byte = self.sock.read(1)[0]
            length |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return length
            shift += 7
