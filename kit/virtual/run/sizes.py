"""How much of MicroPython's heap a program's objects would take: an estimate by kind, in its blocks of 16 bytes."""

import gc
import inspect
import types
from collections import deque
from collections.abc import Callable, Iterable

BLOCK = 16  # MICROPY_BYTES_PER_GC_BLOCK
WORD = 4
SMALL_INT = 1 << 30
QSTR = 4  # bytes of a name or a constant text beside its characters
TASK, CLASS, FUNCTION = 64, 80, 16  # a task with its entry in a queue; a class and a function without what they name
PER_BYTE_OF_CODE = 0.2  # of MicroPython's bytecode, which has no caches
NAMESPACE = {"__module__", "__name__"}  # keys of one, whose other keys are names in the code
FLAT = (type(None), bool, type(Ellipsis), type(NotImplemented), range, slice)  # nothing, or next to it
OF_HOST = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, types.FrameType)
OF_HOST += (types.GetSetDescriptorType, types.MemberDescriptorType)
NO_PROGRAM = (
    "chip",
    "console",
    "runtime",
    "space",
    "mounts",
    "repl",
    "interrupt",
    "memory",
)  # modules of ours in this folder


def _blocks(n: float) -> int:
    return -(-int(n) // BLOCK) * BLOCK


def _code(code: types.CodeType) -> int:
    constants = code.co_consts[1:] if code.co_flags & inspect.CO_OPTIMIZED else code.co_consts  # the first: docstring
    texts = sum(len(text) + QSTR for text in constants if isinstance(text, str))
    own = len(code.co_code) * PER_BYTE_OF_CODE + WORD * len(code.co_names) + texts
    return BLOCK + _blocks(own) + sum(_alone(thing) for thing in constants if not isinstance(thing, str))


SIZES = {  # by type, without what they refer to
    str: lambda text: BLOCK + _blocks(len(text) + 1),
    bytes: lambda data: BLOCK + _blocks(len(data) + 1),
    bytearray: lambda data: BLOCK + _blocks(len(data)),
    int: lambda number: 0 if -SMALL_INT <= number < SMALL_INT else BLOCK + _blocks(number.bit_length() / 8),
    float: lambda number: BLOCK,
    tuple: lambda items: _blocks(2 * WORD + WORD * len(items)),
    list: lambda items: BLOCK + _blocks(WORD * max(4, len(items))),
    dict: lambda items: BLOCK + _blocks(2 * WORD * 1.2 * len(items)),
    set: lambda items: BLOCK + _blocks(WORD * 1.2 * len(items)),
    deque: lambda items: BLOCK + _blocks(WORD * (items.maxlen or len(items))),
    type: lambda cls: CLASS,
    types.FunctionType: lambda function: FUNCTION,
    types.CodeType: _code,
    types.GeneratorType: lambda it: _blocks(32 + WORD * (it.gi_code.co_nlocals + it.gi_code.co_stacksize)),
    types.CoroutineType: lambda it: _blocks(32 + WORD * (it.cr_code.co_nlocals + it.cr_code.co_stacksize)),
}


def _alone(thing: object) -> int:
    size = _size_of(type(thing))
    return size(thing) if size else 0


def _size_of(kind: type) -> Callable[[object], int] | None:
    """Return the function for the nearest base of a class that is known by its size."""
    return SIZES.get(kind) or next((SIZES[base] for base in kind.__mro__ if base in SIZES), None)


def held(roots: Iterable[object], names: dict, enough: int) -> int:
    """Return how many bytes the roots take, and all they refer to that is a program's.

    Args:
        names: the built-ins of board code, by which its functions and modules are known.
        enough: where it is more than this, no matter how much.
    """
    seen = {id(names)}
    waiting, total = list(roots), 0
    while waiting and total <= enough:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        kind = type(thing)
        if kind in FLAT or _is_of_host(thing, kind, names):
            continue
        size = _size_of(kind)
        if kind is types.FunctionType:  # not its name, module and docstring
            parts = [thing.__code__, thing.__closure__, thing.__defaults__, thing.__kwdefaults__]
        else:
            parts = gc.get_referents(thing)
            if kind is dict and thing.keys() & NAMESPACE:
                seen.add(id(thing.get("__doc__")))
            elif issubclass(kind, dict):
                parts += thing  # the keys, which are not among them where all are str
        total += size(thing) if size else BLOCK + _blocks(2 * WORD * len(parts))  # an instance, and its attributes
        waiting += parts
    return total


def _is_of_host(thing: object, kind: type, names: dict) -> bool:
    """Tell whether an object is this computer's and no program's: on the chip it is in flash, or not in the heap."""
    if kind is types.FunctionType:
        return thing.__builtins__ is not names
    if kind is types.ModuleType:
        return thing.__dict__.get("__builtins__") is not names or "__file__" not in thing.__dict__
    if kind in OF_HOST:
        return True
    if issubclass(kind, type):
        return thing.__module__ is not None  # see space.build_class
    if kind.__name__ == "Loop":  # its tasks are found without it
        return True
    package, _, name = (kind.__module__ or "").rpartition(".")
    return package == __package__ and name in NO_PROGRAM
