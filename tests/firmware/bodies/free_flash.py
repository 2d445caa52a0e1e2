# Runs on MicroPython.
"""The application over a flash whose calls cost nothing, for benchmarks/: what remains is our own time."""

import asyncio

import _appimage
import _chip
import esp32
import serve as application


def serve(port, *options):
    """As serve.py does; with the one option "sink" a server that receives as much and throws it away."""
    if options == ("sink",):
        return asyncio.run(_sink(int(port)))
    esp32.Partition.readblocks, esp32.Partition.writeblocks = _read, _write
    _chip.erase = lambda address, n: None
    _appimage.verify = lambda read, address, size: None  # set_boot's: C on a chip
    application.serve(port, *options)


def _read(self, block, buf, offset=0):
    _chip._file.seek(self._row.address + block * self._block_size + offset)
    _chip._file.readinto(buf)


def _write(self, block, buf, offset=0):
    _chip._file.seek(self._row.address + block * self._block_size + offset)
    _chip._file.write(buf)


async def _sink(port):
    await asyncio.start_server(_receive, "127.0.0.1", port)
    print("URL: http://")
    while True:
        await asyncio.sleep(1)


async def _receive(reader, writer):
    left, line, view = 0, b"-", memoryview(bytearray(4096))
    while line not in (b"", b"\r\n"):
        line = await reader.readline()
        if line.lower().startswith(b"content-length:"):
            left = int(line.split()[1])
    while left:
        left -= await reader.readinto(view[: min(left, 4096)])
    await writer.awrite(b"HTTP/1.0 200 OK\r\n\r\n{}")
    await writer.aclose()
