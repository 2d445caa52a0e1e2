"""A board that nobody reaches heals itself; one that is busy or without Wi-Fi is left alone. On both interpreters."""

import contextlib

import pytest

PASSWORD = "a password of our own"
CLOSING = "No client reaches this board any more. Closing all connections.\n"
RESTARTING = "No client reaches this board any more. Restarting.\n"
LOOK = 0.05


@pytest.mark.parametrize("deaf", ["memory", "silence"])
def test_a_deaf_board(deaf: str, interpreter, make_flash, serve) -> None:
    """First it closes what is open; where that does not help it resets."""
    board = serve(interpreter, make_flash(), look=LOOK, deaf=deaf, until=CLOSING)
    assert board.wait() == 42, board.output()
    assert board.output().index(CLOSING) < board.output().index(RESTARTING)
    assert board.output().count(CLOSING) == 1


def test_a_lock_out_outlives_that_reset(interpreter, make_flash, serve, assert_refused) -> None:
    board = serve(interpreter, make_flash(), password=PASSWORD, look=1, deaf="memory")
    for _ in range(5):
        assert board.post("/login", data={"password": "guess"}).status_code == 401
    assert board.wait() == 42, board.output()
    board = serve(interpreter, board.flash, install=0)
    assert_refused(board.post("/login", data={"password": PASSWORD}), 429, "LOCKED_OUT")


def test_a_board_that_hears(interpreter, make_flash, serve) -> None:
    """Its own looks disturb nobody, also while six silent clients come again and again."""
    board = serve(interpreter, make_flash(), password=PASSWORD, look=LOOK, head=0.3)
    board.log_in(PASSWORD)
    for _ in range(10):
        with contextlib.ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(board.connect())
            assert board.get("/info").json()["version"] == "1.0.0"
    assert "No client" not in board.output()


def test_a_slow_upload(interpreter, make_flash, serve, large) -> None:
    """While it runs nothing is looked at, whatever it takes of the memory."""
    board = serve(interpreter, make_flash(), password=PASSWORD, look=LOOK, deaf="")
    board.log_in(PASSWORD)
    data = large("1.1.0").data
    with board.start_upload(len(data), data[:5000]) as connection:
        for start in range(5000, 7000, 100):
            connection.sendall(data[start : start + 100])
            assert board.progress()["phase"] in ("check", "write")
    assert "No client" not in board.output()


def test_without_wifi(interpreter, make_flash) -> None:
    """An access point that is off for an hour is no reason."""
    done = interpreter.run("healths", "without_wifi", make_flash())
    assert done.code == 0, done.output
    assert "No client" not in done.output


def test_an_update_is_left_alone(interpreter, make_flash) -> None:
    done = interpreter.run("healths", "while_an_update_runs", make_flash())
    assert done.code == 0, done.output
    assert "No client" not in done.output


def test_looks_that_fail_now_and_then(interpreter, make_flash) -> None:
    """Two in a row are none yet; and a board that was healed has three again."""
    done = interpreter.run("healths", "now_and_then", make_flash())
    assert done.code == 0, done.output
