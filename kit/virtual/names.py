"""The mDNS responder of the virtual board, on this computer's loopback only."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from kit.virtual.ports import HOST

PATIENCE = 3000  # ms for an answer to ourselves; it takes one
NO_NAMES = "virtual board: this computer lets no mDNS through on its loopback, so the board has no name\r\n"


class Names:
    """Answers A queries for `<hostname>.local`, as MicroPython does; it has no service to be browsed for.

    To python-zeroconf the name is a service whose type is the name itself, which it neither probes nor announces. It
    does name it to who asks for the types of all services; a chip would not.

    Args:
        say: prints on the board's serial port, where names do not work.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._zeroconf = self._info = None
        self._worker = ThreadPoolExecutor(1)  # in the order of the calls, and nobody waits

    def answer_to(self, hostname: str) -> None:
        """Answer to this name and to no other one from now on; empty: to none."""
        self._worker.submit(self._answer_to, hostname)

    def stop(self) -> None:
        """Answer to no name any more, and return when that is so."""
        self._worker.shutdown()
        if self._zeroconf:
            self._zeroconf.close()

    def _answer_to(self, hostname: str) -> None:
        if self._info:
            self._zeroconf.loop.call_soon_threadsafe(self._zeroconf.registry.async_remove, self._info)
            self._info = None
        if not hostname:
            return
        import zeroconf  # here, since it must not delay the start

        try:
            self._zeroconf = self._zeroconf or zeroconf.Zeroconf([HOST], use_asyncio=False)
            name = f"{hostname}.local."
            self._info = zeroconf.ServiceInfo(name, name, server=name, addresses=[socket.inet_aton(HOST)])
            self._zeroconf.loop.call_soon_threadsafe(self._zeroconf.registry.async_add, self._info)
            works = zeroconf.AddressResolverIPv4(name).request(self._zeroconf, PATIENCE, zeroconf.DNSQuestionType.QM)
        except (OSError, zeroconf.Error):
            works = False
        if not works:
            self._say(NO_NAMES)
