"""Who may update: the OTA password, tokens that stand for it for five minutes, and cookies that carry them."""

import binascii
import hashlib
import os

import clock
import guesses
import machine
import settings
from errors import HttpError
from hmac256 import is_same
from micropython import const

LIFETIME = 300  # seconds of a token
_SHORTEST, _LONGEST = const(8), const(64)  # characters of a password
_MOST_TOKENS = const(4)
_ROUNDS = const(1000)  # of SHA-256; kit.settings.hash_password does the same
_SALT = const(16)  # bytes, in front of the digest
_DEFAULT = const(b"admin123")  # the tutorial's. It logs in where none was set, but updates nothing
_YEAR = const(31_536_000)  # seconds

_id = binascii.hexlify(machine.unique_id()).decode()[-6:]  # boards on one host would take each other's cookies away
COOKIES = ("token", f"token-{_id}", f"device-{_id}")
_tokens = {}  # token: second of clock.py at which it ends


def is_password_set():
    return settings.blob("password") is not None


def hash_password(password, salt):
    """Return the digest of a password (text) with a salt of 16 bytes."""
    digest = password.encode()
    for _ in range(_ROUNDS):
        digest = hashlib.sha256(salt + digest).digest()
    return digest


def _is_password(password):
    if not isinstance(password, str):
        return False
    stored = settings.blob("password")
    try:
        if stored is None:
            return is_same(password.encode(), _DEFAULT)
        return is_same(hash_password(password, stored[:_SALT]), stored[_SALT:])
    except ValueError:  # JSON can hold what UTF-8 cannot
        return False


def check_password(password, mark=""):
    """Return the mark of the device, a new one for a stranger. Raises HttpError unless a text is the OTA password.

    It does so too after five wrong ones in a row, by this device or by all strangers together.
    """
    device = guesses.device(mark)
    guesses.check(device)
    if not _is_password(password):
        if password:  # a client that breaks off has not guessed
            guesses.add(device)
        raise HttpError(401, None, "Invalid password!", "Go back, and try again.")
    guesses.forget(device)
    return mark if device else guesses.new_mark()


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
    return any([is_same(token.encode(), known.encode()) and end > now for known, end in _tokens.items()])  # noqa: C419


def token_of(request):
    """Return the token in a request's header or cookie, or an empty text."""
    scheme, value = _credentials(request)
    _, own, _ = COOKIES
    return value if scheme == "bearer" else request.cookies.get(own) or request.cookies.get("token", "")


def mark_of(request):
    """Return what a request shows as the mark of its device, or an empty text."""
    return request.headers.get("x-device") or request.cookies.get(COOKIES[2], "")


def cookies(token, mark):
    """Return the cookies of who has logged in.

    That of the token has no end: the browser keeps it, so that /progress works until an upload ends. The board knows
    its time.
    """
    end = "; Path=/; HttpOnly; SameSite=Strict"
    found = [f"{name}={token}{end}" for name in COOKIES[:2]]
    return found + [f"{COOKIES[2]}={mark}{end}; Max-Age={_YEAR}"] if mark else found


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
    request.gives["X-Device"] = check_password(password, mark_of(request))
    return True


def _credentials(request):
    """Return the scheme in small letters, and what belongs to it."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return scheme.lower(), value.strip()
