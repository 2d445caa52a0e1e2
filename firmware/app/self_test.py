"""Start the web server, and test a version that is on probation. Loaded when it is needed."""

import asyncio

import auth
import boot_files
import settings
import slot
import watchdog
import web
import wifi
from esp32 import Partition
from seldom import load

PORT, TLS_PORT = 80, 443
_TEST_SECONDS = 60  # within which a new version must have passed its self-test
_ANSWER_SECONDS = 5
_FAILURES = (OSError, slot.SlotError, asyncio.TimeoutError)


# The bootloader goes back to the old version unless this one confirms.
async def start_on_probation(chosen):
    try:
        await asyncio.wait_for(start(chosen), _TEST_SECONDS)
        web.ota.last = boot_files.note("last")
        slot.check(slot.reader(web.ota.running), web.ota.running.info()[3], bytearray(slot.SECTOR))
    except _FAILURES as error:
        reason = str(error) or f"no answer within {_TEST_SECONDS} s"
        print("Self-test failed: " + reason)
        path, mistake = web.app.error
        if path == "/info":  # what others ask for has their own words in its errors, perhaps a password
            boot_files.note("fail", mistake)
        boot_files.note("note", "its self-test failed: " + reason)
        return slot.roll_back()
    _confirm()
    if boot_files.NUMBER == 1 and not slot.is_unconfirmed():
        watchdog.feed_by_timer()  # they do not when the application ends and the REPL opens


# Return once the board answers at its own address.
async def start(chosen):
    await wifi.connect(chosen)
    boot_files.reach(boot_files.WIFI)
    given = settings.blob("hosts")  # by cable
    given = given.decode().lower().split(",") if given else []
    web.app.hosts = ["localhost"] + given + chosen["hosts"] + [wifi.hostname().lower()]
    if chosen["allow"]:
        web.app.lets_in = load("networks").gate(chosen["allow"])
    web.pins = chosen["pins"]["led"], chosen["pins"]["progress"]
    if chosen["https"]:
        _start_tls("trial" in chosen or slot.is_unconfirmed())
    web.app.serving = asyncio.create_task(web.app.run(PORT))
    boot_files.reach(boot_files.SERVER)
    while not await _answers():
        await asyncio.sleep(0.1)
    boot_files.reach(boot_files.ANSWERED)


# Without a good certificate nothing but GET /info is answered: what HTTPS protects does not go by plain HTTP instead.
def _start_tls(is_trial):
    tls = load("tls_server").TlsServer(web.app)
    try:
        tls.context = load("certificate").context()
        tls.serving = asyncio.create_task(tls.run(TLS_PORT))
    except OSError as error:
        if is_trial:
            raise
        print(f"HTTPS does not work: {error}. Run board.install(certificate=…) over USB.")


async def _answers():
    """Tell whether this board's own GET /info succeeds, and whether the port of HTTPS is open."""
    try:
        if b" 200 " not in await asyncio.wait_for(_ask(), _ANSWER_SECONDS):
            return False
        if web.app.tls and web.app.tls.context:
            _, writer = await asyncio.wait_for(asyncio.open_connection(wifi.ip(), TLS_PORT), _ANSWER_SECONDS)
            await writer.wait_closed()
        return True
    except _FAILURES:
        return False


async def _ask():
    """Return the status line of the board's own GET /info."""
    reader, writer = await asyncio.open_connection(wifi.ip(), PORT)
    try:
        writer.write(b"GET /info HTTP/1.0\r\n\r\n")
        await writer.drain()
        return await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()


# mark_app_valid marks the record that otadata follows. If the bootloader refused that slot and runs this one, it would
# make a bad record valid: only an app that is both running and boot may confirm.
def _confirm():
    if Partition(Partition.BOOT).info()[2] == Partition(Partition.RUNNING).info()[2]:
        Partition.mark_app_valid_cancel_rollback()
        print("Update confirmed")
        web.ota.last = boot_files.note("confirm")
        boot_files.log("CONFIRMED", version=web.about["version"], slot=web.ota.running.info()[4])


# The kit reads until the URL.
def show_access():
    """Print where the board is reached."""
    print("Web server started\n\nAccess Information")
    scheme = "https" if web.app.tls else "http"
    if "virtual" not in web.chip:
        print(f"mDNS: {scheme}://{wifi.hostname()}.local")
    if web.app.tls and web.app.tls.context:
        print("Certificate: SHA-256 " + load("certificate").pin())
    if not auth.is_password_set():
        print("Password: the default one. Updates are refused until POST /password has changed it.")
    print(f"URL: {scheme}://{wifi.ip()}")
