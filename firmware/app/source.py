"""Where updates are fetched from: a manifest and the files beside it, or the releases of a GitHub repository."""

import array
import json
import struct

from errors import FetchError
from fetch import get
from micropython import const
from seldom import load

_MANIFEST = const(8192)  # bytes
_SECTOR = const(4096)
_CHIP = const("ESP32")
_HEX = const("0123456789abcdef")
_NAME = const(64)  # characters of a file's
_ASSETS = const(16)
_PIECE, _HELD = const(512), const(1024)  # bytes of GitHub's answer at a time, and of those that are looked through
_ASSET = const(b"/releases/assets/")
_JSON, _BYTES = const("application/vnd.github+json"), const("application/octet-stream")


class Found:
    """A version that a source has: `path`, `size`, `sha256` as hex digits, and `sectors`, the file of their CRC-32."""

    def __init__(self, text):
        try:
            manifest = json.loads(text)
            found = [build for build in manifest["builds"] if build.get("chipFamily") == _CHIP and "ota" in build]
            ota = found[0]["ota"]
            self.version, self.path = manifest["version"], ota["path"]
            self.size, self.sha256, self.sectors = ota["size"], ota["sha256"].lower(), ota.get("sectors")
            is_good = (
                load("judge").is_version(self.version)
                and _is_file(self.path)
                and type(self.size) is int
                and self.size > 0
            )
            is_good = is_good and len(self.sha256) == 64 and not self.sha256.strip(_HEX)
            if not is_good or (self.sectors is not None and not _is_file(self.sectors)):
                raise ValueError
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise FetchError("The manifest does not say what an update needs: version, path, size and sha256.", True)


def _is_file(path):
    is_plain = 0 < len(path) <= _NAME and min(path) > " " and max(path) <= "~"
    return is_plain and not any([mark in path for mark in "/\\?#%:"])  # noqa: C419


class Source:
    """A server that has updates. Whoever asks it holds outgoing.turn."""

    def __init__(self, url, token, certificate):
        self.host = url.split("/")[2]
        self._url, self._token, self._certificate = url, token, certificate
        self._is_github = "/repos/" in url
        self._assets = {}  # address by name, of a GitHub release

    async def find(self, version):
        """Return what the source has: the version that is asked for, else the newest."""
        name = f"manifest-{version}.json" if version else "manifest.json"
        if self._is_github:
            await self._read_release(f"tags/{version}" if version else "latest")
            name = "manifest.json"
        elif not version:
            name = self._url
        answer = await self._open(name)
        try:
            return Found(await answer.whole(_MANIFEST))
        finally:
            answer.close()

    async def sectors(self, found):
        """Return the CRC-32 of each sector, None where the source has no good ones."""
        count = (found.size + _SECTOR - 1) // _SECTOR
        if not found.sectors:
            return None
        try:
            answer = await self._open(found.sectors)
            try:
                data = await answer.whole(4 + 4 * count)
            finally:
                answer.close()
        except FetchError:
            return None
        if len(data) != 4 + 4 * count or struct.unpack_from("<I", data)[0] != count:
            return None
        crcs = array.array("I", data[4:])
        crcs[-1] ^= 1  # a signature holds its own CRC-32, so that of its sector is the same for all: it always comes
        return crcs

    def place(self, name):
        """Return the address of a file, and the headers to ask for it."""
        if not self._is_github:
            return (name if name == self._url else self._url.partition("?")[0].rpartition("/")[0] + "/" + name), {}
        if name not in self._assets:
            raise FetchError(f"The release on GitHub has no file {name}.", True)
        return self._assets[name], {"Accept": _BYTES}

    async def _open(self, name):
        url, headers = self.place(name)
        return await get(url, headers, 0, None, self._certificate, self._token)

    # GitHub's answer can have tens of kB: it is looked through for address and name of each asset, and not kept.
    async def _read_release(self, which):
        self._assets = {}
        url = "{}/releases/{}".format(self._url.rstrip("/"), which)
        answer = await get(url, {"Accept": _JSON}, 0, None, self._certificate, self._token)
        try:
            buffer, held = bytearray(_PIECE), b""
            while True:
                n = await answer.readinto(buffer)
                if not n:
                    return
                held = self._take_assets(held + bytes(memoryview(buffer)[:n]))
        finally:
            answer.close()

    def _take_assets(self, held):
        """Keep each `"url": "…/releases/assets/1", … "name": "…"` of what has come; return what may go on."""
        while True:
            at = held.find(_ASSET)
            end = held.find(b'"', at)
            begin = held.find(b'"name"', end)
            if at < 0 or end < 0 or begin < 0 or held.find(b'"', held.find(b'"', begin + 6) + 1) < 0:
                return held[-_HELD:]
            url = str(held[held.rfind(b'"', 0, at) + 1 : end], "utf-8")
            _, name, held = held[begin + 6 :].split(b'"', 2)
            server = self._url.partition("/repos/")[0] + "/repos/"  # the token goes there
            if len(self._assets) < _ASSETS and url.startswith(server):
                self._assets[str(name, "utf-8")] = url
