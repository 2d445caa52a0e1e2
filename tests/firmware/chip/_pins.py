# Runs on CPython and on MicroPython.
"""What outputs do, a button, and an LED with PWM: for the tests that need them."""

import _chip

OUT = 3  # mode
levels = []  # (GPIO, level) of each change of an output, in order
held = None  # GPIO of the button that somebody holds
pwm = []  # what was done with PWM


def record(number, level, mode):
    if mode == OUT:
        levels.append((number, level))


_chip.pin = record


class HeldPin:
    """In place of machine.Pin, which knows no button: the GPIO `held` reads low."""

    IN, OUT, PULL_UP = 1, 3, 2

    def __init__(self, number, mode, pull=None):
        self.number = number

    def value(self):
        return int(self.number != held)


class PWM:
    """In place of machine.PWM."""

    def __init__(self, pin, freq, duty_u16):
        pwm.append((pin, freq, duty_u16))

    def duty_u16(self, value):
        pwm.append(value)

    def deinit(self):
        pwm.append("deinit")
