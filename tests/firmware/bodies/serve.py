# Runs on CPython and on MicroPython.
"""The whole application on a loopback port."""

import asyncio
import binascii
import gc

import _chip
import _pins
import machine
import seldom
import slot
import starts
import watchdog
from esp32 import NVS

BOOT_FILES = getattr(slot, "BOOT_FILES", 1)
SALT = b"0123456789abcdef"

_open = []  # connections
_most = 0  # of them at once
_is_silent = False  # as where no packet comes through
_peak = 0  # bytes of heap that were in use


def serve(port, *options):
    """Run the application as the boot files do. The options are texts `name=value`; these are their defaults."""
    values = {
        "password": "",  # the OTA password; none is set without
        "running": 0x10000,
        "wifi_password": "virtual-password",
        "test": 60.0,  # seconds for the self-test
        "feed": 5.0,  # seconds between two meals of the watchdog
        "stall": 10.0,  # seconds of patience with a body
        "head": 5.0,  # seconds of patience with a head
        "restarts": 1,  # 0: the board goes on instead
        "broken": 0,  # 1: GET /info does not work; 2: there is a mistake in it; 3: and in another one
        "install": 1,  # 0: the settings in NVS stay as they are
        "network": "virtual-wifi",  # name of the Wi-Fi network that there is
        "key": "virtual-password",  # its password
        "trial": 30.0,  # seconds for new settings to connect
        "guard": 180,  # seconds for somebody to log in, where new settings can shut out the owner
        "held": -1,  # GPIO of the button that is held
        "look": 20.0,  # seconds between two looks at the board's health
        "deaf": "",  # "memory": the system has none left; "silence": nothing arrives
        "watch": 0,  # 1: look again and again how much of the heap is in use
        "https": 0,  # its port; 0: HTTPS is off
        "hungry": 0,  # TLS sessions at first that find no memory; the first one is the self-test's
        "pull": "",  # what NVS holds as settings of /pull, and of /tell
        "tell": "",
        "pair": "",  # file of certificate and key, as NVS has them
        "signer": "",  # digest of the key that signs what it takes, in hex
    }
    for option in options:
        name, _, value = option.partition("=")
        values[name] = type(values[name])(value)
    _chip.running = int(values["running"])
    _chip.ssid, _chip.password = values["network"], values["key"]
    import client
    import esp32
    import health
    import main
    import server
    import web

    if values["held"] != -1:
        _pins.held = values["held"]
        machine.Pin = _pins.HeldPin
    nvs = NVS("kit")
    if values["install"]:
        nvs.set_blob("wifi_ssid", b"virtual-wifi")
        nvs.set_blob("wifi_password", values["wifi_password"].encode())
    if values["password"]:
        nvs.set_blob("password", SALT + seldom.load("password").digest(values["password"], SALT))
    if values["signer"]:
        nvs.set_blob("signers1", binascii.unhexlify(values["signer"]))
        nvs.set_i32("signers", 1)
    for name in ("pull", "tell"):
        if values[name]:
            nvs.set_blob(name + "2", values[name].encode())
    if values["pair"]:
        with open(values["pair"], "rb") as file:
            nvs.set_blob("cert1", file.read())
        nvs.set_i32("cert", 1)
    if values["https"]:
        nvs.set_blob("set1", b'{"https": true}')
        nvs.set_i32("config", 8)  # the first set, confirmed
        nvs.set_blob("https_port", str(values["https"]).encode())
    nvs.commit()
    _set_times(main, int(port), values)
    main._FEED_SECONDS = values["feed"]
    client.SECONDS, server.HEAD_SECONDS = values["stall"], values["head"]
    if not values["restarts"]:
        web.restart_soon = lambda: web.ota.progress.update({"phase": "idle"})
    if values["broken"] == 1:
        del web.app.handlers["GET /info"]
    elif values["broken"]:
        web.app.on("GET /info", server.ANYONE)(mistaken if values["broken"] == 2 else mistaken_elsewhere)
    web.app.on("GET /inside", server.ANYONE)(inside)
    handle = web.app._arrive

    async def count(reader, writer):
        global _most
        address = reader.get_extra_info("peername")
        if not isinstance(address, tuple):  # the unix port leaves it as the system has it
            reader.e["peername"] = ".".join([str(byte) for byte in address[4:8]]), 0
        if _is_silent:
            return await writer.wait_closed()
        _open.append(writer)
        _most = max(_most, len(_open))
        try:
            await handle(reader, writer)
        finally:
            _open.remove(writer)

    web.app._arrive = count
    health.LOOK_SECONDS = values["look"]
    esp32.HEAP_DATA = 4
    esp32.idf_heap_info = lambda kind: [(100_000, 40_000, 1_000 if values["deaf"] == "memory" else 30_000, 0)]
    if values["deaf"] == "silence":
        health.ARRIVAL_SECONDS = 0.2
        watch = health.watch

        async def watch_in_silence(port):
            global _is_silent
            _is_silent = True
            await watch(port)

        health.watch = watch_in_silence
    if values["https"]:
        open_https(values["hungry"])
    if values["watch"]:
        feed = main._feed_watchdog

        async def feed_and_watch():
            web.watching = asyncio.create_task(_watch())
            await feed()

        main._feed_watchdog = feed_and_watch
    if BOOT_FILES > 1 or slot.is_unconfirmed():
        watchdog.start()
    starts.count()
    main.run()


class Starved:
    """A TLS context that has no memory for so many sessions."""

    def __init__(self, context, sessions):
        self._context, self._left = context, sessions

    def wrap_socket(self, *arguments, **options):
        if self._left:
            self._left -= 1
            raise OSError(12)
        return self._context.wrap_socket(*arguments, **options)


def open_https(hungry):
    """Let `inside` be asked by plain HTTP, too, once HTTPS is on."""
    import main
    import web

    start = main._self_test._start_tls

    def start_tls(is_trial):
        start(is_trial)
        tls = web.app.tls
        redirect = tls.redirect
        tls.redirect = lambda request: None if request.path == "/inside" else redirect(request)
        if hungry:
            tls.context = Starved(tls.context, hungry)

    main._self_test._start_tls = start_tls


# Not in a function that never ends: the board forgets these modules once it serves.
def _set_times(main, port, values):
    main._config.TRIAL_SECONDS, main._config.GUARD_SECONDS = values["trial"], values["guard"]
    self_test = main._self_test
    self_test.PORT, self_test._TEST_SECONDS = port, values["test"]
    self_test.TLS_PORT = values["https"]


async def _watch():
    global _peak
    while True:
        gc.collect()
        _peak = max(_peak, gc.mem_alloc())
        await asyncio.sleep(0.01)


async def mistaken(request):
    raise NameError("name 'nobody' isn't defined")


async def mistaken_elsewhere(request):
    import web

    web.app.error = "/login", ValueError("their own words")
    return "", 500


async def inside(request):
    """What only a test wants to know."""
    gc.collect()
    return {
        "peak": _peak,
        "heap": gc.mem_alloc(),
        "watched": _chip.watched,
        "timers": [ms for ms, _, _ in _chip.alarms],
        "pins": _pins.levels,
        "most": _most,
    }


def run_without_settings(running):
    """Run the application on a board where no Wi-Fi network was set."""
    _chip.running = int(running)
    import main

    starts.count()
    main.run()
