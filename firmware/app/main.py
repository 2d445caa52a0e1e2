"""The application: Wi-Fi, web server, self-test."""

import asyncio

import auth
import image
import slot
import starts
import watchdog
import web
import wifi
from esp32 import Partition

PORT = 80
_TEST_SECONDS = 60  # within which a new version must have passed its self-test
_ANSWER_SECONDS = 5
_FEED_SECONDS = 5
_FAILURES = (OSError, slot.SlotError, asyncio.TimeoutError)


def run():
    """Start the application; it runs until Ctrl-C."""
    asyncio.run(_main())


async def _main():
    print("\n      ESP32 OTA Update System\n")
    print("Firmware Version: {}".format(web.about["version"]))
    print("Build Date: {}\n".format(web.about["build"]))
    import config  # forgets itself once it is not in use here

    chosen = config.choose()
    if not chosen["wifi_ssid"]:
        print("No Wi-Fi network is set. Run board.install() over USB.")
        slot.roll_back()
        return starts.clear()  # another version would not find one either
    starts.clear()
    feeder = asyncio.create_task(_feed_watchdog())
    if slot.is_unconfirmed():
        await _start_on_probation(chosen)
    elif "trial" in chosen:
        await config.try_out(chosen, _start)
    else:
        await _start(chosen)
    del chosen, config  # this function never ends
    _show_access()
    await feeder


async def _feed_watchdog():
    while True:
        watchdog.feed()
        await asyncio.sleep(_FEED_SECONDS)


# The kit reads until the URL.
def _show_access():
    print("Web server started\n\nAccess Information")
    if not image.is_virtual():
        print(f"mDNS: http://{wifi.hostname()}.local")
    if not auth.is_password_set():
        print("Password: the default one. Updates are refused until POST /password has changed it.")
    print(f"URL: http://{wifi.ip()}")


# The bootloader goes back to the old version unless this one confirms.
async def _start_on_probation(chosen):
    try:
        await asyncio.wait_for(_start(chosen), _TEST_SECONDS)
        slot.check(slot.reader(web.updater.running), web.updater.running.info()[3], bytearray(slot.SECTOR))
    except _FAILURES as error:
        print("Self-test failed: {}".format(str(error) or f"no answer within {_TEST_SECONDS} s"))
        return slot.roll_back()
    _confirm()


# Return once the board answers at its own address.
async def _start(chosen):
    global _server
    await wifi.connect(chosen)
    web.pins = chosen["pins"]["led"], chosen["pins"]["progress"]
    _server = asyncio.create_task(web.app.start_server(port=PORT))
    while not await _answers():
        await asyncio.sleep(0.1)


async def _answers():
    """Tell whether this board's own GET /info succeeds."""
    try:
        return b" 200 " in await asyncio.wait_for(_ask(), _ANSWER_SECONDS)
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
        watchdog.feed_by_timer()
        print("Update confirmed")
