# Runs on CPython and on MicroPython.
"""MicroPython's `machine` module for the virtual board: resets, pins and timers (ports/esp32 of v1.26)."""

import _chip

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

_PINS = tuple(range(24)) + (25, 26, 27) + tuple(range(32, 40))  # machine_pin.h
_FIRST_INPUT_ONLY = 34
_OUTPUT = 2  # bit of a mode


def reset():
    _chip.reset(HARD_RESET)


def soft_reset():
    raise SystemExit


def reset_cause():
    return _chip.reset_cause


def unique_id():
    return _chip.mac


def freq():
    """Hz. It cannot be changed here."""
    return 160_000_000


class Pin:
    """A pin; what it drives is reported to the chip, what it reads is its own output or pull."""

    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2

    def __init__(self, id, mode=None, pull=-1, value=None):
        if isinstance(id, Pin):
            id = id._id
        if id not in _PINS:
            raise ValueError("invalid pin")
        self._id = id
        self.init(mode, pull, value)

    def init(self, mode=None, pull=-1, value=None):
        state = _pins.setdefault(self._id, [self.IN, 0, 0])  # mode, pull, output
        if mode is not None:
            if self._id >= _FIRST_INPUT_ONLY and mode & _OUTPUT:
                raise ValueError("pin can only be input")
            state[0] = mode
        if pull != -1:
            state[1] = pull or 0
        if value is not None:
            state[2] = int(bool(value))
        if state[0] & _OUTPUT and (mode is not None or value is not None):
            _chip.pin(self._id, state[2])

    def value(self, value=None):
        mode, pull, output = _pins[self._id]
        if value is not None:
            return self.init(value=value)
        return output if mode & _OUTPUT else int(bool(pull & self.PULL_UP))

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(1 - _pins[self._id][2])

    def __repr__(self):
        return "Pin(%d)" % self._id


_pins = {}


class Timer:
    """One of four hardware timers; its callback runs between two steps of the program."""

    ONE_SHOT, PERIODIC = 0, 1

    def __init__(self, id, **settings):
        if id not in range(4):
            raise ValueError("invalid Timer number")
        self._id = id
        if settings:
            self.init(**settings)

    def init(self, mode=PERIODIC, period=0xFFFFFFFF, callback=None, freq=None):
        self.deinit()
        if callback:
            ms = 1000 / freq if freq else period
            _stop[self._id] = _chip.alarm(ms, mode == self.PERIODIC, lambda: callback(self))

    def deinit(self):
        if self._id in _stop:
            _stop.pop(self._id)()


_stop = {}  # functions, by the number of the timer


class WDT:
    """The watchdog: nothing stops it, and it goes on through a soft reset (machine_wdt.c)."""

    def __init__(self, id=0, timeout=5000):
        global _timeout
        if id != 0:
            raise ValueError
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        _timeout = timeout
        self.feed()

    def feed(self):
        _chip.watch(_timeout)
