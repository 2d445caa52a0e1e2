"""Tokens that stand for the OTA password for five minutes. Loaded when one is made or shown.

One is `admin.<second>.<start>.<HMAC>`: the second of clock.py in which it was made, the random number of this start,
and the HMAC-SHA-256 of all that. So the board keeps none, and a restart ends them. Who asks for it gets a JSON Web
Token (RFC 7519) with HS256, which says the same, and what others want to read in it.
"""

import binascii
import json
import os
import time

import auth
import clock
import settings
import wifi
from errors import HttpError
from hmac256 import digest, is_same
from micropython import const

_KEY, _START = const(32), const(8)  # bytes: of the key, and of the random number
_KEPT = const("token_key")
_2000 = const(946_684_800)  # Unix time of the first second that a chip's clock knows
_2025 = const(1_735_689_600)  # a clock that was never set is far behind


def take_key(is_new=False):
    """Have tokens signed with the board's key, a new one where there is none; those from before come to an end."""
    key = settings.blob(_KEPT)
    if is_new or not key:
        key = os.urandom(_KEY)  # with Wi-Fi on, as it is by now, it is random: esp_random of ESP-IDF
        try:
            settings.store(_KEPT, key)
        except OSError:
            pass  # NVS is full: a key in memory does until the next restart
    auth.secret = key, binascii.hexlify(os.urandom(_START)).decode()


def make(is_jwt=False):
    """Return a token. Raises HttpError for a JWT while the clock is not set."""
    if not auth.secret:
        take_key()
    stamp = f"admin.{clock.seconds()}.{auth.secret[1]}"
    if not is_jwt:
        return _sign(stamp)
    now = _now()
    if now < _2025:
        advice = "Ask without type=jwt, or set the clock: ntptime.settime()."
        raise HttpError(409, "NO_CLOCK", "A JWT tells the time, and the board does not know it.", advice)
    claims = {"sub": "admin", "iss": wifi.hostname(), "iat": now, "exp": now + auth.LIFETIME, "jti": stamp}
    return _sign(_HEADER + "." + _digits(json.dumps(claims).encode()))


def is_good(token):
    """Tell whether a token was made here since the board has started, and is not over."""
    text = token.rpartition(".")[0]
    if not is_same(_sign(text).encode(), token.encode()):
        return False
    header, _, claims = text.partition(".")
    if "." in claims:
        return _is_good_stamp(text)
    claims = json.loads(binascii.a2b_base64(claims.replace("-", "+").replace("_", "/") + "=="))
    # The stamp as well: it is over in time, whatever is done to the clock.
    return header == _HEADER and claims["iat"] <= _now() < claims["exp"] and _is_good_stamp(claims["jti"])


def _is_good_stamp(stamp):
    user, second, start = stamp.split(".")
    age = clock.seconds() - int(second)
    return user == "admin" and start == auth.secret[1] and 0 <= age < auth.LIFETIME


def _sign(text):
    """Return a text with its HMAC behind it."""
    return text + "." + _digits(digest(auth.secret[0], text.encode()))


def _digits(data):
    """Return bytes as base64url (RFC 4648, 5) without padding."""
    return binascii.b2a_base64(data).decode().strip("=\n").replace("+", "-").replace("/", "_")


def _now():
    """Return Unix time."""
    return int(time.time()) + (_2000 if time.gmtime(0)[0] == 2000 else 0)


_HEADER = _digits(b'{"alg":"HS256","typ":"JWT"}')  # of each one that is made here, and no other is taken
