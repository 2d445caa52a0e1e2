# Runs on CPython and on MicroPython.
"""In place of `dns`: no server is asked."""

import sys


class Literals:
    async def resolve(self, name):
        if name == "localhost":
            return "127.0.0.1"
        if not name.replace(".", "").isdigit():
            raise OSError(f"No address of {name} was found.")
        return name


sys.modules["dns"] = Literals()
