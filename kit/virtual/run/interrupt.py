"""What may interrupt a running program: Ctrl-C and timers, as MicroPython's scheduler has them."""

import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from types import FrameType

OFF = -1  # no byte is an interrupt
CTRL_C = 3
SOON = 0.001  # s
SCHEDULER_DEPTH = 8  # MICROPY_SCHEDULER_DEPTH: what timers ask for while so many calls wait is lost


class Pending:
    """Things that wait for the running program; `with pending:` holds them back until the block ends.

    Other threads announce, the main thread acts: a signal stops even `while True: pass` and a sleep. Nothing may be
    raised in the middle of a frame to the parent, so everything that speaks to it is such a block.
    """

    def __init__(self) -> None:
        self.char = OFF  # the received byte that means KeyboardInterrupt (micropython.kbd_intr)
        self.names: dict | None = None  # the built-ins of board code, by which it is known
        self.on_error: Callable[[Exception], None] = print  # takes what a scheduled call raises
        self.on_calls: Callable[[], None] = lambda: None  # wakes a loop that waits, since calls may have changed things
        self.on_look: Callable[[FrameType], None] = print  # looks at what the program holds; may raise MemoryError
        self._keyboard = self._look = False
        self._calls: deque[Callable[[], None]] = deque(maxlen=SCHEDULER_DEPTH)
        self._depth = 0
        self._calling = False

    def install(self) -> None:
        """Take over SIGINT; one that comes from outside (a terminal's Ctrl-C) does nothing."""
        signal.signal(signal.SIGINT, self._handle)

    def keyboard(self) -> None:
        self._keyboard = True
        self._wake()

    def schedule(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        self._wake()

    def forget(self) -> None:
        """Drop what waits: the program that asked for it has gone."""
        self._calls.clear()

    def look(self) -> None:
        self._look = True
        self._wake()

    def _wake(self) -> None:
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        else:  # Windows, where a signal always reaches the main thread
            signal.raise_signal(signal.SIGINT)

    def _handle(self, signal: int = 0, frame: FrameType | None = None) -> None:
        """Run what timers have scheduled, then raise KeyboardInterrupt if Ctrl-C was typed."""
        if self._depth:
            return
        if self._look and frame:
            self._look = False
            self._depth += 1  # what comes meanwhile has its turn below
            self.on_look(frame)
            self._depth -= 1
        waiting = 0 if self._calling else len(self._calls)  # what comes meanwhile has to wait, or they never end
        for _ in range(waiting):
            self._calling = True
            try:
                self._calls.popleft()()
            except Exception as error:
                self.on_error(error)
            finally:
                self._calling = False
        if waiting:
            self.on_calls()
            if self._calls:  # scheduled by those: their turn comes when this has ended
                threading.Timer(SOON, self._wake).start()
        if self._keyboard:
            self._keyboard = False
            if self.char != OFF and frame and frame.f_builtins is self.names:
                raise_in(frame, KeyboardInterrupt())
            elif self.char != OFF:
                raise KeyboardInterrupt

    def disarm(self) -> None:
        """The program has ended: from here on Ctrl-C is a byte like any other."""
        self.char = OFF
        self._keyboard = False

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        self._handle()


def raise_in(frame: FrameType, error: BaseException) -> None:
    """Raise an error at the next instruction of board code.

    A signal comes at the end of a loop, where CPython 3.11 does not see that the loop is inside a `try`.
    """

    def fail(*_: object) -> None:
        sys.settrace(None)
        frame.f_trace = None
        raise error

    frame.f_trace, frame.f_trace_opcodes = fail, True
    sys.settrace(lambda *_: None)


pending = Pending()
