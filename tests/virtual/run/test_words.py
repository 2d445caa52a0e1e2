"""What MicroPython says where CPython says something else."""

import pytest

ERRORS = [  # code, MicroPython 1.26's last line of the traceback
    ("1 / 0", "ZeroDivisionError: divide by zero"),
    ("1 % 0", "ZeroDivisionError: divide by zero"),
    ("1.5 // 0", "ZeroDivisionError: divide by zero"),
    ("divmod(1, 0)", "ZeroDivisionError: divide by zero"),
    ("x", "NameError: name 'x' isn't defined"),
    ("def f():\n  y\n  y = 1\nf()", "NameError: local variable referenced before assignment"),
    ("[][0]", "IndexError: list index out of range"),
    ("()[0]", "IndexError: tuple index out of range"),
    ("''[0]", "IndexError: str index out of range"),
    ("b''[0]", "IndexError: bytes index out of range"),
    ("[][0] = 1", "IndexError: list index out of range"),
    ("{}['k']", "KeyError: k"),
    ("import time; time.x", "AttributeError: 'module' object has no attribute 'x'"),
    ("(1).x", "AttributeError: 'int' object has no attribute 'x'"),
    ("'a' + 1", "TypeError: can't convert 'int' object to str implicitly"),
    ("1 + 'a'", "TypeError: unsupported types for __add__: 'int', 'str'"),
    ("1 < 'a'", "TypeError: unsupported types for __lt__: 'int', 'str'"),
    ("x = []; x -= 1", "TypeError: unsupported types for __isub__: 'list', 'int'"),
    ("-''", "TypeError: unsupported type for __neg__: 'str'"),
    ("1()", "TypeError: 'int' object isn't callable"),
    ("1[0]", "TypeError: 'int' object isn't subscriptable"),
    ("for x in 1: pass", "TypeError: 'int' object isn't iterable"),
    ("a, b = 1", "TypeError: 'int' object isn't iterable"),
    ("a, b = [1]", "ValueError: need more than 1 values to unpack"),
    ("[]['a']", "TypeError: list indices must be integers, not str"),
    ("{[]: 1}", "TypeError: unsupported type for __hash__: 'list'"),
    ("'a'[0] = 'b'", "TypeError: 'str' object doesn't support item assignment"),
    ("int('x')", "ValueError: invalid syntax for integer with base 10: 'x'"),
    ("float('x')", "ValueError: invalid syntax for number"),
    ("int(None)", "TypeError: can't convert NoneType to int"),
    ("[].remove(1)", "ValueError: object not in sequence"),
    ("(lambda: 0)(1)", "TypeError: function takes 0 positional arguments but 1 were given"),
    ("(lambda: 0)(a=1)", "TypeError: unexpected keyword argument 'a'"),
    ("def f(): f()\nf()", "RuntimeError: maximum recursion depth exceeded"),
    ("import nothing", "ImportError: no module named 'nothing'"),
    ("raise ValueError('my own words')", "ValueError: my own words"),
]


@pytest.mark.parametrize(("code", "words"), ERRORS)
def test_uncaught_errors_have_micropythons_words(raw, code: str, words: str):
    assert raw.run(code)[1].splitlines()[-1] == words


def test_a_caught_error_is_printed_in_the_same_words(raw):
    assert raw.run("try: 1 / 0\nexcept ZeroDivisionError as e: print(e, 'x')") == ("divide by zero x\n", "")


@pytest.mark.parametrize(
    "code",
    [
        "h = hashlib.sha256('te'); h.update('xt'); binascii.hexlify(h.digest())",
        "binascii.crc32('text'), binascii.hexlify('text'), binascii.b2a_base64('text'), binascii.unhexlify('00')",
        "struct.unpack('<4s', 'text')",
        "f = open('x', 'wb'); f.write('text'); f.close(); open('x', 'rb').read()",
    ],
)
def test_a_str_is_taken_where_a_buffer_is(raw, code: str):
    *before, last = code.split("; ")
    assert raw.run("import hashlib, binascii, struct\n" + "\n".join(before)) == ("", "")
    assert (
        raw.value(last)
        == {
            "h": "b'982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1'",
            "b": "(999008199, b'74657874', b'dGV4dA==\\n', b'\\x00')",
            "s": "(b'text',)",
            "f": "b'text'",
        }[code[0]]
    )


@pytest.mark.parametrize("code", ["b'a' + 'b'", "bytearray(b'a').extend(1)", "binascii.unhexlify('0')"])
def test_what_is_no_buffer_is_refused(raw, code: str):
    assert "Error" in raw.run(f"import binascii\n{code}")[1]


@pytest.mark.parametrize(
    "name",
    [
        "binascii",
        "collections",
        "errno",
        "hashlib",
        "io",
        "json",
        "os",
        "random",
        "re",
        "select",
        "socket",
        "struct",
        "time",
    ],
)
def test_the_names_with_a_u_work(raw, name: str):
    assert raw.run(f"import {name}, u{name}\nprint({name} is u{name})") == ("True\n", "")


@pytest.mark.parametrize("name", ["ugc", "umath", "usys", "unothing", "uesp32"])
def test_names_that_have_no_u(raw, name: str):
    assert raw.run(f"import {name}")[1].endswith(f"ImportError: no module named '{name}'\n")


def test_a_program_that_exits_ends_both_parts_of_its_output(raw):
    raw.send(b"print('bye')\nraise SystemExit\x04")
    assert raw.until(b"MPY: soft reboot\r\n") == b"OKbye\r\n\x04\x04MPY: soft reboot\r\n"


@pytest.mark.parametrize("wake", ["timer", "schedule"])
@pytest.mark.parametrize("kind", ["Event", "ThreadSafeFlag"])
def test_an_interrupt_wakes_a_task(raw, wake: str, kind: str):
    code = f"""
import asyncio, machine, micropython
async def main():
    flag = asyncio.{kind}()
    def call(_): flag.set()
    if {wake == "timer"}: machine.Timer(0).init(mode=machine.Timer.ONE_SHOT, period=50, callback=call)
    else: machine.Timer(0).init(mode=0, period=50, callback=lambda t: micropython.schedule(call, 0))
    await asyncio.wait_for(flag.wait(), 15)
    print('woken')
asyncio.run(main())
"""
    assert raw.run(code) == ("woken\n", "")
