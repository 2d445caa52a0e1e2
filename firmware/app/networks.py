"""IPv4 networks, as in 192.168.1.0/24, and who may come from where. Loaded where a list of them is set."""

import boot_files
import wifi


def number(address):
    """Return the number of an IPv4 address, None if it is none."""
    try:
        data = bytes([int(part) for part in address.split(".")])
    except (AttributeError, ValueError, OverflowError):
        return None
    is_whole = len(data) == 4 and ".".join([str(byte) for byte in data]) == address
    return int.from_bytes(data, "big") if is_whole else None


def parse(text):
    """Return the number of a network, and its mask; an address alone is one, too. None if it is neither."""
    try:
        address, slash, bits = text.partition("/")
        size = int(bits) if slash else 32
    except (AttributeError, ValueError):
        return None
    first = number(address)
    if first is None or not 0 <= size <= 32 or (slash and str(size) != bits):
        return None
    mask = 0xFFFFFFFF << (32 - size) & 0xFFFFFFFF
    return None if first & ~mask else (first, mask)  # bits behind the mask: only part of it was meant, or one address


def has(networks, address):
    """Tell whether an address, None where it is not known, lies in one of the networks."""
    asked = number(address)
    return asked is not None and any([asked & mask == first for first, mask in networks])  # noqa: C419


def gate(networks):
    """Return the function that tells whether a client of an address may come, and notes in the log who may not.

    The board's own address may: its self-test, and what looks after it, come from there.
    """
    networks = [parse(text) for text in networks]

    def lets_in(address):
        if address == wifi.ip() or has(networks, address):
            return True
        boot_files.log("FORBIDDEN_ADDRESS", address)
        return False

    return lets_in
