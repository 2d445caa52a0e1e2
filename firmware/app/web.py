"""What the board answers over HTTP."""

import asyncio
import binascii
import gc
import time

import auth
import image
import machine
import page
import slot
import wifi
from errors import UpdateError
from esp32 import Partition
from microdot import redirect
from server import Server, fields
from updater import Updater

_STATES = {0: "NEW", 1: "PENDING_VERIFY", 2: "VALID", 3: "INVALID", 4: "ABORTED"}  # esp_ota_img_states_t
_CAUSES = ("PWRON_RESET", "HARD_RESET", "WDT_RESET", "DEEPSLEEP_RESET", "SOFT_RESET")

app = Server()
updater = Updater(Partition(Partition.RUNNING))
about = image.describe(updater.running)
_started = time.time()
_upload_token = None  # stays good for GET /progress until its upload ends


def _sketch_size():
    size = updater.running.info()[3]
    read = slot.reader(updater.running)
    try:
        start, length, _ = slot.find(read, size)
        return start + length
    except slot.SlotError:
        return 0


_size = _sketch_size()


def info():
    """Return what GET /info answers."""
    target = updater.target
    cause = machine.reset_cause()
    return {
        "name": about["project"],
        "version": about["version"],
        "build": about["build"],
        "chip": "ESP32 (virtual)" if image.is_virtual() else "ESP32",
        "running": updater.running.info()[4],
        "boot": Partition(Partition.BOOT).info()[4],
        "next": target and target.info()[4],
        "image_state": _STATES.get(slot.state(updater.running), "UNDEFINED"),
        "sketch_size": _size,
        "free_sketch_space": target.info()[3] if target else 0,
        "free_heap": gc.mem_free(),
        "rssi": wifi.rssi(),
        "ip": wifi.ip(),
        "hostname": wifi.HOSTNAME,
        "uptime": int(time.time() - _started),
        "reset_cause": _CAUSES[cause - 1] if 0 < cause <= len(_CAUSES) else str(cause),
    }


@app.get("/")
async def index(request):
    html = page.index(info(), auth.is_token(auth.token_of(request)))
    return html, {"Content-Type": "text/html; charset=UTF-8"}


@app.get("/info")
async def get_info(request):
    return info()


@app.post("/login")
async def login(request):
    if not auth.is_password((await fields(request)).get("password")):
        return "Invalid password!", 401
    token = auth.new_token()
    cookie = f"token={token}; Path=/; Max-Age={auth.LIFETIME}; HttpOnly; SameSite=Strict"
    if "text/html" in request.headers.get("Accept", ""):
        response = redirect("/", 303)
        response.headers["Set-Cookie"] = cookie
        return response
    return {"token": token, "expires_in": auth.LIFETIME}, {"Set-Cookie": cookie}


def _refuse_stranger():
    body = {
        "error": "UNAUTHORIZED",
        "message": "This needs a login.",
        "advice": "POST the password to /login, and send the token that it answers as `Authorization: Bearer`.",
    }
    return body, 401, {"WWW-Authenticate": 'Bearer realm="ESP32 OTA"'}


# The password proves once more who asks: a token may have been left in a browser.
@app.post("/password")
async def change_password(request):
    if not auth.is_token(auth.token_of(request)):
        return _refuse_stranger()
    asked = await fields(request)
    new = asked.get("new")
    if not auth.is_password(asked.get("password")):
        return "Invalid password!", 401
    if not auth.is_acceptable(new):
        body = {
            "error": "BAD_PASSWORD",
            "message": "This password is too short, too long, or the default one.",
            "advice": f"Choose {auth.SHORTEST} to {auth.LONGEST} characters of your own.",
        }
        return body, 400
    auth.set_password(new)
    return {"message": "The password was changed. Log in again."}


@app.get("/progress")
async def progress(request):
    token = auth.token_of(request)
    if not (auth.is_token(token) or (token and token == _upload_token) or auth.is_basic(request)):
        return _refuse_stranger()
    return updater.progress


@app.post("/update")
async def update(request):
    global _upload_token, _restarting
    token = auth.token_of(request)
    if not (auth.is_token(token) or auth.is_basic(request)):
        return _refuse_stranger()
    is_first = not updater.is_busy()
    if is_first:
        _upload_token = token
    try:
        _check(request)
        sha256, md5 = _digests(request.headers)
        result = await updater.receive(
            request.g.client, request.content_length, request.args.get("force") == "1", sha256, md5
        )
    except UpdateError as error:
        if is_first:
            _upload_token = None
        return error.body(), error.status
    _restarting = asyncio.create_task(_restart())
    return result


def _check(request):
    if not auth.is_password_set():
        raise UpdateError(
            "PASSWORD",
            "The default password was never changed.",
            "POST password=admin123 and new=… to /password, or run board.install() over USB.",
        )
    if "Transfer-Encoding" in request.headers:
        raise UpdateError("SIZE", "The size of the image was not announced.", "Send a Content-Length.", 411)


# `Content-Digest: sha-256=:BASE64:` is RFC 9530; `x-MD5: HEX` is what the Arduino world has.
def _digests(headers):
    """Return the SHA-256 and MD5 that a request announces, None for each that it does not."""
    sha256, md5 = headers.get("Content-Digest", ""), headers.get("x-MD5")
    _, is_sha256, sha256 = sha256.partition("sha-256=")  # digests of other kinds are not for us
    try:
        sha256 = _whole(binascii.a2b_base64(sha256.split(":")[1]), 32) if is_sha256 else None
        md5 = _whole(binascii.unhexlify(md5), 16) if md5 is not None else None
    except (ValueError, IndexError):
        raise UpdateError("MD5", "The announced digest cannot be read.", "Send 32 hex digits, or sha-256=:BASE64:.")
    return sha256, md5


def _whole(digest, length):
    if len(digest) != length:
        raise ValueError
    return digest


# The answer has a second to reach the client.
async def _restart():
    print("Rebooting...")
    await asyncio.sleep(1)
    machine.reset()
