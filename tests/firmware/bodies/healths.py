# Runs on CPython and on MicroPython.
"""Looks at the health of a board, as fast as they go."""

import asyncio

import health

looks = 0
healed = []  # (number of the look, whether it was the first remedy)


class Clock:
    """Time that passes at once."""

    def __init__(self, most):
        self._most = most

    async def sleep(self, seconds):
        global looks
        looks += 1
        if looks > self._most:
            raise EOFError
        await asyncio.sleep(0)


def _watch(most, is_deaf=lambda: True, is_up=True, busy=False):
    async def deaf(port):
        return is_deaf()

    class Ota:
        def is_busy(self):
            return busy

    health.asyncio = Clock(most)
    health._is_deaf, health.wifi.is_up, health.web.ota = deaf, lambda: is_up, Ota()
    health._heal = lambda is_new: healed.append((looks, is_new))
    try:
        asyncio.run(health.watch(80))
    except EOFError:
        pass


def without_wifi():
    _watch(180, is_up=False)  # an hour of looks
    assert not healed


def while_an_update_runs():
    _watch(180, busy=True)
    assert not healed


def now_and_then():
    answers = [True, True, False, True, True, True, True, True, False, True, True, True, True, True, True]
    _watch(len(answers), lambda: answers[looks - 1])
    assert healed == [(6, True), (12, True), (15, False)], healed
