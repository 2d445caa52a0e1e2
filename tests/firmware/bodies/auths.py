# Runs on CPython and on MicroPython.
"""Passwords and tokens."""

import binascii

import auth
import clock
import guesses
import hmac256
import password
from _expect import error_of
from _time import Time
from errors import HttpError
from esp32 import NVS

SALT = bytes(range(16))
clock.time = Time()
clock._mark = clock.time.ticks_ms()
PASSWORD = "a password of our own"


class Request:
    address = "192.168.1.7"

    def __init__(self, authorization="", mark="", **cookies):
        self.client = self
        self.headers = {"authorization": authorization, "x-device": mark}
        self.cookies = cookies
        self.gives = {}


def basic(text, mark=""):
    return Request("Basic " + binascii.b2a_base64(text.encode()).decode().strip(), mark)


def check(text, mark=""):
    return password.check(text, Request(mark=mark))


def status(text, mark=""):
    """200 for the right password, else the status of the refusal."""
    try:
        check(text, mark)
    except HttpError as error:
        return error.status
    return 200


def own_password():
    """Give the board one, and return the mark of a device that knows it."""
    NVS("kit").set_blob("password", SALT + password.digest(PASSWORD, SALT))
    return check(PASSWORD)


def test_password_of_the_tutorial():
    assert not auth.is_password_set()
    for wrong in ("", "admin", "admin1234", None, 5):
        assert status(wrong) == 401
    assert status("admin123") == 200


def test_password_of_our_own(digest):
    """`digest`: what kit.settings makes of this password and salt, hexadecimal."""
    digest = binascii.unhexlify(digest)
    assert password.digest("Gr\u00fc\u00dfe!", SALT) == digest
    NVS("kit").set_blob("password", SALT + digest)
    assert auth.is_password_set()
    assert status("Gr\u00fc\u00dfe!") == 200
    assert status("admin123") == 401
    assert auth.is_basic(basic("admin:Gr\u00fc\u00dfe!"))
    for text in ("root:Gr\u00fc\u00dfe!", "root", ""):
        assert not auth.is_basic(basic(text))
    assert error_of(HttpError, auth.is_basic, basic("admin:admin123")).status == 401
    assert not auth.is_basic(Request("Basic ?"))
    assert not auth.is_basic(Request())


def test_locks_out_who_guesses():
    """A right password in time is forgiven, and so is everything after ten minutes."""
    for _ in range(3):
        assert [status("guess") for _ in range(4)] == [401] * 4
        assert status("admin123") == 200
    assert [status("guess") for _ in range(6)] == [401] * 5 + [429]
    assert status("admin123") == 429
    assert error_of(HttpError, auth.is_basic, basic("admin:admin123")).status == 429
    for wait in (600, 1):
        error = error_of(HttpError, check, "admin123")
        assert error.headers == {"Retry-After": str(wait)}
        assert error.advice.startswith("Wait %d s, or take the power away" % wait)
        clock.time.ms += 599_000
    clock.time.ms -= 598_000
    assert status("guess") == 401
    assert status("admin123") == 200
    assert not auth.failures


def test_strangers_lock_out_strangers():
    """Who logged in once has guesses of its own, whatever strangers do; and they have theirs, whatever it does."""
    mark, other = own_password(), check(PASSWORD)
    assert len(mark) == len(other) == 40
    assert mark != other
    assert [status("guess") for _ in range(6)] == [401] * 5 + [429]
    assert status(PASSWORD) == 429
    assert status(PASSWORD, mark) == 200
    assert check(PASSWORD, mark) == mark
    assert [status("guess", mark) for _ in range(6)] == [401] * 5 + [429]
    assert status(PASSWORD, mark) == 429
    assert status(PASSWORD, other) == 200
    clock.time.ms += 600_001
    assert status(PASSWORD) == 200


def test_marks_that_are_none():
    """They are a stranger's: no mark, a part of one, one with another name or digest, one of another password."""
    mark = own_password()
    swapped = "0123abcd" + mark[8:]
    wrong = mark[:-1] + ("0" if mark[-1] != "0" else "1")
    assert [status("guess", found) for found in ("", mark[:-1], mark + "0", swapped, wrong)] == [401] * 5
    assert status(PASSWORD) == 429
    for found in ("", "x", "\u20ac" * 40, mark[:8], mark.upper(), " " + mark):
        assert status(PASSWORD, found) == 429
    assert status(PASSWORD, mark) == 200
    password.change(PASSWORD + "!")
    assert status(PASSWORD + "!", mark) == 429


def test_no_marks_of_the_default_password():
    """Everybody knows it, and anybody could make one."""
    assert check("admin123") == ""
    key = b""
    forged = "0123abcd" + binascii.hexlify(hmac256.digest(key, b"0123abcd")).decode()[:32]
    assert [status("guess", forged) for _ in range(6)] == [401] * 5 + [429]


def test_marks_stay_good_over_a_restart():
    mark = own_password()
    assert [status("guess") for _ in range(6)] == [401] * 5 + [429]
    auth.failures.clear()  # a power cut frees the owner
    assert status(PASSWORD) == 200
    assert check(PASSWORD, mark) == mark


def test_a_reset_of_its_own_keeps_the_lock():
    """Strangers could bring it about: what they may not do before they may not do afterwards. Once."""
    guesses.keep()
    guesses.take_kept()
    assert not auth.failures
    assert [status("guess") for _ in range(6)] == [401] * 5 + [429]
    clock.time.ms += 100_000
    guesses.keep()
    auth.failures.clear()
    guesses.take_kept()
    assert error_of(HttpError, check, "admin123").headers == {"Retry-After": "500"}
    auth.failures.clear()
    guesses.take_kept()
    assert status("admin123") == 200


def test_remembers_few_devices():
    """Of those that guess; one that is locked out is not pushed out by others."""
    marks = [own_password()] + [check(PASSWORD) for _ in range(40)]
    assert [status("guess", marks[0]) for _ in range(6)] == [401] * 5 + [429]
    assert [status("guess") for _ in range(6)] == [401] * 5 + [429]
    for mark in marks[1:]:
        assert status("guess", mark) == 401
    assert len(auth.failures) <= 18
    assert status(PASSWORD, marks[0]) == status(PASSWORD) == 429


def test_credentials():
    """Schemes in any letters; this board's own cookie before one that other boards on the host have, too."""
    own, device = auth.COOKIES[1:]
    assert own.startswith("token-")
    assert device == "device-" + own[6:]
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert auth.token_of(Request(scheme + "  abc ")) == "abc"
    assert auth.token_of(Request("abc")) == ""
    assert auth.token_of(Request(**{"token": "1", own: "2"})) == "2"
    assert auth.token_of(Request(token="1")) == "1"
    assert auth.mark_of(Request(**{device: "3"})) == "3"
    assert auth.mark_of(Request(mark="4", **{device: "3"})) == "4"
    mark = own_password()
    request = basic("admin:" + PASSWORD)
    assert auth.is_basic(request)
    assert len(request.gives["X-Device"]) == 40
    request = basic("admin:" + PASSWORD, mark)
    assert auth.is_basic(request)
    assert request.gives["X-Device"] == mark
