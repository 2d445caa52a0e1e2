"""Who may update: the OTA password, tokens that stand for it for five minutes, and the lock-out of those who guess."""

import binascii
import hashlib
import os

import clock
import settings
from errors import HttpError

LIFETIME = 300  # seconds of a token
_SHORTEST, _LONGEST = 8, 64  # characters of a password
_MOST_TOKENS = 4
_ROUNDS = 1000  # of SHA-256; kit.settings.hash_password does the same
_SALT = 16  # bytes, in front of the digest
_DEFAULT = b"admin123"  # the tutorial's. It logs in where none was set, but updates nothing

_MOST_FAILURES = 5
_LOCKED_SECONDS = 600
_MOST_ADDRESSES = 16

_tokens = {}  # token: second of clock.py at which it ends
_failures = {}  # address: (wrong passwords in a row, second at which they are forgotten)


def is_password_set():
    return settings.blob("password") is not None


def hash_password(password, salt):
    """Return the digest of a password (text) with a salt of 16 bytes."""
    digest = password.encode()
    for _ in range(_ROUNDS):
        digest = hashlib.sha256(salt + digest).digest()
    return digest


# How long it takes tells nothing about where two texts differ.
def _is_same(a, b):
    return hashlib.sha256(a).digest() == hashlib.sha256(b).digest()


def _is_password(password):
    if not isinstance(password, str):
        return False
    stored = settings.blob("password")
    try:
        if stored is None:
            return _is_same(password.encode(), _DEFAULT)
        return _is_same(hash_password(password, stored[:_SALT]), stored[_SALT:])
    except ValueError:  # JSON can hold what UTF-8 cannot
        return False


def check_password(password, address):
    """Raise HttpError unless a text is the OTA password, or if this address has been wrong five times in a row."""
    now = clock.seconds()
    count, end = _failures.get(address, (0, 0))
    if end <= now:
        count = 0
    if count >= _MOST_FAILURES:
        left = end - now
        raise HttpError(429, "LOCKED_OUT", "Too many wrong passwords.", f"Wait {left} s.", {"Retry-After": str(left)})
    _failures.pop(address, None)
    if not _is_password(password):
        count += 1 if password else 0  # a client that breaks off has not guessed
        if len(_failures) == _MOST_ADDRESSES:
            # those that are locked out go last: others must not push them out of the table
            del _failures[
                min(_failures, key=lambda known: (_failures[known][0] >= _MOST_FAILURES, _failures[known][1]))
            ]
        _failures[address] = (count, now + _LOCKED_SECONDS)
        raise HttpError(401, None, "Invalid password!", "Go back, and try again.")


def set_password(password):
    """Make a text the OTA password, and forget every token. Raises HttpError for what cannot be one."""
    is_text = isinstance(password, str) and settings.is_plain(password)
    if not (is_text and _SHORTEST <= len(password) <= _LONGEST and password.encode() != _DEFAULT):
        advice = f"Choose {_SHORTEST} to {_LONGEST} characters of your own, without control characters."
        raise HttpError(400, "BAD_PASSWORD", "This is no password for a board, or it is the default one.", advice)
    salt = os.urandom(_SALT)
    settings.store("password", salt + hash_password(password, salt))
    _tokens.clear()


def new_token():
    """Return a token of 32 hex digits."""
    while len(_tokens) >= _MOST_TOKENS:
        del _tokens[min(_tokens, key=_tokens.get)]
    token = binascii.hexlify(os.urandom(16)).decode()
    _tokens[token] = clock.seconds() + LIFETIME
    return token


def is_token(token):
    """Tell whether a token is known and not over."""
    now = clock.seconds()
    # all of them, always
    return any([_is_same(token.encode(), known.encode()) and end > now for known, end in _tokens.items()])  # noqa: C419


def token_of(request):
    """Return the token in a request's header or cookie, or an empty text."""
    scheme, value = _credentials(request)
    return value if scheme == "bearer" else request.cookies.get("token", "")


def is_basic(request):
    """Tell whether a request carries HTTP Basic credentials of the user admin. Raises HttpError as check_password."""
    scheme, value = _credentials(request)
    if scheme != "basic":
        return False
    try:
        user, _, password = binascii.a2b_base64(value).decode().partition(":")
    except ValueError:
        return False
    if user != "admin":
        return False
    check_password(password, request.client.address)
    return True


def _credentials(request):
    """Return the scheme in small letters, and what belongs to it."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return scheme.lower(), value.strip()
