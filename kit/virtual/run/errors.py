"""Errors as MicroPython has them: numbers of the ESP32's C library, texts and tracebacks."""

import builtins
import errno
import re
import sys
import traceback

from .words import in_micropython

# newlib's sys/errno.h; the names are those that MicroPython's errno module knows
_ERRNO = """
    EPERM 1 ENOENT 2 EIO 5 EBADF 9 EAGAIN 11 ENOMEM 12 EACCES 13 EEXIST 17 ENODEV 19 EISDIR 21 EINVAL 22 EOPNOTSUPP 95
    ECONNRESET 104 ENOBUFS 105 ECONNREFUSED 111 EADDRINUSE 112 ECONNABORTED 113 ETIMEDOUT 116 EHOSTUNREACH 118
    EINPROGRESS 119 EALREADY 120 ENOTCONN 128
"""
ERRNO = {name: int(number) for name, number in re.findall(r"(\w+) (\d+)", _ERRNO)}
NAMES = {number: name for name, number in ERRNO.items()}
ENFILE = 23
_UNNAMED = {"EPIPE": ERRNO["ECONNRESET"], "EISCONN": 127, "ENETUNREACH": 114, "ENFILE": ENFILE}


class BoardOSError(builtins.OSError):
    """What board code knows as OSError."""

    @property
    def errno(self) -> object:
        return self.args[0] if self.args else None

    def __str__(self) -> str:
        return describe(self)

    def __repr__(self) -> str:
        return f"OSError{self.args!r}"


BoardOSError.__name__ = BoardOSError.__qualname__ = "OSError"
BoardOSError.__module__ = "builtins"


def board_error(name: str) -> BoardOSError:
    return BoardOSError(ERRNO[name])


def from_host(error: OSError) -> BoardOSError:
    """Return the board's error for one of this computer's sockets."""
    if isinstance(error, TimeoutError):
        return board_error("ETIMEDOUT")
    name = errno.errorcode.get(error.errno, "EIO")
    return BoardOSError(ERRNO.get(name) or _UNNAMED.get(name, error.errno))


def describe(error: BaseException) -> str:
    """The text that MicroPython prints behind the name of an exception."""
    args = error.args
    if isinstance(error, SyntaxError):
        return error.msg if isinstance(error, IndentationError) else "invalid syntax"
    if isinstance(error, OSError) and 0 < len(args) < 3 and args[0] in NAMES:
        return ": ".join([f"[Errno {args[0]}] {NAMES[args[0]]}", *map(str, args[1:])])
    if (words := in_micropython(error)) is not None:
        return words
    if isinstance(error, MemoryError) and not args:  # of this computer
        return "memory allocation failed"
    if len(args) == 1:
        return str(args[0])
    return repr(args) if args else ""


def format_exception(error: BaseException, builtins_of_board: dict) -> str:
    """The traceback that MicroPython prints: frames of board code only."""
    steps = [
        (frame.f_code.co_filename, line, f", in {frame.f_code.co_name}")
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__builtins__") is builtins_of_board
    ]
    if isinstance(error, SyntaxError) and error.filename:
        steps.append((error.filename, error.lineno, ""))
    frames = "".join(f'  File "{name}", line {line}{where}\n' for name, line, where in steps)
    head = "Traceback (most recent call last):\n" if frames else ""
    return f"{head}{frames}{type_name(error, builtins_of_board)}: {describe(error)}\n"


def type_name(error: BaseException, builtins_of_board: dict) -> str:
    """Return the name of the exception's class, or of its nearest base that exists on the board."""
    for cls in type(error).__mro__:
        of_host = getattr(sys.modules.get(cls.__module__), cls.__name__, None) is cls
        if not of_host or cls.__name__ in builtins_of_board or cls.__name__ in ("CancelledError", "TimeoutError"):
            break
    return cls.__name__
