# Runs on CPython and on MicroPython.
"""An upload without a network: a file, cut, patched or lengthened."""

import asyncio
import os

import _chip
import _otadata
import updater
import web
from errors import UpdateError


class Upload:
    """The body of a request. `patch`: {offset: bytes}; `end`: where the connection breaks."""

    def __init__(self, path, patch=None, end=None, extra=0):
        self._file = open(path, "rb")  # noqa: SIM115
        self.size = os.stat(path)[6]
        self._patch = patch or {}
        self._end = self.size if end is None else end
        self._extra = extra
        self._position = 0

    async def readinto(self, view):
        await asyncio.sleep(0)
        n = min(len(view), 1460, self._end - self._position)
        if n == 0:
            n = min(len(view), self._extra)
            self._extra -= n
            return n
        view[:n] = self._file.read(n)
        for offset, data in self._patch.items():
            for index, byte in enumerate(data):
                if 0 <= offset + index - self._position < n:
                    view[offset + index - self._position] = byte
        self._position += n
        return n


def send(path, size=None, force=False, sha256=None, md5=None, **how):
    """Give an image to the updater; return its answer."""
    body = Upload(path, **how)
    return asyncio.run(updater.Updater(web.ota).receive(body, body.size if size is None else size, force, sha256, md5))


def refused(path, **how):
    """Return the name and status of the updater's refusal; whatever it is, otadata must not change."""
    before = otadata()
    try:
        answer = send(path, **how)
    except UpdateError as caught:
        error = caught
    else:
        raise AssertionError("not refused: %r" % answer)
    assert error.message[-1] == error.advice[-1] == "."
    assert web.ota.progress["error"] == error.name
    assert web.ota.progress["phase"] == "idle"
    assert otadata() == before
    return error.name[len("UPDATE_ERROR_") :], error.status


def otadata():
    """Return both records of otadata."""
    return tuple([_otadata.unpack(_chip.read(0xD000 + offset, 32)) for offset in (0, 0x1000)])
