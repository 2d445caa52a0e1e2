# Runs on CPython and on MicroPython.
"""Tokens of both kinds: what they say, how long they are good, and what is none."""

import binascii
import json

import _chip
import _nvs
import auth
import clock
import hmac256
import password
import settings
import tokens
from _expect import error_of
from _time import Time
from errors import HttpError

NOW = 1_796_000_000  # Unix time, of 2026
YEAR_2000 = 946_684_800


class Clock:
    """In place of `time`: a clock that is set by a test, and counts from 1970 or from 2000 on."""

    def __init__(self):
        self.unix, self.epoch = NOW, 0

    def time(self):
        return self.unix - self.epoch

    def gmtime(self, second):
        assert second == 0
        return (2000 if self.epoch else 1970, 1, 1)


clock.time = Time()
clock._mark = clock.time.ticks_ms()
tokens.time = Clock()
tokens.take_key()  # as the first login does


def wait(seconds):
    """Let time pass on both clocks."""
    clock.time.ms += seconds * 1000
    tokens.time.unix += seconds


def restart():
    """As a reset does: what is in memory is gone."""
    auth.secret = None


def forge(text, key=None):
    """Sign a text, with the board's key or another one."""
    mac = hmac256.digest(key or settings.blob("token_key"), text.encode())
    return text + "." + tokens._digits(mac)


def changed(token):
    """Tokens that are almost one: cut, with more, with another character or case at each place."""
    yield token[:-1]
    yield token[1:]
    for more in ("=", "A", ".", ".A", " ", "\n", "\0", "\u20ac"):
        yield token + more
        yield more + token
    yield token.upper()
    yield token.lower()
    for at in range(len(token)):
        yield token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
    parts = token.split(".")
    for at in range(len(parts)):
        yield ".".join(parts[:at] + parts[at + 1 :])
        yield ".".join(parts[:at] + [""] + parts[at + 1 :])


NONSENSE = ("", ".", "..", "...", "....", "admin", "\u20ac" * 300, "x" * 1024, "." * 1024, "admin.1." + "9" * 1000)
NONSENSE += ("\U0001f600.\u00e9.\u0661.x", "None", "admin.0.None.None", "eyJ9.e30.", "null")


def test_what_a_token_says():
    wait(7)
    token = tokens.make()
    user, second, start, mac = token.split(".")
    assert (user, int(second)) == ("admin", clock.seconds())
    assert len(start) == 16 and not start.strip("0123456789abcdef")
    assert forge("admin." + second + "." + start) == token
    assert len(mac) == 43
    assert len(settings.blob("token_key")) == 32
    assert auth.is_token(token)


def test_five_minutes():
    first = tokens.make()
    wait(1)
    second = tokens.make()
    assert first != second
    wait(298)
    assert auth.is_token(first) and auth.is_token(second)
    wait(1)
    assert not auth.is_token(first)
    assert auth.is_token(second)
    wait(1)
    assert not auth.is_token(second)


def test_what_is_no_token():
    token = tokens.make()
    for bad in changed(token):
        assert not auth.is_token(bad), bad
    for bad in NONSENSE:
        assert not auth.is_token(bad), bad
        assert not auth.is_token(forge(bad, b"k" * 32)), bad
    assert auth.is_token(token)


def test_what_others_have_signed():
    """With the right key too: another user, the future, another start; with another key, as another board has one."""
    user, second, start, _ = tokens.make().split(".")
    assert auth.is_token(forge("%s.%s.%s" % (user, second, start)))
    for text in (
        "root.%s.%s" % (second, start),
        ".%s.%s" % (second, start),
        "Admin.%s.%s" % (second, start),
        "admin.%d.%s" % (int(second) + 1, start),
        "admin.%d.%s" % (int(second) - 300, start),
        "admin.%s.%s" % (second, start[:-1]),
        "admin.%s.%s" % (second, start.upper() + "0"),
        "admin.%s." % second,
    ):
        assert not auth.is_token(forge(text)), text
    for key in (bytes(32), b"\xff" * 32, settings.blob("token_key")[:-1] + b"?"):
        assert not auth.is_token(forge("%s.%s.%s" % (user, second, start), key))


def test_none_is_good_after_a_restart():
    """Nor before somebody has logged in there; the key stays."""
    made_before, key = [tokens.make(), tokens.make(True)], settings.blob("token_key")
    start = auth.secret[1]
    restart()
    assert not [token for token in made_before if auth.is_token(token)]
    assert not auth.is_token(forge("admin.%d.None" % clock.seconds()))
    tokens.take_key()
    assert not [token for token in made_before if auth.is_token(token)]
    assert (settings.blob("token_key"), auth.secret[1] == start) == (key, False)
    assert auth.is_token(tokens.make())


def test_none_is_good_after_another_password():
    made_before, key = [tokens.make(), tokens.make(True)], settings.blob("token_key")
    password.change("a password of our own")
    assert not [token for token in made_before if auth.is_token(token)]
    assert settings.blob("token_key") != key
    assert len(settings.blob("token_key")) == 32
    assert auth.is_token(tokens.make())
    error_of(HttpError, password.change, "short")
    assert auth.is_token(tokens.make())


def test_logging_in_writes_once():
    """In the life of a board; flash wears out."""
    before = _chip.operations
    for _ in range(10):
        restart()
        tokens.take_key()
        tokens.make()
        tokens.make(True)
    assert _chip.operations == before


