"""Tokens and JSON Web Tokens, on both interpreters; another one's library reads what the board writes."""

import itertools
import re
import time
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest

BODY = (Path(__file__).parent / "bodies/jwts.py").read_text()
PASSWORD = "a password of our own"
CLAIMS = {"sub": "admin", "iss": "esp32-ota-0110"}


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)\(\)", BODY, re.M))
def test_tokens(function: str, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("jwts", function, make_flash())
    assert done.code == 0, done.output


@pytest.fixture
def key(board, interpreter) -> bytes:
    """The board's own."""
    board.log_in(PASSWORD)
    done = interpreter.run("jwts", "show_key", board.flash)
    return bytes.fromhex(done.output.split()[1])


def ask(board, **options) -> str:
    """Log in for a JWT."""
    answer = board.post("/login", **options)
    assert answer.status_code == 200, answer.text
    assert answer.json()["expires_in"] == 300
    return answer.json()["token"]


def status(board, token: str) -> int:
    return board.get("/progress", headers={"Authorization": f"Bearer {token}"}).status_code


def test_a_jwt_that_others_read(board, key: bytes) -> None:
    asked = {"password": PASSWORD, "type": "jwt"}
    for options in ({"json": asked}, {"data": asked}):
        token = ask(board, **options)
        assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
        required = {"require": ["exp", "iat", "iss", "sub", "jti"]}
        claims = jwt.decode(token, key, algorithms=["HS256"], issuer=CLAIMS["iss"], options=required)
        assert claims.items() >= CLAIMS.items()
        assert claims["exp"] - claims["iat"] == 300
        assert abs(claims["iat"] - time.time()) < 300
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(token, bytes(32), algorithms=["HS256"])
        assert status(board, token) == 200
        assert board.get("/log", headers={"Authorization": f"bearer {token}"}).status_code == 200
    assert "." in ask(board, json={"password": PASSWORD, "type": "JWT"})
    assert board.post("/login", json={"password": "guess", "type": "jwt"}).status_code == 401


def test_what_others_write(board, key: bytes) -> None:
    """With the board's own key: another algorithm, none, and times that are not now; with another key."""
    claims = jwt.decode(ask(board, json={"password": PASSWORD, "type": "jwt"}), key, algorithms=["HS256"])
    now = int(time.time())
    assert status(board, jwt.encode(claims, key, "HS256")) == 200
    for algorithm in ("HS384", "HS512"):
        assert status(board, jwt.encode(claims, key.ljust(64, b"\0"), algorithm)) == 401
    assert status(board, jwt.encode(claims, None, "none")) == 401
    assert status(board, jwt.encode(claims, bytes(32), "HS256")) == 401
    for changed in (
        {"exp": now - 1},
        {"iat": now + 1000, "exp": now + 2000},
        {"jti": f"admin.0.{'0' * 16}"},
        {"jti": claims["jti"].replace("admin", "root")},
    ):
        assert status(board, jwt.encode(claims | changed, key, "HS256")) == 401, changed
    assert "Traceback" not in board.output()


def test_tokens_end_with_the_password_and_with_the_start(interpreter, make_flash, serve) -> None:
    board = serve(interpreter, make_flash(), password=PASSWORD)
    board.log_in(PASSWORD)
    tokens = [board.token, ask(board, json={"password": PASSWORD, "type": "jwt"})]
    assert [status(board, token) for token in tokens] == [200, 200]
    new = PASSWORD + "!"
    assert board.post("/password", data={"password": PASSWORD, "new": new}, headers=board.bearer).status_code == 200
    assert [status(board, token) for token in tokens] == [401, 401]
    board.log_in(new)
    tokens = [board.token, ask(board, json={"password": new, "type": "jwt"})]
    assert board.post("/restart", headers=board.bearer).status_code == 200
    assert board.wait() == 42
    board = serve(interpreter, board.flash)
    assert [status(board, token) for token in tokens] == [401, 401]
    board.log_in(new)
    assert [status(board, token) for token in tokens] == [401, 401]


def test_a_token_of_another_board(board, interpreter, tmp_path: Path, serve) -> None:
    other = tmp_path / "other.bin"
    other.write_bytes(board.flash.read_bytes())
    another = serve(interpreter, other, password=PASSWORD)
    tokens = []
    for one in (board, another):
        one.log_in(PASSWORD)
        tokens += [one.token, ask(one, json={"password": PASSWORD, "type": "jwt"})]
    assert [status(board, token) for token in tokens] == [200, 200, 401, 401]
    assert [status(another, token) for token in tokens] == [401, 401, 200, 200]


def test_who_asks_twice(board) -> None:
    """In two lines: whatever they say, nobody knows which of them counts. In one it is no token."""
    board.log_in(PASSWORD)
    good, bad = f"Bearer {board.token}", "Bearer " + "0" * 32
    right, wrong = "Basic YWRtaW46YSBwYXNzd29yZCBvZiBvdXIgb3du", "Basic YWRtaW46Z3Vlc3M="
    for first, second in itertools.product((good, bad, right, wrong, ""), repeat=2):
        lines = [f"Authorization: {first}", f"authorization: {second}"]
        with board.connect("GET /progress HTTP/1.1", *lines) as connection:
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 400 BAD_REQUEST\r\n"), (first, second, answer)
        assert b"phase" not in answer
        with board.connect("GET /log HTTP/1.1", f"Authorization: {first}, {second}") as connection:
            assert connection.makefile("rb").readline() == b"HTTP/1.1 401 UNAUTHORIZED\r\n"
    assert board.get("/progress", headers=board.bearer).status_code == 200


@pytest.mark.parametrize("size", [900, 1100, 5000])
def test_tokens_that_are_huge(size: int, board, assert_refused) -> None:
    for token in ("x" * size, "." * size, f"admin.1.{'0' * size}", "\u00e9" * (size // 2)):
        answer = board.get("/log", headers={"Authorization": f"Bearer {token}".encode()})
        assert answer.status_code == (401 if size < 1000 else 431)
    assert "Traceback" not in board.output()
