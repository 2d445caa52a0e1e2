"""The application: Wi-Fi, web server, self-test."""

import packed  # noqa: F401  first, as it finds the others

# isort: split
import asyncio

import boot_files
import clock
import health
import outgoing  # noqa: F401  it stays, as others share its lock
import slot
import starts
import watchdog
import web
from errors import UpdateError
from seldom import load

_FEED_SECONDS = 1  # and so often the log is written

# Now, as the boot files keep more of the flash in memory while modules are loaded. They go once the board serves.
_config, _self_test, _signature = load("config"), load("self_test"), load("signature")


def run():
    """Start the application; it runs until Ctrl-C."""
    asyncio.run(_main())


async def _main():
    print("\n      ESP32 OTA Update System\n")
    print("Firmware Version: {}".format(web.about["version"]))
    print("Build Date: {}\n".format(web.about["build"]))
    global _config, _self_test, _signature
    config, self_test, signature = _config, _self_test, _signature
    del _config, _self_test, _signature
    if getattr(starts, "previous", None) == getattr(starts, "DEAF", 0):
        load("guesses").take_kept()
    chosen = config.choose()
    if not chosen["wifi_ssid"]:
        print("No Wi-Fi network is set. Run board.install() over USB.")
        boot_files.note("note", "no Wi-Fi network is set")
        slot.roll_back()
        return starts.clear()  # another version would not find one either
    starts.clear()
    tasks = [asyncio.create_task(_feed_watchdog())]
    if "guarded" in chosen:
        tasks.append(asyncio.create_task(load("trial").watch(chosen["trial"], chosen["guarded"])))
    if slot.is_unconfirmed():
        await self_test.start_on_probation(chosen)
    elif "trial" in chosen:
        await config.try_out(chosen, self_test.start)
    else:
        await self_test.start(chosen)
    await _settle(signature)
    self_test.show_access()
    port = self_test.PORT
    del chosen, config, self_test, signature  # this function never ends
    if load("pair").read("pull"):
        load("fetching").start()
    if load("pair").read("tell"):
        load("telling").start()
    await asyncio.gather(health.watch(port), *tasks)


# What a confirmed version brings to the keys that this board trusts; a board that cannot take it serves all the same.
async def _settle(signature):
    if not slot.is_unconfirmed():
        try:
            await signature.settle(web.ota.running)
        except (OSError, MemoryError, UpdateError, slot.SlotError) as error:
            print(f"The keys that this board trusts stay as they are: {error.args[-1]}")


async def _feed_watchdog():
    while True:
        watchdog.feed()
        clock.seconds()
        boot_files.flush()
        await asyncio.sleep(_FEED_SECONDS)
