"""The line that is typed at the friendly prompt (shared/readline/readline.c, py/repl.c of v1.26)."""

import itertools
import re
from collections import deque
from collections.abc import Callable

from .console import Console

ENDS = b"\x01\x02\x03\x04\x05"  # Ctrl-A to Ctrl-E end an empty line; Ctrl-C any
HISTORY = 8  # MICROPY_READLINE_HISTORY_SIZE
INDENT = 4
SLOT, SLOTS = 16, 4  # of a list of names
# by the code of a cursor key the control character that does the same
KEYS = {"A": 16, "B": 14, "C": 6, "D": 2, "H": 1, "F": 5, "1~": 1, "4~": 5, "7~": 1, "8~": 5, "3~": 127}
DELETE, BACKSPACES = 127, (8, 127)


class Editor:
    """Reads lines with cursor keys, a history and completion of names.

    Args:
        complete: for the text before the cursor returns its last word and the names that begin with it.
    """

    def __init__(self, console: Console, complete: Callable[[str], tuple[str, list[str]]]) -> None:
        self._console, self._complete = console, complete
        self._history: deque[str] = deque(maxlen=HISTORY)

    def read(self, prompt: str, indent: str = "") -> tuple[str, bytes]:
        """Read and echo a line that begins with `indent`; return it and the byte that ended it."""
        self._prompt, self._line, self._at, self._back = prompt, indent, len(indent), 0
        self._console.print(prompt + indent)
        while True:
            byte = self._console.get()
            if byte in b"\r\n\x03" or (bytes([byte]) in ENDS and not self._line and byte):
                self._console.print("\n")
                if self._line.strip() and byte in b"\r\n" and [self._line] != list(self._history)[-1:]:
                    self._history.append(self._line)
                return self._line, bytes([byte])
            key = self._escape() if byte == 0x1B else byte
            if key == 9 and self._line[: self._at].strip():
                self._tab()
            elif byte >= 0x20 and byte not in BACKSPACES:
                self._insert(self._character(byte))
            elif key:
                self._edit(key, is_delete=byte == 0x1B)

    def _escape(self) -> int:
        """Return the control key that a cursor key stands for, 0 for none."""
        if self._console.get() != ord("["):
            return 0
        code = chr(self._console.get())
        while not "@" <= code[-1] <= "~":
            code += chr(self._console.get())
        return KEYS.get(code, 0)

    def _character(self, byte: int) -> str:
        """Return the character that begins with a byte of UTF-8."""
        more = (byte >= 0xC0) + (byte >= 0xE0) + (byte >= 0xF0)
        return bytes([byte, *(self._console.get() for _ in range(more))]).decode("utf-8", "replace")

    def _insert(self, text: str) -> None:
        rest = self._line[self._at :]
        self._line = self._line[: self._at] + text + rest
        self._at += len(text)
        self._console.write((text + rest + "\b" * len(rest)).encode())

    def _show(self, line: str, at: int) -> None:
        """Show another line in place of this one."""
        gone = max(0, len(self._line) - len(line))
        text = "\b" * self._at + line + " " * gone + "\b" * (gone + len(line) - at)
        self._console.write(text.encode())
        self._line, self._at = line, at

    def _edit(self, key: int, is_delete: bool) -> None:
        line, at = self._line, self._at
        if key in BACKSPACES and not is_delete:
            n = (at - 1) % INDENT + 1 if at and not line[:at].strip() else min(1, at)
            self._show(line[: at - n] + line[at:], at - n)
        elif key in (4, DELETE):
            self._show(line[:at] + line[at + 1 :], at)
        elif key == 11:  # Ctrl-K
            self._show(line[:at], at)
        elif key == 21:  # Ctrl-U
            self._show(line[at:], 0)
        elif key in (1, 2, 5, 6):  # Ctrl-A, B, E, F
            self._show(line, {1: 0, 2: max(0, at - 1), 5: len(line), 6: min(len(line), at + 1)}[key])
        elif key in (14, 16):  # Ctrl-N, Ctrl-P
            self._back = max(0, min(len(self._history), self._back + (1 if key == 16 else -1)))
            old = self._history[-self._back] if self._back else ""
            self._show(old, len(old))

    def _tab(self) -> None:
        word, names = self._complete(self._line[: self._at])
        alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
        if rest := "".join(letters[0] for letters in alike)[len(word) :]:
            self._insert(rest)
        elif len(names) > 1:
            text, width = "", SLOT * SLOTS
            for name in names:
                gap = -width % SLOT + (SLOT if -width % SLOT < 2 else 0)
                fits = width + gap + len(name) <= SLOT * SLOTS
                text += " " * gap + name if fits else "\n" + name
                width = width + gap + len(name) if fits else len(name)
            self._console.print(f"{text}\n{self._prompt}{self._line}" + "\b" * (len(self._line) - self._at))


def completions(text: str, names: dict, modules: list[str]) -> tuple[str, list[str]]:
    """Return the word that a text ends with, and what it may become: names of its object, or of modules."""
    *path, word = re.search(r"[\w.]*$", text)[0].split(".")
    found = names
    for name in path:
        owner = found.get(name) if found is names else getattr(found, name, None)
        if owner is None:
            return word, []
        found = owner
    known = modules if text.startswith("import ") else names if found is names else dir(found)
    matches = sorted(name for name in known if name.startswith(word) and (word or name[0] != "_"))
    if not matches and text == word and "import ".startswith(word):
        matches = ["import "]
    return word, matches


def indentation(line: str) -> str:
    """Return what the line after this one begins with."""
    if not line.strip():
        return ""
    return line[: len(line) - len(line.lstrip(" "))] + " " * INDENT * line.rstrip(" ").endswith(":")
