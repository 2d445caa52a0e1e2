"""The interpreter on the chip: boot, programs, REPL, soft reset (ports/esp32/main.c of v1.26)."""

from __future__ import annotations

import gc
import io
import sys
import warnings
from collections.abc import Callable
from types import ModuleType

from . import littlefs
from .chip import SOFT_RESET, Chip
from .console import Console, Output, TextInput
from .errors import format_exception
from .interrupt import CTRL_C, pending
from .modules import MACHINE, RELEASE, VERSION, IOBase, attrtuple, module, os_module, plain_module
from .mounts import Mounts
from .repl import Repl
from .sockets import SELECT_NAMES, SOCKET_NAMES, Network, Socket
from .space import Space

MPY_ABI = 11014  # sys.implementation._mpy of the ESP32's builds: .mpy version 6.3, xtensawin
BUILD = "ESP32_GENERIC-OTA"
EOF = b"\x04"  # ends output in the raw REPL


class Runtime:
    """Runs the board's programs until the parent ends the process."""

    def __init__(self, settings: dict) -> None:
        self._console = Console()
        self._chip = Chip(settings, self._console)
        self._chip_modules: dict[str, object] = {"_chip": self._chip}
        self._repl = Repl(self._console, self._run_command)
        self._stdin = TextInput(self._console)
        self._stdout = Output(self._console)
        self._old: list[object] = []

    def live(self) -> None:
        warnings.simplefilter("ignore")  # of this computer's Python; MicroPython has none
        pending.install()
        self._console.link.start()
        self._console.print(f"virtual board: port 80 is reached at http://{self._chip.ip}:{self._chip.http}\n")
        while True:
            self._begin()
            if self._boot():
                self._repl.loop()
            self._end()

    def _begin(self) -> None:
        """Begin a life of the interpreter with nothing in it."""
        self._mounts = Mounts()
        own = {"print": self._print, "input": self._input, "help": self._help}
        self._space = Space(self._mounts, own, self._built_in, self._chip_modules)
        self._network = Socket.network = Network(self._chip.ip, self._chip.http, self._is_online)
        sys.displayhook = self._show
        pending.on_error = self._print_exception

    def _end(self) -> None:
        """Soft reset: sockets and files are closed, timers stop, Wi-Fi stays."""
        self._chip.stop_alarms()
        self._network.close_all()
        littlefs.close_files()
        # What a task or generator would do in its `finally` must not run: on the chip its memory is just taken.
        self._old.append(self._space.modules.get("asyncio"))
        del self._space, self._mounts
        gc.collect()
        self._console.print("MPY: soft reboot\n")
        self._chip.reset_cause = SOFT_RESET

    def _boot(self) -> bool:
        """Run _boot, boot.py and main.py; return False when one of them asks for a soft reset."""
        if not self._execute(lambda: self._space.import_("_boot"), char=pending.char):
            return False
        if not self._run_file("boot.py"):
            return False
        return self._repl.is_raw or not self._boot_passed or self._run_file("main.py")

    def _run_file(self, path: str) -> bool:
        if self._mounts.kind(path) != "file":
            self._boot_passed = True
            return True
        return self._execute(lambda: self._space.run_file(path))

    def _run_command(self, source: str | bytes, kind: str, raw: bool) -> bool:
        return self._execute(lambda: self._space.run(source, "<stdin>", kind), EOF if raw else b"")

    def _execute(self, program: Callable[[], object], end: bytes = b"", char: int = CTRL_C) -> bool:
        """Run a program to its end; return False when it asks for a soft reset. `end` follows output and errors."""
        error: BaseException | None = None
        try:
            try:
                pending.char = char
                program()
            except BaseException as caught:
                error = caught
        except KeyboardInterrupt as second:  # Ctrl-C once more, while the first one was on its way here
            error = second
        pending.disarm()
        self._boot_passed = error is None
        self._console.write(end)
        if isinstance(error, SystemExit):
            return False
        if error:
            self._print_exception(error)
        self._console.write(end)
        return True

    def _print_exception(self, error: BaseException, file: object = None) -> None:
        (file or self._stdout).write(format_exception(error, self._space.names))

    # what the board's built-ins do

    def _print(self, *values: object, sep: str = " ", end: str = "\n", file: object = None) -> None:
        (file or self._stdout).write(sep.join(map(str, values)) + end)

    def _show(self, value: object) -> None:
        if value is not None:
            self._space.builtins._ = value
            self._print(repr(value))

    def _input(self, prompt: str = "") -> str:
        self._print(prompt, end="")
        return self._repl.read_input()

    def _help(self, thing: object = None) -> None:
        self._print(
            "This is a virtual board: your program runs as Python on this computer, with MicroPython's modules."
        )
        self._print("CTRL-C interrupts a program, CTRL-D on an empty line does a soft reset.")

    def _built_in(self, name: str) -> ModuleType | None:
        vfs = {"mount": self._mounts.mount, "umount": self._mounts.umount, "VfsLfs2": littlefs.VfsLfs2}
        makers = {
            "asyncio": self._asyncio,
            "io": lambda: module("io", open=self._mounts.open, IOBase=IOBase, StringIO=io.StringIO, BytesIO=io.BytesIO),
            "os": lambda: os_module(self._mounts, vfs),
            "select": lambda: module("select", **SELECT_NAMES),
            "socket": lambda: module("socket", **SOCKET_NAMES, getaddrinfo=self._network.getaddrinfo),
            "sys": self._sys,
            "vfs": lambda: module("vfs", **vfs),
        }
        return makers[name]() if name in makers else plain_module(name)

    def _sys(self) -> ModuleType:
        about = {"name": "micropython", "version": (*VERSION, ""), "_machine": MACHINE, "_mpy": MPY_ABI}

        def leave(value: object = None) -> None:
            raise SystemExit(value)

        return module(
            "sys",
            argv=[],
            byteorder="little",
            exit=leave,
            implementation=attrtuple(**about, _build=BUILD),
            maxsize=0x7FFFFFFF,
            modules=self._space.modules,
            path=self._space.path,
            platform="esp32",
            print_exception=self._print_exception,
            stdin=self._stdin,
            stdout=self._stdout,
            stderr=self._stdout,
            version=f"3.4.0; MicroPython {RELEASE}",
            version_info=(3, 4, 0),
        )

    def _is_online(self) -> bool:
        network = self._chip_modules.get("network")
        return network is not None and network.WLAN().isconnected()

    def _asyncio(self) -> ModuleType:
        from .tasks import asyncio_module  # a tenth of a second, which not every boot needs

        return asyncio_module(self._report)

    def _report(self, text: str, error: BaseException) -> None:
        self._print(text, end="")
        self._print_exception(error)
