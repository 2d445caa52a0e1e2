# Runs on CPython and on MicroPython.
"""In place of `time`: ticks that pass when a test says so, and wrap soon; whoever asks the clock itself fails."""


class Time:
    def __init__(self):
        self.ms = (1 << 30) - 7_000

    def ticks_ms(self):
        return self.ms % (1 << 30)

    def ticks_diff(self, end, start):
        return (end - start + (1 << 29)) % (1 << 30) - (1 << 29)
