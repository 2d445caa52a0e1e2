"""Who may update: the OTA password, and tokens that stand for it for five minutes."""

import binascii
import hashlib
import os
import time

import settings

LIFETIME = 300  # seconds of a token
SHORTEST, LONGEST = 8, 64  # characters of a password
_MOST_TOKENS = 4
_ROUNDS = 1000  # of SHA-256; kit.settings.hash_password does the same
_SALT = 16  # bytes, in front of the digest
_DEFAULT = b"admin123"  # the tutorial's. It logs in where none was set, but updates nothing

_tokens = {}  # token: time at which it ends; the oldest first


def is_password_set():
    return settings.blob("password") is not None


def hash_password(password, salt):
    """Return the digest of a password (text) with a salt of 16 bytes."""
    digest = password.encode()
    for _ in range(_ROUNDS):
        digest = hashlib.sha256(salt + digest).digest()
    return digest


# Takes as long for a wrong guess as for a right one.
def _is_same(a, b):
    difference = len(a) ^ len(b)
    for x, y in zip(a, b):
        difference |= x ^ y
    return difference == 0


def is_password(password):
    """Tell whether a text is the OTA password."""
    if not isinstance(password, str):
        return False
    stored = settings.blob("password")
    try:
        if stored is None:
            return _is_same(password.encode(), _DEFAULT)
        return _is_same(hash_password(password, stored[:_SALT]), stored[_SALT:])
    except ValueError:  # JSON can hold what UTF-8 cannot
        return False


def is_acceptable(password):
    """Tell whether a text may become the OTA password."""
    return isinstance(password, str) and SHORTEST <= len(password) <= LONGEST and password.encode() != _DEFAULT


def set_password(password):
    """Make a text the OTA password, and forget every token."""
    salt = os.urandom(_SALT)
    settings.store("password", salt + hash_password(password, salt))
    _tokens.clear()


def new_token():
    """Return a token of 32 hex digits."""
    while len(_tokens) >= _MOST_TOKENS:
        del _tokens[min(_tokens, key=lambda token: _tokens[token])]
    token = binascii.hexlify(os.urandom(16)).decode()
    _tokens[token] = time.time() + LIFETIME
    return token


def is_token(token):
    """Tell whether a token is known and not over."""
    now = time.time()
    for known in [known for known in _tokens if _tokens[known] <= now]:
        del _tokens[known]
    return any([_is_same(token.encode(), known.encode()) for known in _tokens])  # noqa: C419 - all of them, always


def token_of(request):
    """Return the token in a request's header or cookie, or an empty text."""
    header = request.headers.get("Authorization", "")
    return header[7:].strip() if header.startswith("Bearer ") else request.cookies.get("token", "")


def is_basic(request):
    """Tell whether a request carries HTTP Basic credentials of the user admin."""
    header = request.headers.get("Authorization", "")
    if not header.startswith("Basic "):
        return False
    try:
        user, _, password = binascii.a2b_base64(header[6:]).decode().partition(":")
    except ValueError:
        return False
    return user == "admin" and is_password(password)
