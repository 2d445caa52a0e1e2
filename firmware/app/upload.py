"""POST /update: what is announced, and what is answered. Loaded when an image comes."""

import binascii

import auth
import boot_files
import web
from errors import UpdateError
from seldom import load


async def take(request):
    """Give the image, or what changed of it, to the updater, and return the answer to its sender."""
    try:
        return await _take(request)
    except UpdateError as error:
        boot_files.log("UPDATE_REFUSED", request.client.address, error=error.name, **error.update)
        raise


async def _take(request):
    body, size, sha256, md5, base = await _announced(request)
    ota = web.ota
    if not ota.is_busy():
        ota.token, ota.address = auth.token_of(request) or None, request.client.address
    is_forced = request.query.get("force") == "1"
    receiving = load("updater").Updater(ota).receive(body, size, is_forced, sha256, md5, base)
    result = await load("led").show(receiving, ota.progress, *web.pins)
    web.restart_soon()
    if web.is_browser(request):
        text = "Version {version} is in {slot}: {bytes} bytes.".format(**result)
        return load("page").message(text, "The board restarts into it.", 200, {"Refresh": "15; url=./"})
    return result


# `x-MD5: HEX`, which the Arduino world has, is the file's; `Content-Digest: sha-256=:BASE64:` is the body's, and
# `Repr-Digest` of the same form that of the image which the body changes the slot to (RFC 9530).
async def _announced(request):
    """Return where the image is read from, its size, its SHA-256 and MD5, None without, and what it is based on."""
    if not auth.is_password_set():
        raise UpdateError("PASSWORD", "The default password was never changed.")
    headers = request.headers
    body, base, sha256 = request.client, None, headers.get("content-digest", "")
    if request.method == "PATCH":
        base, sha256 = headers.get("if-match", ""), headers.get("repr-digest", "")
        body, size = _changes(body, headers.get("content-type", ""))
    elif headers.get("content-type", "").lower().startswith("multipart/"):
        body, sha256 = await load("multipart").open_file(body), ""
    _, is_sha256, sha256 = sha256.partition("sha-256=")  # digests of other kinds are not for us
    try:
        sha256 = _whole(binascii.a2b_base64(sha256.split(":")[1]), 32) if is_sha256 or base is not None else None
        md5 = _whole(binascii.unhexlify(headers["x-md5"]), 16) if "x-md5" in headers else None
    except (ValueError, IndexError):
        raise UpdateError("MD5", "The announced digest cannot be read.", "Send 32 hex digits, or sha-256=:BASE64:.")
    return body, body.left if base is None else size, sha256, md5, base


def _changes(client, kind):
    """Return the changed sectors that come, and the size of the image that they make."""
    size = kind.lower().replace(" ", "").partition("vnd.esp32-sectors;size=")[2]
    if size.strip("0123456789") or not int(size or 0):
        advice = "Send Content-Type: application/vnd.esp32-sectors; size=BYTES."
        raise UpdateError("SIZE", "The size of the image is not announced.", advice)
    return load("changes").Changes(client, int(size)), int(size)


def _whole(digest, length):
    if len(digest) != length:
        raise ValueError
    return digest
