"""The application: Wi-Fi, web server, self-test."""

import asyncio

import auth
import clock
import health
import slot
import starts
import watchdog
import web
import wifi
from seldom import load

_FEED_SECONDS = 5


def run():
    """Start the application; it runs until Ctrl-C."""
    asyncio.run(_main())


async def _main():
    print("\n      ESP32 OTA Update System\n")
    print("Firmware Version: {}".format(web.about["version"]))
    print("Build Date: {}\n".format(web.about["build"]))
    load("guesses").take_kept()
    config, self_test = load("config"), load("self_test")
    chosen = config.choose()
    if not chosen["wifi_ssid"]:
        print("No Wi-Fi network is set. Run board.install() over USB.")
        slot.roll_back()
        return starts.clear()  # another version would not find one either
    starts.clear()
    feeder = asyncio.create_task(_feed_watchdog())
    if slot.is_unconfirmed():
        await self_test.start_on_probation(chosen)
    elif "trial" in chosen:
        await config.try_out(chosen, self_test.start)
    else:
        await self_test.start(chosen)
    port = self_test.PORT
    del chosen, config, self_test  # this function never ends
    _show_access()
    await asyncio.gather(feeder, health.watch(port))


async def _feed_watchdog():
    while True:
        watchdog.feed()
        clock.seconds()
        await asyncio.sleep(_FEED_SECONDS)


# The kit reads until the URL.
def _show_access():
    print("Web server started\n\nAccess Information")
    if "virtual" not in web.chip:
        print(f"mDNS: http://{wifi.hostname()}.local")
    if not auth.is_password_set():
        print("Password: the default one. Updates are refused until POST /password has changed it.")
    print(f"URL: http://{wifi.ip()}")
