"""Board space: the built-ins, modules and import rules that board code sees (py/builtinimport.c of v1.26)."""

from __future__ import annotations
import __future__

import builtins
import importlib.machinery
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from .errors import BoardOSError
from .interrupt import pending
from .mounts import Mounts

# py/modbuiltins.c; `print`, `open`, `input`, `help`, `execfile` and `__import__` are the board's own
BUILTINS = """
    __build_class__ bool bytes bytearray complex dict enumerate filter float frozenset int list map memoryview object
    property range reversed set slice str super tuple type zip classmethod staticmethod Ellipsis NotImplemented abs all
    any bin callable chr compile delattr dir divmod eval exec getattr setattr globals hasattr hash hex id isinstance
    issubclass iter len locals max min next oct ord pow repr round sorted sum True False None __debug__
    BaseException ArithmeticError AssertionError AttributeError EOFError Exception GeneratorExit ImportError
    IndentationError IndexError KeyboardInterrupt KeyError LookupError MemoryError NameError NotImplementedError
    OverflowError RuntimeError StopAsyncIteration StopIteration SyntaxError SystemExit TypeError UnicodeError ValueError
    ZeroDivisionError
"""

# built-in modules that a file of the same name cannot replace (MP_REGISTER_MODULE)
FIXED = ("array", "esp32", "gc", "math", "micropython", "sys", "vfs")
FROZEN = ("asyncio", "_boot", "flashbdev", "inisetup")  # Python in the real firmware
STAND_INS = ("esp32", "machine", "network")

ANNOTATIONS = __future__.annotations.compiler_flag
BOARD_FOLDER = Path(__file__).parent.parent / "board"
OTADATA = BOARD_FOLDER.parent.parent / "otadata.py"


class Space:
    """One life of the interpreter, from boot or soft reset to the next soft reset.

    Args:
        built_in: makes a built-in module by name, or returns None.
        chip_modules: the stand-ins with their helpers; they live as long as the process, as C code does.
    """

    def __init__(
        self, mounts: Mounts, own: dict, built_in: Callable[[str], ModuleType | None], chip_modules: dict
    ) -> None:
        self._mounts = mounts
        self.path = ["", ".frozen", "/lib"]
        self.builtins = ModuleType("builtins")
        self.modules: dict[str, ModuleType] = {"builtins": self.builtins}
        self._built_in = built_in
        self._chip_modules = chip_modules
        names = self.builtins.__dict__
        names.update({name: getattr(builtins, name) for name in BUILTINS.split()}, OSError=BoardOSError)
        names.update(own, open=mounts.open, __import__=self.import_, execfile=self.run_file)
        self.main = self._new_module("__main__")

    @property
    def names(self) -> dict:
        """The dictionary of built-ins; board code is known by it."""
        return self.builtins.__dict__

    def run(self, source: str | bytes, filename: str, kind: str = "exec", module: ModuleType | None = None) -> None:
        """Run board code in a module, `__main__` by default; annotations are not evaluated, as on the chip."""
        code = compile(source, filename, kind, flags=ANNOTATIONS, dont_inherit=True)
        exec(code, (module or self.main).__dict__)

    def run_file(self, path: str, module: ModuleType | None = None) -> None:
        with self._mounts.open(path, "rb") as file:
            source = file.read()
        self.run(source, path, module=module)

    def _new_module(self, name: str) -> ModuleType:
        module = ModuleType(name)
        module.__builtins__ = self.names
        self.modules[name] = module
        return module

    def import_(
        self, name: str, globals: dict | None = None, locals: object = None, fromlist: tuple = (), level: int = 0
    ) -> ModuleType:
        if level:
            name = _absolute(name, globals or {}, level)
        module = None
        parts = name.split(".")
        for count, part in enumerate(parts, 1):
            module = self._load(".".join(parts[:count]), part, module)
        for item in fromlist or ():
            if item != "*" and not hasattr(module, item):
                if not hasattr(module, "__path__"):
                    raise ImportError(f"can't import name {item}")
                self._load(f"{name}.{item}", item, module)
        return module if fromlist else self.modules[parts[0]]

    def _load(self, full: str, part: str, outer: ModuleType | None) -> ModuleType:
        if full in self.modules:
            return self.modules[full]
        if outer is None:
            found = (part in FIXED and self._provide(part)) or self._search(part) or self._provide(part)
        else:
            found = self._stat(f"{outer.__path__}/{part}") if hasattr(outer, "__path__") else None
        if not found:
            raise ImportError(f"no module named '{full}'")
        module = found if isinstance(found, ModuleType) else self._load_file(full, found)
        if outer is not None:
            setattr(outer, part, module)
        return module

    def _search(self, part: str) -> ModuleType | str | None:
        for entry in self.path:
            if entry == ".frozen":
                found = self._provide(part) if part in FROZEN else None
            else:
                found = self._stat(f"{entry}/{part}" if entry else part)
            if found:
                return found
        return None

    def _stat(self, path: str) -> str | None:
        """Return the path of a package or of a module's file."""
        if self._mounts.kind(path) == "directory":
            return path
        return next((path + end for end in (".py", ".mpy") if self._mounts.kind(path + end) == "file"), None)

    def _load_file(self, full: str, path: str) -> ModuleType:
        module = self._new_module(full)
        try:
            if not path.endswith((".py", ".mpy")):
                module.__path__ = path
                path = self._stat(path + "/__init__") or ""
            if path.endswith(".mpy"):
                raise ImportError(f"{path} is compiled for a chip; the virtual board runs .py files: build for it")
            if path:
                module.__file__ = path
                self.run_file(path, module)
        except BaseException:
            self.modules.pop(full, None)
            raise
        return module

    def _provide(self, name: str) -> ModuleType | None:
        """Return the built-in module of this name, made when it is first asked for."""
        if name in FROZEN and name != "asyncio":
            return self._frozen(name)
        with pending:  # a host's package whose import was interrupted stays half imported
            module = self._stand_in(name) if name in STAND_INS else self._built_in(name)
        if module:
            self.modules[name] = module
        return module

    def _frozen(self, name: str) -> ModuleType:
        module = self._new_module(name)
        self.run((BOARD_FOLDER / f"{name}.py").read_bytes(), f"{name}.py", module=module)
        return module

    def _stand_in(self, name: str) -> ModuleType:
        """A module that is C on the chip: its frames are in no traceback, and it may import the chip's own modules."""
        if name not in self._chip_modules:
            path = OTADATA if name == "_otadata" else BOARD_FOLDER / f"{name}.py"
            module = self._chip_modules[name] = ModuleType(name)
            module.__builtins__ = {**self.names, "__import__": self._import_in_chip}
            exec(importlib.machinery.SourceFileLoader(name, str(path)).get_code(name), module.__dict__)
        return self._chip_modules[name]

    def _import_in_chip(
        self, name: str, globals: object = None, locals: object = None, fromlist: tuple = (), level: int = 0
    ) -> ModuleType:
        is_of_chip = name in STAND_INS or name.startswith("_")  # with an underscore: importable by stand-ins alone
        return self._stand_in(name) if is_of_chip else self._provide(name)


def _absolute(name: str, globals: dict, level: int) -> str:
    package = globals["__name__"].split(".")
    if "__path__" not in globals:
        package.pop()
    package = package[: len(package) - (level - 1)]
    if not package:
        raise ImportError("can't perform relative import")
    return ".".join([*package, name] if name else package)
