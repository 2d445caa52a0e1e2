"""`kit.connect`: from an address to a board."""

import os

from kit.address import Address, resolve
from kit.board.board import Board
from kit.board.boot_log import known_urls
from kit.errors import interruptible
from kit.uploads import meet


@interruptible
def connect(address: str | None = None, *, url: str | None = None) -> Board:
    """Return the board at an address, without touching it, and print which one it is and why.

    Args:
        address: a serial port, any pyserial URL, or "virtual"; see kit.address.resolve for what happens without one.
        url: where the board's web server is reached, when its boot log cannot know (port forwarding, proxies);
            KIT_URL does the same.

    Raises:
        AddressError: several boards could be meant.
        BoardError: the virtual board does not start.
    """
    found = resolve(address)
    print(found)
    return board_at(found, url)


def board_at(found: Address, url: str | None = None) -> Board:
    """Return the board at an address that has been resolved; `connect` says the rest."""
    url = url or os.environ.get("KIT_URL")
    if not found.is_virtual:
        return Board(found.text, url=url)
    from kit.virtual.join import join

    addresses = join()
    if not known_urls.get(addresses["serial"], "").startswith("https:"):  # that is from a boot log
        known_urls[addresses["serial"]] = addresses["http"]
        meet(addresses["http"], addresses["serial"])
    return Board(addresses["serial"], url=url, control=addresses["control"])
