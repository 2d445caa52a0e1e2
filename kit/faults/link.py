"""A link between this computer and a board that fails as it is told to: a TCP proxy, for real boards as well."""

from __future__ import annotations

import asyncio
import atexit
import random
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from kit.board.board import Board
from kit.errors import KitError
from kit.ota.web import web_address
from kit.peers import is_own
from kit.uploads import meet

HOST = "127.0.0.1"
PIECE = 4096  # bytes passed on at once where the fault asks for nothing else
WINDOW = 5760  # bytes on their way to an ESP32 without its acknowledgement: CONFIG_LWIP_TCP_WND_DEFAULT of ESP-IDF 5
PACKET = 1460  # bytes of data that one takes over Ethernet or Wi-Fi
SEED = 34  # of the die; it breaks a flaky link early, late, and then no more
RETRANSMISSION = 0.2  # s until Linux sends a lost packet again (TCP_RTO_MIN); RFC 6298 asks for 1 s
UPLOADS = (b"POST /update", b"PATCH /update")
KEPT = 0x10000  # bytes of each direction of a connection that are recorded: heads, forms, answers
HUNG_UP = (OSError, EOFError, asyncio.LimitOverrunError)

Conversation = tuple[bytearray, bytearray]  # what the client of one connection sent, and what came back


@dataclass
class Fault:
    """What happens to the body of one upload, whose bytes count from 0; without arguments nothing does."""

    text: str = ""
    end: int = sys.maxsize  # where nothing passes any more
    is_silent: bool = False  # and nobody hangs up either
    flip: int = -1  # the byte of which a bit is turned
    piece: int = PIECE
    hold: Callable[[int], float] = lambda size: 0  # s for which so many bytes are held up
    draw: Callable[[], int] | None = None  # gives the end for each upload, until another fault is planned
    has_happened: bool = False


