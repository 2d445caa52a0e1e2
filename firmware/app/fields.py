"""The fields in a small body. Loaded when one has come."""

import binascii
import json

from errors import HttpError
from micropython import const

_FIELDS = const(16)  # of a form
_NESTED = const(200)  # brackets of JSON: each takes memory
_PERCENT, _PLUS = const(37), const(43)


def parse(data, only_json):
    """Return the fields of a body, {} of none: those of a JSON object or of a form.

    What it is shows in itself, as curl calls every body a form. No page from elsewhere can send one: see Origin.
    """
    try:
        return _object(data) if only_json or data[:1] in (b"{", b"[") else _pairs(data)
    except (ValueError, RuntimeError):  # RuntimeError: nested too deep
        advice = 'Send name=value&name=value, or {"name": "value"}.'
        raise HttpError(400, "BAD_BODY", "The body is no form and no JSON object.", advice)


def _pairs(data):
    """Return the fields of a form as texts, of a name that comes twice the first. Raises ValueError for no form."""
    parts = data.split(b"&", _FIELDS) if data else ()
    if len(parts) > _FIELDS:
        raise ValueError
    found = {}
    for part in parts:
        name, _, value = part.partition(b"=")
        found.setdefault(_decoded(name), _decoded(value))
    return found


def _decoded(data):
    """Return the text of application/x-www-form-urlencoded bytes."""
    decoded = bytearray(len(data))
    size = at = 0
    while at < len(data):
        byte = data[at]
        if byte == _PERCENT:
            byte = int.from_bytes(binascii.unhexlify(data[at + 1 : at + 3]), "big")
            at += 2
        elif byte == _PLUS:
            byte = 32
        decoded[size] = byte
        size += 1
        at += 1
    if at > len(data):
        raise ValueError
    return _text(decoded[:size])


def _text(data):
    """Return the text in UTF-8 bytes. Raises ValueError, also for surrogates, which MicroPython takes."""
    at = data.find(b"\xed")
    while at >= 0:
        if data[at + 1 : at + 2] >= b"\xa0":
            raise ValueError
        at = data.find(b"\xed", at + 1)
    return str(data, "utf-8")


def _object(data):
    """Return the object in JSON. Raises ValueError where there is none."""
    # MicroPython takes "{" alone for a whole one.
    if data[:1] + data[-1:] != b"{}" or data.count(b"[") + data.count(b"{") > _NESTED:
        raise ValueError
    return json.loads(str(_paired(data), "utf-8"))


# MicroPython's json (extmod/modjson.c of 1.26) would leave them two, which no other way to send the text comes to.
def _paired(data):
    """Return JSON with each pair of escaped surrogates as the one character that it stands for."""
    at = data.find(b"\\")
    while at >= 0:
        high, low = _escape(data, at), _escape(data, at + 6)
        end = at + 2
        if 0xD800 <= high < 0xDC00 <= low < 0xE000:
            text = chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)).encode()
            data = data[:at] + text + data[at + 12 :]
            end = at + len(text)
        at = data.find(b"\\", end)
    return data


def _escape(data, at):
    """Return the number in an escape such as \\u20ac, 0 where there is another one or none."""
    if data[at : at + 2] != b"\\u":
        return 0
    return int.from_bytes(binascii.unhexlify(data[at + 2 : at + 6]), "big")
