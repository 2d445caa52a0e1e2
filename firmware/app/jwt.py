"""Tokens as others have them too: JSON Web Tokens (RFC 7519) with HS256. Loaded when one is asked for or shown."""

import binascii
import json
import time

import auth
import wifi
from errors import HttpError
from micropython import const

_HEADER = auth.digits(b'{"alg":"HS256","typ":"JWT"}')  # of every one that is made here, and no other is taken
_2000 = const(946_684_800)  # Unix time of the first second that a chip's clock knows
_2025 = const(1_735_689_600)  # a clock that was never set is far behind


def make():
    """Return a token. Raises HttpError while the clock is not set."""
    now = _now()
    if now < _2025:
        advice = "Ask without type=jwt, or set the clock: ntptime.settime()."
        raise HttpError(409, "NO_CLOCK", "A JWT tells the time, and the board does not know it.", advice)
    claims = {"sub": "admin", "iss": wifi.hostname(), "iat": now, "exp": now + auth.LIFETIME, "jti": auth.stamp()}
    return auth.sign(_HEADER + "." + auth.digits(json.dumps(claims).encode()))


def is_good(text):
    """Tell whether header and claims, of which the HMAC is right, make a token that is not over."""
    header, _, claims = text.partition(".")
    claims = json.loads(binascii.a2b_base64(claims.replace("-", "+").replace("_", "/") + "=="))
    # The stamp as well: it is over in time, whatever is done to the clock.
    return header == _HEADER and claims["iat"] <= _now() < claims["exp"] and auth.is_stamp(claims["jti"])


def _now():
    """Return Unix time."""
    return int(time.time()) + (_2000 if time.gmtime(0)[0] == 2000 else 0)
