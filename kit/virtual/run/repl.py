"""The REPL: raw, raw paste and friendly (shared/runtime/pyexec.c of v1.26)."""

import codeop
from collections.abc import Callable

from .console import Console
from .line import Editor, indentation
from .modules import MACHINE, RELEASE

CTRL_A, CTRL_B, CTRL_C, CTRL_D, CTRL_E = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"
WINDOW = 128  # bytes: half of MICROPY_REPL_STDIN_BUFFER_MAX
BANNER = f'MicroPython {RELEASE}; {MACHINE}\nType "help()" for more information.\n'
RAW_BANNER = "raw REPL; CTRL-B to exit\n"


class Repl:
    """Reads commands from the console until one asks for a soft reset; its mode outlives the reset.

    Args:
        run: runs source code; arguments are the source, the kind for compile() and whether to frame the output with
            Ctrl-D, as a raw REPL does. Returns False when the program asks for a soft reset.
        complete: as an Editor wants it.
    """

    def __init__(
        self, console: Console, run: Callable[..., bool], complete: Callable[[str], tuple[str, list[str]]]
    ) -> None:
        self._console, self._run = console, run
        self._editor = Editor(console, complete)
        self.is_raw = False

    def loop(self) -> None:
        while self._raw() if self.is_raw else self._friendly():
            pass

    def _get(self) -> bytes:
        return bytes([self._console.get()])

    def _raw(self) -> bool:
        """Serve the raw REPL; return False for a soft reset, True for the friendly REPL."""
        self._console.print(RAW_BANNER + ">")
        line = bytearray()
        while True:
            byte = self._get()
            if byte == CTRL_A and line == CTRL_E + b"A":
                if not self._raw_paste():
                    return False
                self._console.print(">")
            elif byte == CTRL_A:
                self._console.print(RAW_BANNER + ">")
            elif byte == CTRL_B:
                self._console.print("\n")
                self.is_raw = False
                return True
            elif byte == CTRL_D:
                self._console.print("OK" if line else "OK\n")
                if not line or not self._run(bytes(line), "exec", True):
                    return False
                self._console.print(">")
            elif byte != CTRL_C:
                line += byte
                continue
            line.clear()

    def _raw_paste(self) -> bool:
        self._console.write(b"R\x01" + WINDOW.to_bytes(2, "little") + b"\x01")
        source = bytearray()
        while (byte := self._get()) not in (CTRL_C, CTRL_D):
            source += byte
            if len(source) % WINDOW == 0:
                self._console.write(b"\x01")
        self._console.write(CTRL_D)
        return self._run(b"raise KeyboardInterrupt" if byte == CTRL_C else bytes(source), "exec", True)

    def _friendly(self) -> bool:
        """Serve the friendly REPL; return False for a soft reset, True for the raw REPL or a new banner."""
        self._console.print(BANNER)
        source = ""
        while True:
            line, end = self._editor.read(*("... ", indentation(source.split("\n")[-1])) if source else (">>> ",))
            if end == CTRL_C or (source and end in (CTRL_A, CTRL_B)):
                source = ""
            elif end in (CTRL_A, CTRL_B):
                self.is_raw = end == CTRL_A
                return True
            elif end == CTRL_D and not source:
                return False
            elif end == CTRL_E and not source:
                if not self._paste():
                    return False
            else:
                source = f"{source}\n{line}" if source else line
                if end == CTRL_D or not _is_incomplete(source):
                    if source.strip() and not self._run(source + "\n", "single", False):
                        return False
                    source = ""

    def _paste(self) -> bool:
        """Take lines without a look at their indentation, and run them together."""
        self._console.print("\npaste mode; Ctrl-C to cancel, Ctrl-D to finish\n=== ")
        source = bytearray()
        while (byte := self._get()) not in (CTRL_C, CTRL_D):
            source += b"\n" if byte == b"\r" else byte
            self._console.write(b"\r\n=== " if byte == b"\r" else byte)
        self._console.print("\n")
        return byte == CTRL_C or self._run(bytes(source), "exec", False)

    def read_input(self) -> str:
        """Read a line for input(), whose prompt has been printed."""
        line, end = self._editor.read("")
        if end == CTRL_D:
            raise EOFError
        return line


def _is_incomplete(source: str) -> bool:
    """Tell whether more lines belong to it: a block ends with a line that is empty, without a space."""
    if "\n" in source and source.split("\n")[-1].isspace():
        return True
    try:
        return codeop.compile_command(source, symbol="single") is None
    except (SyntaxError, ValueError, OverflowError):
        return False
