"""Bring an image from a server to the updater. Loaded once one is to be fetched, in place of what has found it."""

import binascii

import fetch
import ranged
import updater
import web
from seldom import load


async def take(place, size, sha256, crcs, certificate, token):
    """Fetch and take an image; the next reset starts it. Return its version. Raises FetchError and UpdateError.

    Args:
        place: address, and headers to ask with.
        sha256: of the image, as hex digits.
        crcs: CRC-32 of each sector, None where all of it is to be fetched.
        certificate, token: as fetch.get has them.
    """
    url, headers = place

    async def ask(start, etag):
        return await fetch.get(url, headers, start, etag, certificate, token)

    ota = web.ota
    body, base = ranged.Ranged(ask, size, crcs, ota.target), ota.tag() if crcs else None
    receiving = updater.Updater(ota).receive(body, size, sha256=binascii.unhexlify(sha256), base=base)
    try:
        return (await load("led").show(receiving, ota.progress, *web.pins))["version"]
    finally:
        body.close()
