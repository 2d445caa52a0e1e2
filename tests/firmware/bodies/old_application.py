# Runs on CPython and on MicroPython.
"""The oldest application on the boot files of today. Its server, which needs microdot, is one for GET /info."""

import asyncio
import json
import sys

import _chip
import _nvs
import slot
from esp32 import NVS

NVS_OFFSET, NVS_SIZE = 0x9000, 0x4000


class Server:
    def __init__(self, handlers, admit, refuse):
        self._info = handlers["GET /info"]

    async def start_server(self, port):
        await asyncio.start_server(self._serve, "127.0.0.1", port)
        await asyncio.sleep(60)

    async def _serve(self, reader, writer):
        await reader.readline()
        body = json.dumps(await self._info(None))
        writer.write(("HTTP/1.0 200 OK\r\n\r\n" + body).encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()


sys.modules["server"] = type("server", (), {"Server": Server, "fields": None})


class Vfs:
    """Mounts anything: the application is on the interpreter's path."""

    def VfsLfs2(self, device):  # noqa: N802 - MicroPython's name
        return device

    def mount(self, device, path, readonly):
        assert (path, readonly) == ("/app", True)


def start(port, ssid="virtual-wifi", then=None):
    """Start as a board does; once the application serves, do something and end in the REPL."""
    slot.vfs = Vfs()
    _nvs.open_partition(NVS_OFFSET, NVS_SIZE)
    NVS("kit").set_blob("wifi_ssid", ssid.encode())
    NVS("kit").set_blob("wifi_password", b"virtual-password")
    run = asyncio.run

    def run_and_end(main):
        import main as application
        import self_test

        self_test.PORT = int(port)
        application._FEED_SECONDS = 0.05
        run(end_of(main, application))

    async def end_of(main, application):
        served = asyncio.Event()
        application._show_access = served.set
        task = asyncio.create_task(main)
        while not served.is_set():
            if task.done():
                return await task
            await asyncio.sleep(0.01)
        if then:
            await then()
        raise KeyboardInterrupt

    asyncio.run = run_and_end
    try:
        __import__("boot_main")
    except KeyboardInterrupt:
        pass


def confirms(port):
    assert slot.is_unconfirmed()
    start(port)
    assert slot.state(slot.Partition("ota_0")) == 2  # VALID
    assert [ms for ms, _, _ in _chip.alarms][-1] == 5_000  # a REPL is fed


def serves_and_updates(port, path):
    async def update():
        import updater
        import web
        from _upload import Upload

        fed = len(_chip.watched)
        while len(_chip.watched) < fed + 3:  # by the loop
            await asyncio.sleep(0.01)
        assert not _chip.alarms
        body = Upload(path)
        answer = await updater.Updater(web.ota).receive(body, body.size)
        assert (answer["slot"], answer["version"]) == ("ota_1", "1.1.0")

    start(port, then=update)
    assert slot.state(slot.Partition("ota_1")) == slot.NEW


def without_settings(port):
    """It returns to the REPL."""
    start(port, ssid="")
    assert [ms for ms, _, _ in _chip.alarms] == [5_000]
