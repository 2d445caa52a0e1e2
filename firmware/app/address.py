"""Addresses of the web: their parts, and where a relative one leads. Loaded with fetch.py."""

from micropython import const

_PORTS = {"http": 80, "https": 443}
_NAME = const("abcdefghijklmnopqrstuvwxyz0123456789.-")  # of a host


def split(url):
    """Return scheme, host, port, and path with query. Raises ValueError, whose text does not show the address."""
    scheme, _, rest = url.partition("#")[0].partition("://")
    scheme = scheme.lower()
    if scheme not in _PORTS:
        raise ValueError("An address begins with http:// or https://.")
    authority = _authority(rest)
    host, colon, port = authority.partition(":")
    host = host.lower()
    if not host or host.strip(_NAME):
        raise ValueError("An address has the name of a host, without a user, behind its http:// or https://.")
    port = port if colon else str(_PORTS[scheme])
    if port.strip("0123456789") or not 0 < len(port) < 6 or not 0 < int(port) < 65536:
        raise ValueError("The port of an address is a number from 1 to 65535.")
    path = rest[len(authority) :]
    if not all("!" <= c <= "~" for c in path):
        raise ValueError("An address has visible characters of ASCII only: others are written as %20.")
    return scheme, host, int(port), path if path[:1] == "/" else "/" + path


def join(url, reference):
    """Return the address that a relative or absolute one stands for in the document at `url` (RFC 3986, 5.2).

    Dots in a path are left to the server.
    """
    scheme, _, rest = url.partition("://")
    if ":" in reference.partition("/")[0].partition("?")[0]:
        return reference
    if reference[:2] == "//":
        return scheme + ":" + reference
    root = scheme + "://" + _authority(rest)
    path = url[len(root) :].partition("#")[0].partition("?")[0]
    if reference[:1] == "/":
        path = ""
    elif reference[:1] != "?":
        path = path.rpartition("/")[0] + "/"
    return root + path + reference


def _authority(rest):
    return rest.partition("/")[0].partition("?")[0]
