"""POST /update: what is announced, and what is answered. Loaded when an image comes."""

import binascii

import auth
import web
from errors import UpdateError
from seldom import load


async def take(request):
    """Give the image to the updater, and return the answer to its sender."""
    body, size, sha256, md5 = await _announced(request)
    ota = web.ota
    if not ota.is_busy():
        ota.token = auth.token_of(request) or None
    receiving = load("updater").Updater(ota).receive(body, size, request.query.get("force") == "1", sha256, md5)
    result = await load("led").show(receiving, ota.progress, *web.pins)
    web.restart_soon()
    if web.is_browser(request):
        text = "Version {version} is in {slot}: {bytes} bytes.".format(**result)
        return load("page").message(text, "The board restarts into it.", 200, {"Refresh": "15; url=./"})
    return result


# `x-MD5: HEX`, which the Arduino world has, is the file's; `Content-Digest: sha-256=:BASE64:` (RFC 9530) is the body's.
async def _announced(request):
    """Return where the image is read from, its size, and the SHA-256 and MD5 that are announced, None without."""
    if not auth.is_password_set():
        raise UpdateError("PASSWORD", "The default password was never changed.")
    headers = request.headers
    body, sha256, md5 = request.client, headers.get("content-digest", ""), headers.get("x-md5")
    if headers.get("content-type", "").lower().startswith("multipart/"):
        body, sha256 = await load("multipart").open_file(body), ""
    _, is_sha256, sha256 = sha256.partition("sha-256=")  # digests of other kinds are not for us
    try:
        sha256 = _whole(binascii.a2b_base64(sha256.split(":")[1]), 32) if is_sha256 else None
        md5 = _whole(binascii.unhexlify(md5), 16) if md5 is not None else None
    except (ValueError, IndexError):
        raise UpdateError("MD5", "The announced digest cannot be read.", "Send 32 hex digits, or sha-256=:BASE64:.")
    return body, body.left, sha256, md5


def _whole(digest, length):
    if len(digest) != length:
        raise ValueError
    return digest
