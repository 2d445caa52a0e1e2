"""Who may ask: tokens that stand for the OTA password for five minutes, and the password itself by HTTP Basic."""

import binascii

import boot_files
import machine
import settings
from seldom import load

LIFETIME = 300  # seconds of a token

_id = binascii.hexlify(machine.unique_id()).decode()[-6:]  # boards on one host would take each other's cookies away
COOKIES = ("token", f"token-{_id}", f"device-{_id}")
secret = None  # key of the tokens and random number of this start, once somebody has logged in: see tokens.py
failures = {}  # see guesses.py
greet = bool  # called when somebody has shown who may ask; that does nothing, unless trial.py waits for it


def is_password_set():
    return settings.password() is not None


def is_token(token):
    """Tell whether a token was made here since the board has started, and is not over."""
    return bool(secret and token) and load("tokens").is_good(token)


def token_of(request):
    """Return the token in a request's header or cookie, or an empty text."""
    scheme, value = _credentials(request)
    return value if scheme == "bearer" else request.cookies.get(COOKIES[1]) or request.cookies.get("token", "")


def mark_of(request):
    """Return what a request shows as the mark of its device, or an empty text."""
    return request.headers.get("x-device") or request.cookies.get(COOKIES[2], "")


def is_basic(request):
    """Tell whether a request carries HTTP Basic credentials of the user admin. Raises HttpError as password.check."""
    scheme, value = _credentials(request)
    if scheme != "basic":
        return False
    try:
        user, _, password = binascii.a2b_base64(value).decode().partition(":")
    except ValueError:
        return False
    if user != "admin":
        return False
    request.gives["X-Device"] = load("password").check(password, request)
    boot_files.log("LOGIN_SUCCESS", request.client.address)
    return True


def _credentials(request):
    """Return the scheme in small letters, and what belongs to it."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return scheme.lower(), value.strip()
