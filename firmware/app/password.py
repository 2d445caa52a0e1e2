"""The OTA password. Loaded when somebody shows one."""

import hashlib
import os

import auth
import guesses
import settings
from errors import HttpError
from hmac256 import is_same
from micropython import const
from plain import is_plain
from seldom import load

_SHORTEST, _LONGEST = const(8), const(64)  # characters
_ROUNDS = const(1000)  # of SHA-256; kit.settings.hash_password does the same
_SALT = const(16)  # bytes, in front of the digest
_YEAR = const(31_536_000)  # seconds
_DEFAULT = const(b"admin123")  # the tutorial's. It logs in where none was set, but updates nothing


def digest(password, salt):
    """Return the digest of a password (text) with a salt of 16 bytes."""
    data = password.encode()
    for _ in range(_ROUNDS):
        data = hashlib.sha256(salt + data).digest()
    return data


def _is_right(password):
    if not isinstance(password, str):
        return False
    stored = settings.password()
    try:
        if stored is None:
            return is_same(password.encode(), _DEFAULT)
        return is_same(digest(password, stored[:_SALT]), stored[_SALT:])
    except ValueError:  # JSON can hold what UTF-8 cannot
        return False


def check(password, request):
    """Return the mark of the device, a new one for a stranger. Raises HttpError unless a text is the OTA password.

    It does so too after five wrong ones in a row, by this device or by all strangers together.
    """
    mark, address = auth.mark_of(request), request.client.address
    device = guesses.device(mark)
    guesses.check(device, address)
    if not _is_right(password):
        if password:  # a client that breaks off has not guessed
            guesses.add(device, address)
        raise HttpError(401, None, "Invalid password!", "Go back, and try again.")
    guesses.forget(device)
    return mark if device else guesses.new_mark()


def change(password):
    """Make a text the OTA password, and forget every token. Raises HttpError for what cannot be one."""
    is_text = isinstance(password, str) and is_plain(password)
    if not (is_text and _SHORTEST <= len(password) <= _LONGEST and password.encode() != _DEFAULT):
        advice = f"Choose {_SHORTEST} to {_LONGEST} characters of your own, without control characters."
        raise HttpError(400, "BAD_PASSWORD", "This is no password for a board, or it is the default one.", advice)
    salt = os.urandom(_SALT)
    kept = salt + digest(password, salt)
    try:
        settings.store_password(kept)
    except OSError:
        if settings.password() != kept:  # else only what had become old could not be erased
            raise HttpError(500, "NOT_STORED", "The flash refuses it.", "Restart the board, and try again.")
    load("tokens").take_key(True)


def cookies(token, mark, is_tls):
    """Return the cookies of who has logged in.

    That of the token has no end: the browser keeps it, so that /progress works until an upload ends. The board knows
    its time. Without a path they are for the folder of /login, which a proxy may call otherwise.
    """
    end = "; HttpOnly; SameSite=Strict" + ("; Secure" if is_tls else "")
    found = [f"{name}={token}{end}" for name in auth.COOKIES[:2]]
    return found + [f"{auth.COOKIES[2]}={mark}{end}; Max-Age={_YEAR}"] if mark else found
