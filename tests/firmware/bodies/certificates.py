# Runs on CPython and on MicroPython.
"""The certificate in NVS: over HTTPS and by cable, with a power cut at each operation."""

import asyncio
import json

import _chip
import _nvs
import certificate
from esp32 import NVS

OFFSET, SIZE = 0x9000, 0x4000  # of NVS


class Asked:
    """A request by HTTPS."""

    def __init__(self, texts):
        self.client = self
        self.is_tls, self.address = True, None
        self._texts = texts

    async def fields(self, only_json):
        return self._texts


def put(texts):
    asyncio.run(certificate.put(Asked(texts)))


def restart(data=None):
    """Start the chip anew, with other contents of NVS if they are given."""
    if data:
        _chip._put(OFFSET, data)
    _nvs.open_partition(OFFSET, SIZE)
    _chip.operations, _chip.cut_at = 0, None


def test_over_https(path):
    first, second, third = load(path)
    put(first)
    cut_everywhere(lambda: put(second), third)


def test_by_cable(path):
    """Where there is none yet, and where there is one."""
    first, second, third = load(path)
    assert not certificate.is_there()
    install(first)
    cut_everywhere(lambda: install(second), third)


def install(pair):
    """As board.install() does, after the settings, which open NVS."""
    exec(pair["code"], {"nvs": NVS("kit")})


def load(path):
    with open(path) as file:
        return json.load(file)


def cut_everywhere(store, third):
    """Each time the pair is the old one or the new one, whole, and a third one can be stored."""
    before = _chip.read(OFFSET, SIZE)
    old = certificate.read()
    restart()
    store()
    operations, new = _chip.operations, certificate.read()
    assert old != new
    seen = []
    for number in range(operations):
        restart(before)
        _chip.cut_at = number
        try:
            store()
        except _chip.PowerCut:
            pass
        else:
            raise AssertionError("no cut")
        restart()
        seen.append(certificate.read())
        assert seen[-1] in (old, new)
        certificate.context()
        put(third)
        assert certificate.read() not in (old, new)
        certificate.context()
    assert old in seen