class Link:
    """A link to a board, which passes everything; use `link.url` in place of `board.url`.

    Each verb plans one fault for the next upload, and only that; `flaky` is for all that come. Over HTTPS nobody but
    the two ends knows where an upload begins: there it passes everything. The link ends with its `with` block or with
    Python.

    Args:
        board: the board, or the address of its web server.

    Raises:
        AddressError: no web server can be there.
    """

    def __init__(self, board: Board | str) -> None:
        self._board = urlsplit(web_address(getattr(board, "url", board)))
        self._fault = Fault()
        self._is_planned = False
        listener = socket.create_server((HOST, 0))
        self.url = f"{self._board.scheme}://{HOST}:{listener.getsockname()[1]}"
        self._records: list[list[Conversation]] = []
        if isinstance(board, Board):
            meet(self.url, board.address)
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._loop = self._runner.get_loop()
        self._over = asyncio.Event()
        self._relays: set[asyncio.Task] = set()  # asyncio itself would forget one that waits
        self._thread = threading.Thread(target=self._run, args=[listener], name="link", daemon=True)
        self._thread.start()
        atexit.register(self.__exit__)

    def __repr__(self) -> str:
        if not self._fault.text:
            return "Link: passes everything"
        last = "the last upload was" if self._fault.has_happened else "the last upload was not"
        return f"Link: {'the next upload will be' if self._is_planned else last} {self._fault.text}"

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        atexit.unregister(self.__exit__)
        with suppress(RuntimeError):  # it had ended before
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def drop(self, count: int) -> Link:
        """Hang up on both sides after so many bytes."""
        return self._plan(count, "dropped after {:,} bytes", end=count)

    def flaky(self, mean: int) -> Link:
        """Hang up on each upload after a number of bytes by chance, of a seeded die, with this mean."""
        die = random.Random(SEED)
        text = "dropped by chance, after {:,} bytes in the mean"
        return self._plan(mean, text, draw=lambda: 1 + int(die.expovariate(1 / mean)))

    def stall(self, count: int) -> Link:
        """Let nothing pass after so many bytes, in either direction, until the board hangs up."""
        return self._plan(count, "stalled after {:,} bytes", end=count, is_silent=True)

    def corrupt(self, place: int) -> Link:
        """Turn a bit of the byte at this place, counted from 0."""
        return self._plan(place, "changed by one bit in byte {:,}", flip=place)

    def throttle(self, rate: int) -> Link:
        """Let no more than so many bytes pass in a second."""
        return self._plan(rate, "throttled to {:,} bytes per second", hold=lambda size: size / rate)

    def delay(self, seconds: float) -> Link:
        """Model a round trip of so many seconds: the sender waits for it after every 5,760 bytes."""
        text = f"delayed by {{}} s for every {WINDOW:,} bytes, as by a long way to the board (modelled)"
        return self._plan(seconds, text, 60.0, piece=WINDOW, hold=lambda size: seconds * size / WINDOW)

    def stutter(self, share: float) -> Link:
        """Model the loss of this share of the packets: with this probability, of a seeded die, one is 0.2 s late."""
        text = f"held up for {RETRANSMISSION} s at {{:.1%}} of its packets, as if they were lost (modelled)"
        die = random.Random(SEED)
        return self._plan(share, text, 1.0, piece=PACKET, hold=lambda size: RETRANSMISSION * (die.random() < share))

    @contextmanager
    def record(self) -> Iterator[list[Conversation]]:
        """Keep the first 64 kB of either direction of each connection that begins while a `with` block runs."""
        self._records.append(record := [])
        try:
            yield record
        finally:
            self._records = [other for other in self._records if other is not record]

    def _plan(self, value: float, text: str, most: float = sys.maxsize, **what: object) -> Link:
        """Plan a fault; its number is a whole one unless `most` is a float."""
        if not isinstance(value, int | type(most)) or not 0 < value <= most:
            kind = "whole number above 0" if isinstance(most, int) else f"number above 0 and up to {most:g}"
            raise KitError(f"{value!r} is no {kind}.", "Give one, as in link.drop(200_000) or link.delay(0.1).")
        if self._board.scheme == "https":
            cause = "Over HTTPS the link cannot see where an upload begins."
            raise KitError(cause, "Take the board's address that begins with http://.")
        self._fault, self._is_planned = Fault(text.format(value), **what), True
        return self

    def _run(self, listener: socket.socket) -> None:
        with listener, self._runner as runner:  # in the end it cancels what still runs
            runner.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        accepting = asyncio.create_task(self._accept(listener))
        await self._over.wait()
        accepting.cancel()

    async def _accept(self, listener: socket.socket) -> None:
        """Take one connection after the other; start_server would make tasks for them even when the loop has ended."""
        listener.setblocking(False)
        while True:
            client, _ = await asyncio.get_running_loop().sock_accept(listener)
            if not is_own(client):  # or another user would come past the check of a virtual board
                client.close()
                continue
            self._relays.add(relay := asyncio.create_task(self._relay(client)))
            relay.add_done_callback(self._relays.discard)

    async def _relay(self, connection: socket.socket) -> None:
        with suppress(*HUNG_UP):
            await self._pass_on(*await asyncio.open_connection(sock=connection))

    async def _pass_on(self, here: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Pass on one connection; a fault is for what follows its first head."""
        port = self._board.port or (443 if self._board.scheme == "https" else 80)
        sent, answered = bytearray(), bytearray()
        for record in self._records:
            record.append((sent, answered))
        with closing(client):
            there, board = await asyncio.open_connection(self._board.hostname, port)
            with closing(board):
                # What this computer would keep ready for the board has not passed.
                board.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WINDOW)
                board.transport.set_write_buffer_limits(WINDOW)
                fault, head = Fault(), b""
                if self._board.scheme == "http":
                    board.write(head := await here.readuntil(b"\r\n\r\n"))
                    sent += head
                if self._is_planned and head.startswith(UPLOADS):
                    fault, self._is_planned = self._fault, bool(self._fault.draw)
                    if fault.draw:
                        fault = replace(fault, end=fault.draw())
                answer = asyncio.create_task(_pass(there, client, Fault(), answered))
                upload = asyncio.create_task(_pass(here, board, fault, sent))
                try:
                    await asyncio.wait([answer, upload], return_when=asyncio.FIRST_COMPLETED)
                    if fault.has_happened and fault.end < sys.maxsize:
                        answer.cancel()
                        await asyncio.wait([answer])
                        if not fault.is_silent:
                            client.close()
                            board.write_eof()  # a virtual board asks whose the other end is: it must not be gone
                        await there.read()  # until the board hangs up
                    else:
                        await answer
                finally:  # asyncio itself would forget them while they wait
                    for task in (answer, upload):
                        task.cancel()
                    await asyncio.wait([answer, upload])


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault, heard: bytearray) -> None:
    """Pass on what comes, as the fault has it, until it ends this or somebody hangs up; put the first of it down."""
    place = 0
    with suppress(*HUNG_UP):
        while piece := bytearray(await reader.read(min(fault.piece, fault.end - place))):
            if place <= fault.flip < place + len(piece):
                piece[fault.flip - place] ^= 1
            place += len(piece)
            seconds = fault.hold(len(piece))
            fault.has_happened |= seconds > 0 or 0 <= fault.flip < place or place == fault.end
            await asyncio.sleep(seconds)
            heard += piece[: max(0, KEPT - len(heard))]
            writer.write(piece)
            await writer.drain()
        if place < fault.end:
            writer.write_eof()
