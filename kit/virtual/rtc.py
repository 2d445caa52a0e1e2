"""What the real-time clock of the virtual board keeps: the time, and 2 kB for programs.

Both outlive every reset but that by power or EN, which are one to the chip. Its RTC timer goes on through "any resets
(with the exception of power-on resets which reset the RTC timer)" (ESP-IDF 5.5, System Time); the time of day is an
offset to that, in registers beside it (RTC_BOOT_TIME_LOW_REG, esp_time_impl.c); the memory is RTC_NOINIT_ATTR
(MicroPython 1.26, ports/esp32/machine_rtc.c).
"""

import time

FIRST_2100 = 3_155_760_000  # s from 2000 to 2100


class Rtc:
    """The clock of a board that has just got power.

    Attributes:
        start: when it would have shown 2000-01-01 00:00:00, in ns of time.monotonic_ns(), which is the same in every
            process of this computer.
        memory: what machine.RTC.memory() keeps.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: power came."""
        self.start, self.memory = time.monotonic_ns(), b""


def start_of(seconds: float) -> int:
    """Return the `start` of a clock that shows so many seconds since 2000 now.

    Raises:
        ValueError: it cannot show that.
    """
    if not (isinstance(seconds, int | float) and 0 <= seconds < FIRST_2100):
        raise ValueError(f"{seconds!r} is no time from 2000 to 2099")
    return time.monotonic_ns() - round(seconds * 1e6) * 1000
