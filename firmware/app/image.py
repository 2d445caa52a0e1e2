"""What the app descriptor of an image says, esp_app_desc_t of ESP-IDF: it ends after 288 bytes."""

import os
import struct

from micropython import const

HEAD = const(288)
_DESCRIPTOR = const(0x20)
_DESCRIPTOR_MAGIC = const(0xABCD5432)


def is_virtual():
    """Tell whether this board is a virtual one."""
    return "virtual board" in os.uname().machine


def _text(head, offset, length):
    raw = bytes(head[offset : offset + length]).split(b"\0")[0]
    return "".join(chr(c) if 32 <= c < 127 else "?" for c in raw)


def descriptor(head):
    """Return the app descriptor in the first 288 bytes as a dict of texts, None where there is none."""
    if struct.unpack_from("<I", head, _DESCRIPTOR)[0] != _DESCRIPTOR_MAGIC:
        return None
    return {
        "version": _text(head, 0x30, 32),
        "project": _text(head, 0x50, 32),
        "build": _text(head, 0x80, 16) + " " + _text(head, 0x70, 16),
    }


def describe(partition):
    """Return the app descriptor of a slot; empty texts where it has none."""
    head = bytearray(HEAD)
    partition.readblocks(0, head, 0)
    return descriptor(head) or {"version": "", "project": "", "build": ""}
