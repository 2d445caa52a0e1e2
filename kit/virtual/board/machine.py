# Runs on CPython and on MicroPython.
"""MicroPython's `machine` module for the virtual board: resets, pins and timers (ports/esp32 of v1.26)."""

import _chip

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

_PINS = tuple(range(24)) + (25, 26, 27) + tuple(range(32, 40))  # machine_pin.h
_FIRST_INPUT_ONLY = 34
_OUTPUT = 2  # bit of a mode
_PWM = 0  # what the chip is told in place of a mode


_MISSING = "ADC ADCBlock DAC I2C I2S SDCard SPI Signal SoftI2C SoftSPI TouchPad UART bitstream lightsleep"


def __getattr__(name):
    if name in _MISSING.split():
        raise AttributeError("machine.%s is not on the virtual board" % name)
    raise AttributeError("'module' object has no attribute '%s'" % name)


def reset():
    _chip.reset(HARD_RESET)


def soft_reset():
    raise SystemExit


def deepsleep(ms=None):
    """Without a time only EN and the power wake the board; nor after one that the timer refuses (modmachine.c)."""
    if ms is not None and not isinstance(ms, int):
        raise TypeError("can't convert %s to int" % type(ms).__name__)
    _chip.sleep(-1 if ms is None else ms)


def reset_cause():
    return _chip.reset_cause


def unique_id():
    return _chip.mac


def freq():
    """Hz. It cannot be changed here."""
    return 160_000_000


class Pin:
    """A pin; what it drives is reported to the chip, what it reads is its own output, its pull, or a held button."""

    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2

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
        if mode is not None or (value is not None and state[0] & _OUTPUT):
            _chip.pin(self._id, state[2], state[0])

    def value(self, value=None):
        mode, pull, output = _pins[self._id]
        if value is not None:
            return self.init(value=value)
        if mode != self.OUT and _chip.is_held(self._id):
            return 0
        return output if mode & _OUTPUT else int(bool(pull & self.PULL_UP))

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def irq(self, handler=None, trigger=IRQ_FALLING | IRQ_RISING):
        """Have `handler` called with the pin, between two steps of the program, when a button is pressed or let go."""
        if handler is None:
            return _chip.watch_pin(self._id, None)
        _chip.watch_pin(self._id, lambda level: trigger & (1 if level else 2) and handler(self))

    def toggle(self):
        self.value(1 - _pins[self._id][2])

    def __repr__(self):
        return "Pin(%d)" % self._id


_pins = {}


class PWM:
    """A pulse on a pin; its duty is reported to the chip (machine_pwm.c).

    Simpler than on the chip: each object has a timer of its own with 16 bits, and goes on through a soft reset. Only
    `freq` (Hz) and `duty_u16` set it: there is no duty of 10 bits, none in nanoseconds, no inversion, no init.
    """

    def __init__(self, dest, freq=5000, duty_u16=1 << 15):
        if not isinstance(dest, Pin):
            raise ValueError("expecting a pin")
        if dest._id >= _FIRST_INPUT_ONLY:
            raise _chip.error(-258, "ESP_ERR_INVALID_ARG")
        self._id = dest._id
        self._run(freq, duty_u16)

    def deinit(self):
        self._freq = None
        _chip.pin(self._id, 0, _PWM)

    def freq(self, value=None):
        if value is None:
            return self._active()
        self._active()
        self._run(value, self._duty)

    def duty_u16(self, value=None):
        freq = self._active()
        if value is None:
            return self._duty
        self._run(freq, value)

    def _active(self):
        if self._freq is None:
            raise RuntimeError("PWM is inactive")
        return self._freq

    def _run(self, freq, duty):
        if not 0 < freq | 0 <= 40_000_000:  # no float has this operator, and the chip takes none
            raise ValueError("frequency must be from 1Hz to 40MHz")
        if not 0 <= duty | 0 <= 65535:
            raise ValueError("duty_u16 must be from 0 to 65536")  # the chip says one too many
        self._freq, self._duty = freq, duty
        _chip.pin(self._id, duty, _PWM)

    def __repr__(self):
        if self._freq is None:
            return "PWM(Pin(%d))" % self._id
        return "PWM(Pin(%d), freq=%d, duty_u16=%d)" % (self._id, self._freq, self._duty)


class RTC:
    """The clock; its time and its memory outlive every reset but that by power or EN."""

    def datetime(self, when=None):
        """Year, month, day, weekday, hour, minute, second, microsecond; setting does not look at the weekday."""
        if when is None:
            return _chip.clock()
        if len(when) != 8:
            raise ValueError("requested length 8 but object has length %d" % len(when))
        _chip.set_clock(tuple(when[:3]) + tuple(when[4:7]))

    def init(self, when):
        _chip.set_clock(tuple(when[:6]))

    def memory(self, data=None):
        if data is None:
            return _chip.kept
        if len(data) > 2048:  # MICROPY_HW_RTC_USER_MEM_MAX
            raise ValueError("buffer too long")
        _chip.keep(bytes(data))


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
