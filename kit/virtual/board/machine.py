# Runs on CPython and on MicroPython.
"""MicroPython's `machine` module for the virtual board: resets, pins and timers (ports/esp32 of v1.26)."""

import _chip

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

_FREQUENCIES = (20, 40, 80, 160, 240)  # MHz
_PINS = tuple(range(24)) + (25, 26, 27) + tuple(range(32, 40))  # machine_pin.h
_FIRST_INPUT_ONLY = 34
_OUTPUT = 2  # bit of a mode
_TIMERS = 4

_frequency = 160_000_000


def reset():
    _chip.reset(HARD_RESET)


def soft_reset():
    raise SystemExit


def reset_cause():
    return _chip.reset_cause


def unique_id():
    return _chip.mac


def freq(hz=None):
    global _frequency
    if hz is None:
        return _frequency
    if hz // 1_000_000 not in _FREQUENCIES:
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    _frequency = hz


class Pin:
    """A pin; what it drives is reported to the chip, what it reads is its own output or pull."""

    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2

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

    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, id, **settings):
        if id not in range(_TIMERS):
            raise ValueError("invalid Timer number")
        self._id = id
        self._cancel = None
        if settings:
            self.init(**settings)

    def init(self, mode=PERIODIC, period=0xFFFFFFFF, callback=None, freq=None):
        self.deinit()
        self._mode, self._callback = mode, callback
        self._ms = 1000 / freq if freq else period
        _timers[self._id] = self
        self._start()

    def _start(self):
        self._cancel = _chip.alarm(self._ms, self._fire)

    def _fire(self):
        if _timers.get(self._id) is not self:
            return
        if self._mode == self.PERIODIC:
            self._start()
        if self._callback:
            self._callback(self)

    def deinit(self):
        old = _timers.pop(self._id, None)
        if old:
            old._cancel()


_timers = {}
