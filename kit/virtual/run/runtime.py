"""The interpreter on the chip: boot, programs, REPL, soft reset (ports/esp32/main.c of v1.26)."""

import contextlib
import gc
import importlib
import io
import sys
import warnings
from collections.abc import Callable

from kit.image import otadata

from . import littlefs
from .chip import SOFT_RESET, Chip
from .errors import BoardOSError, describe, format_exception, type_name
from .interrupt import CTRL_C, pending
from .line import completions
from .memory import memory
from .modules import MACHINE, PLAIN, RELEASE, VERSION, IOBase, attrtuple
from .mounts import Mounts
from .nameserver import PORT, start_name_server
from .repl import Repl
from .sockets import SELECT_NAMES, SOCKET_NAMES, Socket, open_sockets
from .space import BOARD_FOLDER, FROZEN, Space
from .streams import Output, TextInput

STAND_INS = ("esp32", "machine", "network")  # in the folder `board`; they live as long as the process, as C code does
MPY_ABI = 11014  # sys.implementation._mpy of the ESP32's builds: .mpy version 6.3, xtensawin
EOF = b"\x04"  # ends output in the raw REPL
HELP = """\
This is a virtual board: your program runs as Python on this computer, with MicroPython's modules.
CTRL-C interrupts a program, CTRL-D on an empty line does a soft reset."""


