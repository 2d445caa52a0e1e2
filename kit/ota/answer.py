"""What stands in an answer of the board: an object with what was asked for, or why there is none."""

import json
import re
from collections.abc import Mapping

from kit.errors import BoardError, UpdateError
from kit.ota.exchange import Answer

MOST_BRACKETS = 100  # Python can neither read nor show what is nested too deep
LONGEST_TEXT, LARGEST_NUMBER = 300, 2**40
NOT_OURS = "Check that board.url is this address."

Shape = Mapping[str, "type | Shape"]  # what must be there: a str, an int, a float, or an object of another shape


def said(body: bytes, shape: Shape | None = None) -> dict | None:
    """Return the JSON object in an answer; None where there is none, or none of this shape."""
    try:
        found = json.loads(body.decode()) if body.count(b"[") + body.count(b"{") <= MOST_BRACKETS else None
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()  # JSON can hold what UTF-8 cannot
    except ValueError:
        return None
    return found if fits(found, shape or {}) else None


def read(answer: Answer, shape: Shape | None = None) -> dict:
    """Return what the board said, or raise it.

    Raises:
        UpdateError: it refuses an update.
        BoardError: nobody is logged in, it refuses something else, or it answers as no firmware of ours does.
    """
    if answer.is_ok and (found := said(answer.body, shape)):
        return found
    refusal = {} if answer.is_ok else said(answer.body) or {}
    error, message, advice = (one_line(refusal.get(name)) for name in ("error", "message", "advice"))
    if message and error.startswith("UPDATE_ERROR_"):
        raise UpdateError(error, message, advice or NOT_OURS, answer.status)
    if answer.status == 401:
        raise log_in()
    if not message:
        raise not_ours(answer)
    if re.fullmatch("[0-9]{1,6}", seconds := answer.headers.get("Retry-After", "")):  # 429, locked out
        advice = f"Try again in {int(seconds) // 60} min {int(seconds) % 60} s."
    raise BoardError(message, advice or NOT_OURS)


def not_ours(answer: Answer) -> BoardError:
    """Return the error for an answer that our firmware would not give."""
    what = f"{answer.status} {one_line(answer.reason)}".strip()
    return BoardError(f"{answer.path} answered {what}, not as our firmware does.", NOT_OURS)


def log_in() -> BoardError:
    """Return the error for who is not logged in."""
    return BoardError("Nobody is logged in, 5 minutes are over, or the board has restarted.", "Log in: ota.login().")


def one_line(value: object) -> str:
    """Return a text that fits in a line, empty where there is none."""
    return "".join(c for c in value[:LONGEST_TEXT] if c.isprintable()) if isinstance(value, str) else ""


def fits(value: object, kind: type | Shape) -> bool:
    """Tell whether a value is a text of one line, a number from 0 on, or an object of some shape."""
    if isinstance(kind, Mapping):
        return isinstance(value, dict) and all(fits(value.get(name), inner) for name, inner in kind.items())
    if kind is str:
        return isinstance(value, str) and value == one_line(value)
    return type(value) in (int, kind) and 0 <= value <= LARGEST_NUMBER
