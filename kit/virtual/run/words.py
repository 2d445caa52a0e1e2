"""MicroPython's words for the errors that learners meet (py/ of v1.26), in place of CPython's."""

import re

_METHODS = {"+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv", "%": "mod", "@": "matmul"}
_METHODS |= {"**": "pow", "** or pow()": "pow", "<<": "lshift", ">>": "rshift", "&": "and", "|": "or", "^": "xor"}
_METHODS |= {name + "=": "i" + method for name, method in _METHODS.items()}
_METHODS |= {"<": "lt", ">": "gt", "<=": "le", ">=": "ge"}
_UNARY = {"-": "neg", "+": "pos", "~": "invert"}


def _binary(match: re.Match) -> str:
    return f"unsupported types for __{_METHODS[match['op']]}__: '{match['left']}', '{match['right']}'"


_TABLE = [  # of CPython 3.11 to 3.13, whole texts; then ours
    (r".*(division|modulo|divmod\(\)).*", "divide by zero", ZeroDivisionError),
    (r"name '(.*)' is not defined.*", r"name '\1' isn't defined", NameError),
    (r"(cannot access local|local) variable .*", "local variable referenced before assignment", NameError),
    (r"string index out of range", "str index out of range", IndexError),
    (r"(\w+) assignment index out of range", r"\1 index out of range", IndexError),
    (r"pop index out of range", "list index out of range", IndexError),
    (r"index out of range", "bytes index out of range", IndexError),
    (r"(?:partially initialized )?module '.*' has no attribute '(\w+)'.*", r"'module' object has no attribute '\1'", 0),
    (r"('.*' object has no attribute '\w+')\. .*", r"\1", AttributeError),
    (r"can only concatenate str \(not \"(\w+)\"\) to str", r"can't convert '\1' object to str implicitly", TypeError),
    (r"can only concatenate (\w+) \(not \"(\w+)\"\) to .*", r"unsupported types for __add__: '\1', '\2'", TypeError),
    (r"unsupported operand type\(s\) for (?P<op>.+): '(?P<left>.*)' and '(?P<right>.*)'", _binary, TypeError),
    (r"'(?P<op>[<>=]+)' not supported between instances of '(?P<left>.*)' and '(?P<right>.*)'", _binary, TypeError),
    (
        r"bad operand type for unary (.): '(.*)'",
        lambda match: f"unsupported type for __{_UNARY[match[1]]}__: '{match[2]}'",
        TypeError,
    ),
    (r"'(.*)' object is not (callable|subscriptable|iterable|an iterator)", r"'\1' object isn't \2", TypeError),
    (r"cannot unpack non-iterable (\w+) object", r"'\1' object isn't iterable", TypeError),
    (r"(\w+) indices must be integers(?: or slices)?, not (\w+)", r"\1 indices must be integers, not \2", TypeError),
    (r"unhashable type: (.*)", r"unsupported type for __hash__: \1", TypeError),
    (r"'(.*)' object does(?: not|n't) support item (\w+)", r"'\1' object doesn't support item \2", TypeError),
    (r"int\(\) argument must be .*, not '(\w+)'", r"can't convert \1 to int", TypeError),
    (
        r".*\(\) takes (?:from \d+ to )?(\d+) positional arguments? but (\d+) (?:was|were) given",
        r"function takes \1 positional arguments but \2 were given",
        TypeError,
    ),
    (r".*\(\) got an (unexpected keyword argument '\w+').*", r"\1", TypeError),
    (r".*\(\) got (multiple values for argument '\w+')", r"function got \1", TypeError),
    (
        r".*\(\) missing \d+ required keyword-only arguments?: ('\w+').*",
        r"function missing required keyword argument \1",
        0,
    ),
    (r"invalid literal for int\(\) with base (.*)", r"invalid syntax for integer with base \1", ValueError),
    (r"could not convert string to float: .*", "invalid syntax for number", ValueError),
    (r"not enough values to unpack \(expected .*, got (\d+)\)", r"need more than \1 values to unpack", ValueError),
    (r"(list\.remove\(x\): x|.* is) not in (list|deque|tuple)", "object not in sequence", ValueError),
    (r"maximum recursion depth exceeded.*", "maximum recursion depth exceeded", RuntimeError),
]


def in_micropython(error: BaseException) -> str | None:
    """Return what MicroPython says for an error of CPython; None where it says the same or nothing is known."""
    if isinstance(error, UnicodeError):
        return ""
    for pattern, text, kind in _TABLE:
        if isinstance(error, kind or (AttributeError, TypeError)) and (
            match := re.fullmatch(pattern, str(error), re.DOTALL)
        ):
            return text(match) if callable(text) else match.expand(text)
    return None
