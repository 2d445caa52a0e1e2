# Runs on CPython and on MicroPython.
"""Passwords and tokens."""

import binascii
import time

import auth
from esp32 import NVS

SALT = bytes(range(16))


class Request:
    def __init__(self, authorization="", token=""):
        self.headers = {"Authorization": authorization}
        self.cookies = {"token": token}


def basic(text):
    return Request("Basic " + binascii.b2a_base64(text.encode()).decode().strip())


def test_password_of_the_tutorial():
    assert auth.is_password("admin123")
    assert not auth.is_password_set()
    for wrong in ("", "admin", "admin1234", None, 5):
        assert not auth.is_password(wrong)


def test_password_of_our_own(digest):
    """`digest`: what kit.settings makes of this password and salt, hexadecimal."""
    digest = binascii.unhexlify(digest)
    assert auth.hash_password("Gr\u00fc\u00dfe!", SALT) == digest
    NVS("kit").set_blob("password", SALT + digest)
    assert auth.is_password_set()
    assert auth.is_password("Gr\u00fc\u00dfe!")
    assert not auth.is_password("admin123")
    assert auth.is_basic(basic("admin:Gr\u00fc\u00dfe!"))
    for text in ("root:Gr\u00fc\u00dfe!", "admin:admin123", "admin", ""):
        assert not auth.is_basic(basic(text))
    assert not auth.is_basic(Request("Basic ?"))
    assert not auth.is_basic(Request())


def test_tokens():
    token = auth.new_token()
    assert len(token) == 32
    assert auth.is_token(token)
    assert token != auth.new_token()
    assert auth.token_of(Request("Bearer " + token)) == auth.token_of(Request(token=token)) == token
    assert not auth.is_token("")
    assert not auth.is_token(token[:-1])
    assert not auth.is_token(token + "0")
    auth._tokens[token] = time.time() - 1
    assert not auth.is_token(token)


def test_keeps_few_tokens():
    first = auth.new_token()
    auth._tokens[first] -= 1
    others = [auth.new_token() for _ in range(4)]
    assert not auth.is_token(first)
    assert all(auth.is_token(token) for token in others)
