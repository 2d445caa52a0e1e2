# Runs on CPython and on MicroPython.
"""Passwords and tokens."""

import binascii

import auth
import clock
from _expect import error_of
from _time import Time
from errors import HttpError
from esp32 import NVS

SALT = bytes(range(16))
clock.time = Time()
clock._mark = clock.time.ticks_ms()
HERE, ELSEWHERE = "192.168.1.2", "192.168.1.3"


class Request:
    def __init__(self, authorization="", token=""):
        self.headers = {"authorization": authorization}
        self.cookies = {"token": token}
        self.client = self
        self.address = HERE


def basic(text):
    return Request("Basic " + binascii.b2a_base64(text.encode()).decode().strip())


def status(password, address=HERE):
    """200 for the right password, else the status of the refusal."""
    try:
        auth.check_password(password, address)
    except HttpError as error:
        return error.status
    return 200


def test_password_of_the_tutorial():
    assert not auth.is_password_set()
    for wrong in ("", "admin", "admin1234", None, 5):
        assert status(wrong) == 401
    assert status("admin123") == 200


def test_password_of_our_own(digest):
    """`digest`: what kit.settings makes of this password and salt, hexadecimal."""
    digest = binascii.unhexlify(digest)
    assert auth.hash_password("Gr\u00fc\u00dfe!", SALT) == digest
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
    """By address; a right password in time is forgiven, and so is everything after ten minutes."""
    for _ in range(3):
        assert [status("guess") for _ in range(4)] == [401] * 4
        assert status("admin123") == 200
    assert [status("guess") for _ in range(6)] == [401] * 5 + [429]
    assert status("admin123") == 429
    assert status("admin123", ELSEWHERE) == 200
    assert error_of(HttpError, auth.is_basic, basic("admin:admin123")).status == 429
    for wait in (600, 1):
        error = error_of(HttpError, auth.check_password, "admin123", HERE)
        assert (error.advice, error.headers) == ("Wait %d s." % wait, {"Retry-After": str(wait)})
        clock.time.ms += 599_000
    clock.time.ms -= 598_000
    assert status("guess") == 401
    assert status("admin123") == 200
    assert not auth._failures


def test_others_do_not_push_out_who_is_locked_out():
    assert [status("guess") for _ in range(6)] == [401] * 5 + [429]
    for number in range(100):
        assert status("guess", "10.0.0.%d" % number) == 401
    assert status("guess") == 429


def test_remembers_few_addresses():
    """The ones that were wrong last."""
    addresses = ["10.0.0.%d" % number for number in range(100)]
    for address in addresses:
        assert [status("guess", address) for _ in range(6)] == [401] * 5 + [429]
        auth._failures[address] = (5, auth._failures[address][1] + addresses.index(address))  # clocks are coarse
    assert sorted(auth._failures) == sorted(addresses[-16:])


def test_tokens():
    token = auth.new_token()
    assert len(token) == 32
    assert auth.is_token(token)
    assert token != auth.new_token()
    assert auth.token_of(Request("Bearer " + token)) == auth.token_of(Request(token=token)) == token
    assert not auth.is_token("")
    assert not auth.is_token(token[:-1])
    assert not auth.is_token(token + "0")
    clock.time.ms += 299_000
    assert auth.is_token(token)
    clock.time.ms += 1_000
    assert not auth.is_token(token)


def test_keeps_few_tokens():
    first = auth.new_token()
    auth._tokens[first] -= 1
    others = [auth.new_token() for _ in range(4)]
    assert not auth.is_token(first)
    assert all(auth.is_token(token) for token in others)
