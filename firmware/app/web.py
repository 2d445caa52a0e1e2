"""What the board answers over HTTP."""

import asyncio
import gc

import auth
import boot_files
import clock
import machine
import slot
import wifi
from errors import HttpError, UpdateError
from esp32 import Partition
from ota import Ota
from seldom import load
from server import ANYONE, PASSWORD, Server

_STATES = ("NEW", "PENDING_VERIFY", "VALID", "INVALID", "ABORTED")  # esp_ota_img_states_t
_CAUSES = ("PWRON_RESET", "HARD_RESET", "WDT_RESET", "DEEPSLEEP_RESET", "SOFT_RESET")

pins = None  # of LED and progress
fetching = None  # see fetching.py; most boards fetch nothing
ota = Ota(Partition(Partition.RUNNING))
_image = load("image")
about = _image.describe(ota.running)
chip = "ESP32 (virtual)" if _image.is_virtual() else "ESP32"
del _image
_size = sum(slot.find(slot.reader(ota.running), ota.running.info()[3])[:2])  # with the application


# A mistake in them ends this start before the version is confirmed. What HTTPS needs is loaded by then where it is on.
_seldom = "changes fields led multipart networks page password rollback sectors signature tokens trial updater upload"
for _name in _seldom.split():
    load(_name)


# An upload may bring the password itself, and its token lasts until its end.
def _admit(request, who):
    token = auth.token_of(request)
    is_uploader = request.path == "/progress" and ota.is_busy() and token == ota.token
    if who == ANYONE or is_uploader:
        return
    if (who == PASSWORD and auth.is_basic(request)) or auth.is_token(token):
        auth.greet()
        return
    advice = "POST the password to /login, and send the token that it answers as `Authorization: Bearer`."
    # A browser would then ask for the password by itself, in a box over the page. Where it uploads it sends an Origin.
    takes_basic = request.path == "/update" and who == PASSWORD
    takes_basic = takes_basic and not is_browser(request) and "origin" not in request.headers
    offers = 'Basic realm="esp32-ota", Bearer' if takes_basic else "Bearer"
    raise HttpError(401, "UNAUTHORIZED", "This needs a login.", advice, {"WWW-Authenticate": offers})


def _refuse(request, error):
    if is_browser(request):
        return load("page").message(error.message, error.advice, error.status, error.headers)
    return error.body(), error.status, error.headers


def is_browser(request):
    return request.says("accept", "text/html")


# The line above a handler says what it answers to, and who may ask: without a second word only who has a token.
app = Server(_admit, _refuse)
app.cookies = auth.COOKIES


@app.on("GET /info", ANYONE)
async def info(request):
    target = ota.target
    state, cause = slot.state(ota.running), machine.reset_cause()
    return {
        "name": about["project"],
        "version": about["version"],
        "build": about["build"],
        "chip": chip,
        "running": ota.running.info()[4],
        "boot": ota.boot(),
        "next": target and target.info()[4],
        "image_state": _STATES[state] if state < len(_STATES) else "UNDEFINED",
        "sketch_size": _size,
        "free_sketch_space": target.info()[3] if target else 0,
        "free_heap": gc.mem_free(),
        "rssi": wifi.rssi(),
        "ip": wifi.ip(),
        "https": app.tls is not None,
        "hostname": wifi.hostname(),
        "uptime": clock.seconds(),
        "boot_files": boot_files.NUMBER,
        "signers": ota.signers,
        "security_version": ota.security,
        "last_update": ota.last,
        "reset_cause": _CAUSES[cause - 1] if 0 < cause <= len(_CAUSES) else str(cause),
    }


@app.on("GET /", ANYONE)
@app.on("GET /update")
async def index(request):
    return load("page").index(await info(request), auth.is_token(auth.token_of(request)))


@app.on("GET /style.css", ANYONE)
@app.on("GET /ota.js", ANYONE)
async def file(request):
    return load("page").file(request.path)


@app.on("POST /login", ANYONE)
async def login(request):
    asked = await request.fields()
    password = load("password")
    mark = password.check(asked.get("password"), request)
    token = load("tokens").make(asked.get("type") == "jwt")
    boot_files.log("LOGIN_SUCCESS", request.client.address)
    auth.greet()
    headers = {"Set-Cookie": password.cookies(token, mark, request.client.is_tls)}
    if is_browser(request):
        headers["Location"] = "update"
        return "", 303, headers
    return {"token": token, "expires_in": auth.LIFETIME, "device": mark}, 200, headers


# The password proves once more who asks: a token may have been left in a browser.
@app.on("POST /password")
async def change_password(request):
    asked = await request.fields()
    password = load("password")
    password.check(asked.get("password"), request)
    password.change(asked.get("new"))
    boot_files.log("PASSWORD", request.client.address)
    return {"message": "The password was changed. Log in again."}


@app.on("POST /restart")
async def restart(request):
    if ota.is_busy():
        raise UpdateError("BUSY", "An update is running.")
    boot_files.log("RESTART", request.client.address)
    restart_soon()
    return {"message": "The board restarts."}


@app.on("POST /rollback")
async def roll_back(request):
    answer = await load("rollback").select(ota)
    boot_files.log("RESTART", request.client.address, **answer)
    restart_soon()
    return answer


@app.on("GET /config")
async def config(request):
    return load("config").show()


@app.on("PUT /config")
async def configure(request):
    try:
        asked = await request.fields(only_json=True)
    except HttpError:
        asked = None
    message = load("config").put(asked, request.client.address, request.query.get("force") == "1")
    boot_files.log("CONFIG", request.client.address, settings=", ".join(sorted(asked)))
    return {"message": message}


@app.on("PUT /certificate")
async def certify(request):
    return await load("certificate").put(request)


@app.on("GET /tell")
@app.on("PUT /tell")
async def tell(request):
    return await load("telling").answer(request)


# Not in telling.py: tell.py, which stays, would hold all of it.
def places():
    """Return who is told, as telling.py has it."""
    return load("telling").read()


def snapshot():
    """Return what the board tells of itself."""
    state = slot.state(ota.running)
    return {
        "name": about["project"],
        "hostname": wifi.hostname(),
        "version": about["version"],
        "running": ota.running.info()[4],
        "image_state": _STATES[state] if state < len(_STATES) else "UNDEFINED",
        "last_update": ota.last,
        "pull": fetching and fetching.outcome,
    }


@app.on("GET /pull")
@app.on("PUT /pull")
@app.on("POST /pull")
async def pull(request):
    return await load("pull").answer(request)


@app.on("GET /log")
async def log(request):
    headers = {"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"}
    return boot_files.read_log() or "", 200, headers


@app.on("GET /progress", PASSWORD)
async def progress(request):
    return ota.progress


@app.on("GET /sectors")
async def sectors(request):
    return await load("sectors").read(ota)


@app.on("POST /update", PASSWORD)
@app.on("PATCH /update", PASSWORD)
async def update(request):
    return await load("upload").take(request)


def restart_soon():
    ota.progress["phase"] = "restart"  # nothing else begins
    app.restarting = asyncio.create_task(_restart())


# The answer has a second to reach the client.
async def _restart():
    print("Rebooting...")
    await asyncio.sleep(1)
    boot_files.restart()
