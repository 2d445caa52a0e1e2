"""Board space: the built-ins, modules and import rules that board code sees (py/builtinimport.c of v1.26)."""

import __future__

import builtins
import gc
import importlib.util
import io
import posixpath
from pathlib import Path
from types import ModuleType

from .errors import BoardOSError
from .interrupt import pending
from .memory import memory
from .mounts import Mounts
from .streams import BUFFERS

# py/modbuiltins.c; `print`, `open`, `input`, `help`, `execfile` and `__import__` are the board's own
BUILTINS = """
    bool complex dict enumerate filter float frozenset int list map memoryview object
    property range reversed set slice str super tuple type zip classmethod staticmethod Ellipsis NotImplemented abs all
    any bin callable chr compile delattr dir divmod eval exec getattr setattr globals hasattr hash hex id isinstance
    issubclass iter len locals max min next oct ord pow round sorted sum True False None __debug__
    BaseException ArithmeticError AssertionError AttributeError EOFError Exception GeneratorExit ImportError
    IndentationError IndexError KeyboardInterrupt KeyError LookupError MemoryError NameError NotImplementedError
    OverflowError RuntimeError StopAsyncIteration StopIteration SyntaxError SystemExit TypeError UnicodeError ValueError
    ZeroDivisionError
"""

# built-in modules that a file of the same name cannot replace (MP_REGISTER_MODULE)
FIXED = ("array", "esp32", "gc", "math", "micropython", "sys", "vfs")
# also known with a u (py/objmodule.c)
EXTENSIBLE = (
    "array binascii collections cryptolib errno hashlib heapq io json machine os platform random re select "
    "socket struct time asyncio requests"
)
FROZEN = ("asyncio", "_boot", "flashbdev", "inisetup", "ntptime", "requests", "umqtt")  # Python in the real firmware
PACKAGES = {".umqtt": ("simple",)}
MISSING = (  # of the real firmware
    "_thread aioespnow apa106 bluetooth btree cmath cryptolib dht ds18x20 esp espnow framebuf mip neopixel onewire "
    "uctypes umqtt.robust upysh webrepl websocket"
)
PIECE = 128  # bytes of a file of code that are read at a time (py/reader.c has fewer)
ANNOTATIONS = __future__.annotations.compiler_flag
BOARD_FOLDER = Path(__file__).parent.parent / "board"


def build_class(*args: object, **kwargs: object) -> type:
    """Make a class that is printed without its module, as on the chip, and by whose lack of one it is known."""
    cls = builtins.__build_class__(*args, **kwargs)
    cls.__module__ = None
    return cls


def _why_not(module: ModuleType, item: str) -> str:
    try:
        getattr(module, item)
    except AttributeError as error:
        return str(error) if "virtual board" in str(error) else f"can't import name {item}"


class Space:
    """One life of the interpreter, from boot or soft reset to the next soft reset.

    Args:
        own: the board's own built-in functions.
        natives: by the name of each built-in module the names in it, or a function that returns them.
    """

    def __init__(self, mounts: Mounts, own: dict, natives: dict) -> None:
        self._mounts, self._natives = mounts, natives
        self._given = {".fixed": FIXED, ".frozen": FROZEN, ".built-in": set(natives).difference(FROZEN), **PACKAGES}
        self.path = ["", ".frozen", "/lib"]
        self.modules = {"builtins": ModuleType("builtins")}
        self.names = vars(self.modules["builtins"])  # board code is known by them
        self.names.update({name: getattr(builtins, name) for name in BUILTINS.split()}, OSError=BoardOSError)
        self.names.update(
            BUFFERS | own,
            __build_class__=build_class,
            open=mounts.open,
            __import__=self.import_,
            execfile=self.run_file,
        )
        self.main = self._new_module("__main__")

    def run(self, source: str | bytes, filename: str, kind: str = "exec", module: ModuleType | None = None) -> None:
        """Run board code in a module, `__main__` by default; annotations are not evaluated, as on the chip."""
        with pending:  # what this computer's compiler holds meanwhile is no program's, see memory.py
            code = compile(source, filename, kind, flags=ANNOTATIONS, dont_inherit=True)
        exec(code, (module or self.main).__dict__)

    def run_file(self, path: str, module: ModuleType | None = None) -> None:
        with self._mounts.open(path, "rb") as file:
            source = io.BytesIO()  # not in the board's memory: a chip has no file of code as a whole there
            while piece := file.read(PIECE):
                source.write(piece)
        self.run(source.getvalue(), path, module=module)

    def _new_module(self, name: str) -> ModuleType:
        module = ModuleType(name)
        module.__builtins__ = self.names
        self.modules[name] = module
        return module

    def import_(
        self, name: str, globals: dict | None = None, locals: object = None, fromlist: tuple = (), level: int = 0
    ) -> ModuleType:
        if level:
            package = globals["__name__"] if "__path__" in globals else globals["__name__"].rpartition(".")[0]
            name = importlib.util.resolve_name("." * level + name, package)
        module = first = None
        parts = name.split(".")
        for count, part in enumerate(parts, 1):
            module = self._load(".".join(parts[:count]), part, module)
            first = first or module
        for item in fromlist or ():
            if item != "*" and not hasattr(module, item):
                if not hasattr(module, "__path__"):
                    raise ImportError(_why_not(module, item))
                self._load(f"{name}.{item}", item, module)
        return module if fromlist else first

    def _load(self, full: str, part: str, outer: ModuleType | None) -> ModuleType:
        if full in self.modules:
            return self.modules[full]
        if outer is None:
            module = self._search([".fixed", *self.path, ".built-in"], part, full)
        else:
            module = self._search([outer.__path__] if hasattr(outer, "__path__") else [], part, full)
            setattr(outer, part, module)
        return module

    def _search(self, places: list[str], part: str, full: str) -> ModuleType:
        """Make the module from the first place, a folder or a set of our own, that has one of this name."""
        for place in places:
            if place in self._given:
                if part in self._given[place]:
                    return self._provide(full)
                if part[:1] == "u" and part[1:] in self._given[place] and part[1:] in EXTENSIBLE.split():
                    return self.import_(part[1:])
            elif path := self._stat(posixpath.join(place, part)):
                return self._load_file(full, path)
        known = full in MISSING.split()
        raise ImportError(f"{full} is not on the virtual board" if known else f"no module named '{full}'")

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
                path = self._stat(f"{path}/__init__") or ""
            if path.endswith(".mpy"):
                raise ImportError(f"{path} is compiled for a chip; the virtual board runs .py files: build for it")
            if path:
                module.__file__ = path
                self.run_file(path, module)
        except BaseException:
            self.modules.pop(full, None)
            raise
        return module

    def _provide(self, name: str) -> ModuleType:
        """Make the built-in or frozen module of this name."""
        module = self._new_module(name)
        path = BOARD_FOLDER.joinpath(*name.split("."))
        if names := self._natives.get(name):
            with pending:  # a host's package whose import was interrupted stays half imported
                before = set(map(id, gc.get_objects()))
                vars(module).update(names() if callable(names) else names)
                new = [thing for thing in gc.get_objects() if id(thing) not in before and thing is not before]
                memory.set_apart([vars(module), *new])  # what a host's package holds is no program's
        elif path.is_dir():
            module.__path__ = f".{name}"
        else:
            self.run(path.with_suffix(".py").read_bytes(), f"{'/'.join(name.split('.'))}.py", module=module)
        return module
