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
        address, _, bits = (text if "/" in text else text + "/32").partition("/")
        size, first = int(bits), number(address)
        if str(size) == bits and 0 <= size <= 32:
            mask = 0xFFFFFFFF << (32 - size) & 0xFFFFFFFF
            return None if first & ~mask else (first, mask)  # bits behind the mask: a part was meant, or one address
    except (AttributeError, TypeError, ValueError):
        pass
    return None


def has(networks, address):
    """Tell whether an address, None where it is not known, lies in one of the networks."""
    asked = number(address)
    return asked is not None and any([asked & mask == first for first, mask in map(parse, networks)])  # noqa: C419


def gate(networks):
    """Return the function that tells whether a client of an address may come, and notes in the log who may not.

    The board's own address may: its self-test, and what looks after it, come from there.
    """

    def lets_in(address):
        is_good = address == wifi.ip() or has(networks, address)
        if not is_good:
            boot_files.log("FORBIDDEN_ADDRESS", address)
        return is_good

    print("Allowed: " + ", ".join(networks) + " and this board")
    return lets_in
