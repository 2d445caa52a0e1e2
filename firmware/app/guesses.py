"""The lock-out of who guesses the password: one for all strangers together, and one for each device that is known.

A device has logged in once, and shows a mark of that. So who guesses locks out strangers and never the owner (OWASP:
Slow Down Online Guessing Attacks with Device Cookies). All of it stays in memory: a power cut frees the owner too.

`auth.failures` has by name of a device, "" for all strangers: (wrong passwords in a row, second at which they are
forgotten). This module is loaded when somebody shows a password.
"""

import binascii
import os

import boot_files
import clock
import hmac256
import settings
from auth import failures
from errors import HttpError
from esp32 import NVS
from micropython import const

_MOST = const(5)  # wrong passwords in a row
_LOCKED_SECONDS = const(600)
_MOST_DEVICES = const(16)
_NAME, _DIGEST = const(8), const(32)  # hex digits of a mark
_KEY = const("locked")  # seconds, for a reset of the board's own


def new_mark():
    """Return the mark of a device that has just logged in, "" where no password was set."""
    name = binascii.hexlify(os.urandom(_NAME // 2)).decode()
    digest = _sign(name)
    return digest and name + digest


def device(mark):
    """Return the name of the device whose mark this is, "" for a stranger's."""
    name, digest = mark[:_NAME], mark[_NAME:]
    is_right = len(digest) == _DIGEST and hmac256.is_same(digest.encode(), _sign(name).encode())
    return name if is_right else ""


# The key is what is kept of the password: another password makes all marks void.
def _sign(name):
    key = settings.password()
    return binascii.hexlify(hmac256.digest(key, name.encode())).decode()[:_DIGEST] if key else ""


def check(name, address):
    """Raise HttpError where a device, or "" for all strangers, is locked out."""
    count, end = failures.get(name, (0, 0))
    left = end - clock.seconds()
    if left <= 0:
        failures.pop(name, None)
    elif count >= _MOST:
        boot_files.log("LOCKED_OUT", address)
        advice = f"Wait {left} s, or take the power away from the board for a moment."
        raise HttpError(429, "LOCKED_OUT", "Too many wrong passwords.", advice, {"Retry-After": str(left)})


def add(name, address):
    """Count a wrong password."""
    boot_files.log("LOGIN_FAILED", address)
    count, _ = failures.pop(name, (0, 0))
    if name and len(failures) > _MOST_DEVICES:  # those that are locked out go last
        del failures[min([known for known in failures if known], key=failures.get)]
    failures[name] = (count + 1, clock.seconds() + _LOCKED_SECONDS)


def forget(name):
    """Forget the wrong passwords, as after the right one."""
    failures.pop(name, None)


def keep():
    """Keep the lock-out of strangers over a reset that they might have brought about."""
    count, end = failures.get("", (0, 0))
    if count >= _MOST:
        nvs = NVS("kit")
        nvs.set_i32(_KEY, end - clock.seconds())
        nvs.commit()


def take_kept():
    """Take up what was kept before a reset."""
    try:
        nvs = NVS("kit")
        left = nvs.get_i32(_KEY)
        nvs.erase_key(_KEY)
        nvs.commit()
        failures[""] = (_MOST, clock.seconds() + left)
    except OSError:
        pass  # there is none
