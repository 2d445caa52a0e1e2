"""The pins by which this computer knows boards over HTTPS: the SHA-256 of their certificates, never taken from them.

They come from the installation, the serial port or a file.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from kit.errors import SecurityError
from kit.ota.kept import keep, read_kept

FILE = "pins.json"
PIN = "[0-9a-f]{64}"
PORT = 443
CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----\n(.+?)-----END CERTIFICATE-----", re.DOTALL)


def pin_of(given: object) -> str:
    """Return the pin in what somebody gives, as 64 hex digits.

    Args:
        given: 64 hex digits, with colons or without; a PEM file with a certificate, or what `new_certificate` made.

    Raises:
        SecurityError: it is none of these.
    """
    if pin := getattr(given, "pin", None):
        return pin
    if isinstance(given, str) and re.fullmatch(PIN, pin := given.replace(":", "").lower()):
        return pin
    with suppress(OSError, TypeError, ValueError):  # no file, no path at all, no text, no base64
        if found := CERTIFICATE.search(Path(given).read_text("ascii")):
            return hashlib.sha256(b64decode("".join(found[1].split()), validate=True)).hexdigest()
    raise SecurityError("This is no pin of a certificate.", "Give 64 hex digits, or the file with the certificate.")


def pin_for(url: str) -> str | None:
    """Return the pin of the board whose HTTPS is reached at an address; None where it is not known."""
    pins, (host, port) = read_kept(FILE), _place(url)
    found = pins.get(f"{host}:{port}", pins.get(host))
    return found if isinstance(found, str) and re.fullmatch(PIN, found) else None


def keep_pin(pin: str, *places: str) -> None:
    """Keep the pin of a board in a file for this user only; where that is not possible, do without.

    Args:
        places: addresses of its HTTPS, or its names, good for all ports that nothing else is known of.
    """
    keys = set()
    for place in places:
        host, port = _place(place)
        keys |= {host, f"{host}:{port}"} if "//" in place else {host}
    keep(FILE, dict.fromkeys(keys, pin))


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url if "//" in url else f"//{url}")
    return parts.hostname or "", parts.port or PORT