class Runtime:
    """Runs the board's programs until the parent ends the process."""

    def __init__(self, settings: dict) -> None:
        pending.install()
        self._chip = Socket.chip = Chip(settings)
        self._chip.ports[PORT] = start_name_server(self._chip.ip)
        self._console = self._chip.console
        self._repl = Repl(self._console, self._run_command, self._complete)
        self._stdout = Output(self._console)

    def live(self) -> None:
        memory.start()
        warnings.simplefilter("ignore")  # of this computer's Python; MicroPython has none
        sys.path.insert(0, str(BOARD_FOLDER))
        sys.modules.update(_chip=self._chip, _otadata=otadata)  # what the stand-ins import
        self._console.print(f"virtual board: port 80 is reached at http://{self._chip.ip}:{self._chip.http}\n")
        if self._chip.hosts:
            self._keep(lambda nvs: nvs.set_blob("hosts", ",".join(self._chip.hosts).encode()))
        self._chip.on_bind = self._tell_port
        while True:
            self._begin()
            if self._boot():
                self._repl.loop()
            self._end()

    def _keep(self, put: Callable[[object], None]) -> None:
        """Put what the start gave where it would come by cable: see firmware/app/self_test.py."""
        nvs = importlib.import_module("esp32").NVS("kit")
        put(nvs)
        nvs.commit()

    def _tell_port(self, port: int) -> None:
        """Say where port 443 is reached, also to a board that leads clients there: see firmware/app/tls_server.py."""
        if port == 443:
            self._console.print(f"virtual board: port 443 is reached at https://{self._chip.ip}:{self._chip.https}\n")
            with contextlib.suppress(BoardOSError):  # there is no NVS, or no room in it
                self._keep(lambda nvs: nvs.set_blob("https_port", str(self._chip.https).encode()))

    def _begin(self) -> None:
        """Begin a life of the interpreter with nothing in it."""
        self._mounts = Mounts()
        own = {
            "print": self._print,
            "input": self._input,
            "repr": self._repr,
            "help": lambda thing=None: self._print(HELP),
        }
        self._space = Space(self._mounts, own, self._natives())
        sys.displayhook = self._show
        pending.names, pending.on_error = self._space.names, self._print_exception
        memory.begin(self._roots)

    def _roots(self) -> list[object]:
        """Return what holds all that programs hold, but for the functions that run."""
        modules, tasks = self._space.modules, sys.modules.get(f"{__package__}.tasks")
        files = [module for module in modules.values() if hasattr(module, "__file__")]
        return [vars(self._space.main), *files, *(tasks.waiting() if tasks and "asyncio" in modules else ())]

    def _end(self) -> None:
        """Soft reset: sockets and files are closed, timers stop, Wi-Fi stays."""
        self._chip.stop_alarms()
        pending.forget()
        memory.begin(list)
        for stream in [*open_sockets, *littlefs.open_files]:
            stream.__del__()  # closes, and says nothing of what fails
        del self._space, self._mounts
        gc.collect()
        self._console.print("MPY: soft reboot\n")
        self._chip.reset_cause = SOFT_RESET

    def _boot(self) -> bool:
        """Run _boot, boot.py and main.py; return False when one of them asks for a soft reset."""
        if not self._execute(lambda: self._space.import_("_boot"), char=pending.char):
            return False
        for path in ("boot.py", "main.py"):
            if self._mounts.kind(path) == "file" and not self._execute(lambda path=path: self._space.run_file(path)):
                return False
            if self._repl.is_raw or self._failed:
                break
        return True

    def _run_command(self, source: str | bytes, kind: str, raw: bool) -> bool:
        return self._execute(lambda: self._space.run(source, "<stdin>", kind), EOF if raw else b"")

    def _complete(self, text: str) -> tuple[str, list[str]]:
        return completions(text, vars(self._space.main), [*self._natives(), *FROZEN])

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
        self._failed = error is not None
        self._console.write(end)
        asks_for_reset = isinstance(error, SystemExit)
        if error and not asks_for_reset:
            self._print_exception(error)
        error = None  # it holds this function, which holds it: what its program held would stay
        self._console.write(end)
        return not asks_for_reset

    def _print_exception(self, error: BaseException, file: object = None) -> None:
        (file or self._stdout).write(format_exception(error, self._space.names))

    # what the board's built-ins do

    def _print(self, *values: object, sep: str = " ", end: str = "\n", file: object = None) -> None:
        texts = (describe(value) if isinstance(value, BaseException) else str(value) for value in values)
        (file or self._stdout).write(sep.join(texts) + end)

    def _repr(self, value: object) -> str:
        is_error = isinstance(value, BaseException)
        return f"{type_name(value, self._space.names)}{value.args!r}" if is_error else repr(value)

    def _show(self, value: object) -> None:
        if value is not None:
            self._space.names["_"] = value
            self._print(self._repr(value))

    def _input(self, prompt: str = "") -> str:
        self._print(prompt, end="")
        return self._repl.read_input()

    # names in the built-in modules that work on the board

    def _natives(self) -> dict[str, dict | Callable]:
        vfs = {"mount": self._mounts.mount, "umount": self._mounts.umount, "VfsLfs2": littlefs.VfsLfs2}
        return {
            **PLAIN,
            **{name: lambda name=name: vars(importlib.import_module(name)) for name in STAND_INS},
            "asyncio": self._asyncio,
            "io": {"open": self._mounts.open, "IOBase": IOBase, "StringIO": io.StringIO, "BytesIO": io.BytesIO},
            "os": {**PLAIN["os"], **vfs, **self._mounts.functions()},
            "select": SELECT_NAMES,
            "socket": SOCKET_NAMES,
            "ssl": self._ssl,
            "sys": self._sys,
            "tls": self._tls,
            "vfs": vfs,
        }

    def _sys(self) -> dict[str, object]:
        about = {"name": "micropython", "version": (*VERSION, ""), "_machine": MACHINE, "_mpy": MPY_ABI}
        return {
            "argv": [],
            "byteorder": "little",
            "exit": sys.exit,
            "implementation": attrtuple(**about, _build="ESP32_GENERIC-OTA"),
            "maxsize": 0x7FFFFFFF,
            "modules": self._space.modules,
            "path": self._space.path,
            "platform": "esp32",
            "print_exception": self._print_exception,
            "stdin": TextInput(self._console),
            "stdout": self._stdout,
            "stderr": self._stdout,
            "version": f"3.4.0; MicroPython {RELEASE}",
            "version_info": (3, 4, 0),
        }

    def _tls(self) -> dict[str, object]:
        from .tls import TLS_NAMES  # OpenSSL, which few boots need

        return TLS_NAMES

    def _ssl(self) -> dict[str, object]:
        from .tls import ssl_names

        return ssl_names(self._mounts.open)

    def _asyncio(self) -> dict[str, object]:
        from .connections import connection_names
        from .tasks import asyncio_names

        return asyncio_names(connection_names, self._print, self._print_exception)