def test_nvs_that_is_full():
    """A key in memory does."""
    restart()
    _chip._put(0x9000, b"\xff" * 0x4000)  # a board where nobody has logged in yet
    _nvs.open_partition(0x9000, 0x4000)
    assert settings.blob("token_key") is None
    _chip.fail_at = _chip.operations
    tokens.take_key()
    assert settings.blob("token_key") is None
    made_before = [tokens.make(), tokens.make(True)]
    assert all([auth.is_token(token) for token in made_before])  # noqa: C419
    _chip.fail_at = None
    restart()
    tokens.take_key()
    assert len(settings.blob("token_key")) == 32
    assert not [token for token in made_before if auth.is_token(token)]
    key = settings.blob("token_key")
    token = tokens.make()
    _chip.fail_at = _chip.operations
    tokens.take_key(True)
    assert settings.blob("token_key") == key
    assert not auth.is_token(token)


# JSON Web Tokens


def parsed(part):
    return json.loads(binascii.a2b_base64(part.replace("-", "+").replace("_", "/") + "=="))


def made(header, **claims):
    """A JWT with the board's key: the claims of a good one, changed."""
    found = parsed(tokens.make(True).split(".")[1])
    found.update(claims)
    return forge(tokens._digits(header) + "." + tokens._digits(json.dumps(found).encode()))


HEADER = b'{"alg":"HS256","typ":"JWT"}'


def test_what_a_jwt_says():
    for epoch in (0, YEAR_2000):
        tokens.time.epoch = epoch
        token = tokens.make(True)
        assert "=" not in token and "+" not in token and "/" not in token
        header, claims, _ = token.split(".")
        assert parsed(header) == {"alg": "HS256", "typ": "JWT"}
        assert parsed(claims) == {
            "sub": "admin",
            "iss": "mpy-esp32",
            "iat": NOW,
            "exp": NOW + 300,
            "jti": "admin.%d.%s" % (clock.seconds(), auth.secret[1]),
        }
        assert auth.is_token(token)
        assert auth.is_token(made(HEADER))


def test_five_minutes_of_a_jwt():
    """By the clock, and by the seconds since the start whatever is done to that."""
    for epoch in (0, YEAR_2000):
        tokens.time.epoch = epoch
        token = tokens.make(True)
        wait(299)
        assert auth.is_token(token)
        wait(1)
        assert not auth.is_token(token)
    token = tokens.make(True)
    for _ in range(300):
        clock.time.ms += 1000  # the clock is held, or set back again and again
        clock.seconds()
    assert not auth.is_token(token)
    token = tokens.make(True)
    tokens.time.unix += 300
    assert not auth.is_token(token)
    tokens.time.unix -= 301
    assert not auth.is_token(token)  # it comes from the future
    tokens.time.unix += 1
    assert auth.is_token(token)
    assert auth.is_token(made(HEADER))
    assert not auth.is_token(made(HEADER, iat=tokens.time.unix + 1))
    assert not auth.is_token(made(HEADER, exp=tokens.time.unix))


def test_algorithms_that_are_not_ours():
    """Though the HMAC is right."""
    assert auth.is_token(made(HEADER))
    for name in ("none", "None", "NONE", "", "hs256", "Hs256", "HS384", "HS512", "RS256", "ES256", "HS256 ", "HS2560"):
        for header in ('{"alg":"%s","typ":"JWT"}', '{"typ":"JWT","alg":"%s"}'):
            assert not auth.is_token(made((header % name).encode())), name
    for header in (b"{}", b"", b"null", b'{"alg":null}', b'{"alg":["HS256"]}', b'{"alg":"HS256","alg":"none"}'):
        assert not auth.is_token(made(header)), header


def test_a_jwt_without_a_signature():
    for header in (b'{"alg":"none"}', b'{"alg":"none","typ":"JWT"}', HEADER):
        text = made(header).rpartition(".")[0]
        for mac in ("", ".", ".none", ".AAAA", "." + tokens._digits(bytes(32)), "." + tokens._digits(b"")):
            assert not auth.is_token(text + mac), (header, mac)


def test_what_is_no_jwt():
    token = tokens.make(True)
    for bad in changed(token):
        assert not auth.is_token(bad), bad
    header, claims, mac = token.split(".")
    later = parsed(claims)
    later["exp"] += 1
    assert not auth.is_token(".".join((header, tokens._digits(json.dumps(later).encode()), mac)))
    assert not auth.is_token(forge(header + "." + claims, b"k" * 32))
    assert auth.is_token(token)


def test_a_jwt_of_another_start():
    second, start = clock.seconds(), auth.secret[1]
    for stamp in (
        "admin.%d.0123456789abcdef" % second,
        "admin.%d.%s" % (second + 1, start),
        "admin.%d.%s" % (second - 300, start),
        "root.%d.%s" % (second, start),
    ):
        assert not auth.is_token(made(HEADER, jti=stamp)), stamp


def test_no_jwt_without_a_clock():
    """It begins with 2000; 2025 is the first year in which it can have been set."""
    for unix in (YEAR_2000, YEAR_2000 + 1_000_000, 1_735_689_599):
        for epoch in (0, YEAR_2000):
            tokens.time.unix, tokens.time.epoch = unix, epoch
            error = error_of(HttpError, tokens.make, True)
            assert (error.status, error.name) == (409, "NO_CLOCK")
            assert error.message.endswith(".") and error.advice.endswith(".")
    tokens.time.unix += 1
    assert auth.is_token(tokens.make(True))


def show_key():
    """For the tests of the whole application."""
    print("KEY", binascii.hexlify(settings.blob("token_key")).decode())
