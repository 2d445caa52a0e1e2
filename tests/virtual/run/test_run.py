"""Run mode of the virtual board: the REPL, the file system, modules and interrupts."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest
from littlefs import LittleFS, UserContext

VFS = 0x310000
GEOMETRY = {
    "block_size": 4096,
    "block_count": 240,
    "read_size": 32,
    "prog_size": 32,
    "cache_size": 128,
    "lookahead_size": 32,
}
CTRL_A, CTRL_B, CTRL_C, CTRL_D, CTRL_E = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"
BANNER = b"MicroPython v1.26.0 on 2025-08-09; virtual board (CPython "
RAM_DISK = """
import vfs, os
class Disk:
    def __init__(self, data, size=512):
        self.data, self.size = data, size
    def readblocks(self, n, buf, off=0):
        start = n * self.size + off
        buf[:] = self.data[start:start + len(buf)]
    def writeblocks(self, n, buf, off=0):
        start = n * self.size + off
        self.data[start:start + len(buf)] = buf
    def ioctl(self, op, arg):
        if op == 4: return len(self.data) // self.size
        if op == 5: return self.size
        if op == 6:
            self.data[arg * self.size:(arg + 1) * self.size] = b'\\xff' * self.size
            return 0
disk = Disk(bytearray(b'\\xff' * 32768))
vfs.VfsLfs2.mkfs(disk)
"""
CONNECT = """
import network, time
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect('virtual-wifi', 'virtual-password')
while not wlan.isconnected(): time.sleep_ms(10)
"""


def write_file(life, path: str, text: str) -> None:
    assert life.run(f"with open({path!r}, 'w') as f: f.write({textwrap.dedent(text)!r})") == ("", "")


# boot


def test_a_start_loads_little():
    """What takes long to import comes when a program asks for it; benchmarks/speed.py measures the start."""
    code = "import sys, kit.virtual.run.runtime; print({'asyncio', 'ssl', 'zeroconf', 'requests'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def test_a_start_ends_with_the_banner(start: Callable, flash: bytearray):
    start(flash).prompt()  # makes the file system
    life = start(flash)
    output = life.prompt()
    first, banner, rest = output.partition(BANNER)
    assert first == b"virtual board: port 80 is reached at http://127.0.0.1:%d\r\n" % life.http
    assert banner
    assert rest.endswith(b', no Xtensa code runs) with ESP32\r\nType "help()" for more information.\r\n>>> ')


def test_a_blank_file_system_is_made_as_the_chip_makes_it(start: Callable, flash: bytearray):
    life = start(flash)
    assert b"Performing initial setup\r\nMicroPython" in life.prompt()
    fs = LittleFS(UserContext(buffer=flash[VFS:]), mount=False, **GEOMETRY)
    fs.mount()
    with fs.open("/boot.py") as file:
        assert file.readline() == "# This file is executed on every boot (including wake-boot from deepsleep)\n"
    life.enter_raw()
    assert life.value("__import__('os').statvfs('/')") == "(4096, 4096, 240, 237, 237, 0, 0, 0, 0, 255)"


def test_a_damaged_file_system_is_not_formatted(start: Callable, flash: bytearray):
    flash[VFS : VFS + 4096] = bytes(4096)
    life = start(flash)
    life.until(b"The filesystem appears to be corrupted.")
    life.send(CTRL_C)
    assert b'File "_boot.py"' in life.until(b"KeyboardInterrupt: \r\n")
    life.prompt()
    assert flash[VFS : VFS + 4096] == bytes(4096)


def test_boot_and_main_run_and_main_not_after_a_soft_reset_from_the_raw_repl(raw, start: Callable, flash: bytearray):
    write_file(raw, "boot.py", "print('BOOT')")
    write_file(raw, "main.py", "print('MAIN', __name__)")
    output = raw.soft_reset()
    assert output.startswith(b"OK\r\nMPY: soft reboot\r\nBOOT\r\nraw REPL")
    raw.send(CTRL_B)
    raw.prompt()
    raw.send(CTRL_D)
    assert raw.until(BANNER).endswith(b"MPY: soft reboot\r\nBOOT\r\nMAIN __main__\r\n" + BANNER)
    assert b"BOOT\r\nMAIN __main__\r\n" in start(bytearray(flash)).prompt()


def test_main_does_not_run_when_boot_fails(raw, start: Callable, flash: bytearray):
    write_file(raw, "boot.py", "def f():\n    return nothing\nf()")
    write_file(raw, "main.py", "print('MAIN')")
    output = start(flash).prompt()
    assert (
        b"Traceback (most recent call last):\r\n"
        b'  File "boot.py", line 3, in <module>\r\n'
        b'  File "boot.py", line 2, in f\r\n'
        b"NameError: name 'nothing' isn't defined\r\nMicroPython"
    ) in output


def test_the_process_ends_with_its_parent(life):
    life.process.stdin.close()
    assert life.process.wait(10) == 0


# REPL


def test_raw_repl(life):
    life.send(CTRL_A)
    assert life.until(b">").endswith(b"\r\nraw REPL; CTRL-B to exit\r\n>")
    life.send(b"print('a')\nb = 2\n" + CTRL_D)
    assert life.until(b">") == b"OKa\r\n\x04\x04>"
    life.send(b"1 + 1" + CTRL_D)
    assert life.until(b">") == b"OK\x04\x04>"
    life.send(b"c = " + CTRL_C + b"print(b)" + CTRL_D)
    assert life.until(b">") == b"OK2\r\n\x04\x04>"
    life.send(b"print('x', end='')\n1/0" + CTRL_D)
    output = (
        b'OKx\x04Traceback (most recent call last):\r\n  File "<stdin>", line 2, in <module>\r\nZeroDivisionError: '
    )
    assert life.until(b"\x04>").startswith(output)
    life.send(CTRL_B)
    assert life.until(BANNER) == b"\r\n" + BANNER


def test_raw_paste(raw):
    code = b"x = '" + b"y" * 300 + b"'\nprint(len(x))"
    raw.send(CTRL_E + b"A" + CTRL_A)
    assert raw.until(b"R\x01\x80\x00\x01") == b"R\x01\x80\x00\x01"
    raw.send(code + CTRL_D)
    assert raw.until(b">") == b"\x01\x01\x04300\r\n\x04\x04>"
    raw.send(CTRL_E + b"A" + CTRL_A)
    raw.until(b"R\x01\x80\x00\x01")
    raw.send(b"if" + CTRL_D)
    assert b"\x04\x04Traceback" in raw.until(b"SyntaxError: invalid syntax\r\n\x04>")
    raw.send(CTRL_E + b"A" + CTRL_A)
    raw.until(b"R\x01\x80\x00\x01")
    raw.send(b"while True" + CTRL_C)
    assert raw.until(b"\x04>").startswith(b"\x04\x04")


def test_friendly_repl(life):
    life.send(b"1 + 1\r")
    assert life.prompt() == b"1 + 1\r\n2\r\n>>> "
    life.send(b"if True:\rprint('yes')\r\r\r")
    assert life.prompt() == b"if True:\r\n...     print('yes')\r\n...     \r\n... \r\nyes\r\n>>> "
    life.send(b"None\rxq\x7f = 'h\xc3\xa4'\rx\r")
    assert life.until(b"x\r\n'h\xc3\xa4'\r\n>>> ")
    life.send(b"for\r")
    assert b"SyntaxError: invalid syntax" in life.prompt()
    life.send(b"half a li" + CTRL_C)
    assert life.prompt() == b"half a li\r\n>>> "
    life.send(b"_ = input('name? ')\rAda\rprint(_)\r")
    assert life.until(b"Ada\r\n>>> print(_)\r\nAda\r\n>>> ")
    life.send(CTRL_B)
    assert life.prompt().startswith(b"\r\n" + BANNER)
    life.send(CTRL_D)
    assert life.prompt().startswith(b"\r\nMPY: soft reboot\r\n" + BANNER)


def test_globals_live_until_the_soft_reset(raw):
    raw.run("x = 1")
    assert raw.value("x") == "1"
    raw.soft_reset()
    assert "NameError: name 'x' isn't defined" in raw.run("x")[1]


@pytest.mark.parametrize("code", ["import sys; sys.exit()", "import machine; machine.soft_reset()", "raise SystemExit"])
def test_programs_can_ask_for_a_soft_reset(raw, code: str):
    raw.send(code.encode() + CTRL_D)
    assert raw.until(b"raw REPL; CTRL-B to exit\r\n>").startswith(b"OK\x04\x04MPY: soft reboot\r\n")
    assert raw.value("__import__('machine').reset_cause()") == "5"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("open('none')", "OSError: [Errno 2] ENOENT"),
        ("raise OSError(-5379, 'ESP_ERR_X')", "OSError: (-5379, 'ESP_ERR_X')"),
        ("raise OSError(23)", "OSError: 23"),
        ("raise ValueError", "ValueError: "),
        ("{}['k']", "KeyError: k"),
        ("class MyError(Exception): pass\nraise MyError('mine', 2)", "MyError: ('mine', 2)"),
        ("import json; json.loads('{')", "ValueError: syntax error in JSON"),
        ("import struct; struct.unpack('<I', b'')", "ValueError: unpack requires a buffer of 4 bytes"),
        ("b'\\xff'.decode()", "UnicodeError: "),
        ("from os import path", "ImportError: can't import name path"),
        ("import nothing.at.all", "ImportError: no module named 'nothing'"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt: "),
    ],
)
def test_errors_read_as_on_a_chip(raw, code: str, message: str):
    output, error = raw.run(code)
    assert output == ""
    assert error.startswith('Traceback (most recent call last):\n  File "<stdin>", line ')
    assert error.splitlines()[-1].startswith(message)
    assert "kit" not in error


def test_os_errors_have_a_number_and_a_repr(raw):
    raw.run("try: open('none')\nexcept OSError as e: err = e")
    assert raw.value("err, err.errno, err.args, str(err)") == "(OSError(2,), 2, (2,), '[Errno 2] ENOENT')"


# Ctrl-C


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "time.sleep(100)",
        "asyncio.run(asyncio.sleep(100))",
        "asyncio.run(spin())",
        "sys.stdin.read(1)",
        "s = socket.socket(); s.bind(('', 0)); s.listen(); s.accept()",
        "p = select.poll(); p.register(sys.stdin, 1); p.poll()",
        "while True: P('ota_1').ioctl(6, 0)",
        "while True: print('.', end='')",
        "while True: os.stat('boot.py')",
    ],
)
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_reaches_the_repl(raw, body: str, times: int):
    head = "import asyncio, os, select, socket, sys, time\nfrom esp32 import Partition as P\n"
    head += "async def spin():\n  while True: await asyncio.sleep_ms(0)\n"
    raw.run(head)
    raw.send(b"print('GO')\n" + body.encode() + CTRL_D)
    raw.until(b"GO")
    raw.send(CTRL_C * times)
    assert raw.until(b"KeyboardInterrupt: \r\n\x04>").count(b"Traceback") == 1
    assert raw.run("print('alive')") == ("alive\n", "")


def test_ctrl_c_in_main_reaches_the_prompt(raw, start: Callable, flash: bytearray):
    write_file(raw, "main.py", "while True: print('running')")
    life = start(flash)
    life.until(b"running")
    life.send(CTRL_C)
    output = life.prompt()
    assert b'  File "main.py", line 1, in <module>\r\nKeyboardInterrupt: \r\n' + BANNER in output


def test_bytes_around_ctrl_c_are_kept(raw):
    raw.send(b"print('GO')\nwhile True: pass" + CTRL_D)
    raw.until(b"GO")
    raw.send(b"print(" + CTRL_C + b"'kept')" + CTRL_D)
    raw.until(b"\x04>")
    assert raw.finish() == ("kept\n", "")


def test_an_interrupt_that_is_caught_goes_no_further(raw):
    raw.send(b"try:\n  print('GO')\n  while True: pass\nexcept KeyboardInterrupt: print('caught')" + CTRL_D)
    raw.until(b"GO")
    raw.send(CTRL_C)
    assert raw.until(b"\x04\x04>") == b"\r\ncaught\r\n\x04\x04>"


@pytest.mark.parametrize("body", ["while True: pass", "time.sleep(100)"])
def test_an_interrupt_reaches_the_try_around_a_loop(raw, body: str):
    raw.send(f"import time\ntry:\n  print('GO')\n  {body}\nexcept KeyboardInterrupt: print('caught')".encode())
    raw.send(CTRL_D)
    raw.until(b"GO")
    raw.send(b"\x03")
    raw.until(b"caught\r\n")


def test_ctrl_c_can_be_data(raw):
    raw.send(b"import sys, micropython\nmicropython.kbd_intr(-1)\nprint('GO')\nx = sys.stdin.buffer.read(3)" + CTRL_D)
    raw.until(b"GO")
    raw.send(b"a" + CTRL_C + b"b")
    raw.until(b"\x04\x04>")
    assert raw.value("x") == r"b'a\x03b'"


def test_stdin_turns_carriage_returns_into_line_ends_and_its_buffer_does_not(raw):
    raw.send(b"import sys\nprint('GO')\nx = sys.stdin.buffer.read(2), sys.stdin.read(2), sys.stdin.readline()" + CTRL_D)
    raw.until(b"GO")
    raw.send(b"\r\n\r\nline\r")
    raw.until(b"\x04\x04>")
    assert raw.value("x") == r"(b'\r\n', '\n\n', 'line\n')"


def test_no_flash_request_is_torn_by_ctrl_c(raw, flash: bytearray):
    code = b"from esp32 import Partition\np = Partition('ota_1')\nn = 0\n"
    code += b"while True:\n  p.writeblocks(n % 384, b'%4096d' % n)\n  n += 1\n  if n == 3: print('GO')"
    for _ in range(5):
        raw.send(code + CTRL_D)
        raw.until(b"GO")
        raw.send(CTRL_C)
        raw.until(b"KeyboardInterrupt: \r\n\x04>")
    kinds = [kind for kind, address, _ in raw.requests if address >= 0x190000 and address < VFS and kind != 0x10]
    assert set(kinds) == {0x11, 0x12}
    assert raw.value("p.ioctl(6, 0)") == "0"


# files


def test_files(raw):
    write_file(raw, "t.txt", "one\ntwo äö\nthree")
    assert raw.value("open('t.txt').read()") == "'one\\ntwo äö\\nthree'"
    assert raw.value("open('t.txt').read(7), open('/t.txt', 'rb').read(7)") == "('one\\ntwo', b'one\\ntwo')"
    assert raw.value("[open('t.txt').readline(), open('t.txt').readlines(), list(open('t.txt'))][0]") == r"'one\n'"
    assert raw.value("list(open('t.txt', 'rb'))") == repr([b"one\n", "two äö\n".encode(), b"three"])
    raw.run("f = open('t.txt', 'r+b')\nf.seek(4)\nf.write(b'TWO')\nf.flush()\nb = bytearray(4)\nn = f.readinto(b)")
    assert raw.value("n, b, f.tell(), f.seek(-2, 2)") == f"(4, {bytearray(' äö'.encode()[:4])!r}, 11, 16)"
    raw.run("f.close()\nf = open('t.txt', 'a')\nn = f.write('ü')\nf.close()")
    assert raw.value("n, open('t.txt').read()") == "(2, 'one\\nTWO äö\\nthreeü')"
    assert "OSError: [Errno 17] EEXIST" in raw.run("open('t.txt', 'x')")[1]
    assert raw.run("for mode in ('a', 'w+', 'x', 'ab'): open(mode + '.new', mode).close()") == ("", "")
    assert "OSError: [Errno 2] ENOENT" in raw.run("open('none', 'r+')")[1]
    assert "ValueError" in raw.run("f.read()")[1]
    raw.run("big = open('big', 'wb')\nfor i in range(100): big.write(bytes([i]) * 1000)\nbig.close()")
    assert raw.value("__import__('hashlib').sha256(open('big', 'rb').read()).digest()[:2]")
    assert raw.value("__import__('os').stat('big')") == "(32768, 0, 0, 0, 0, 0, 100000, 0, 0, 0)"


@pytest.mark.parametrize("code", ["open('t.txt', 'w').read()", "open('boot.py').write('x')"])
def test_a_file_is_not_used_against_its_mode(raw, code: str):
    assert "OSError: [Errno 9] EBADF" in raw.run(code)[1]
    assert raw.run("print('alive')") == ("alive\n", "")


TOO_MUCH = "MemoryError: memory allocation failed, allocating {} bytes"


@pytest.mark.parametrize("code", ["bytearray({})", "bytes({})", "open('boot.py', 'rb').read({})"])
def test_what_does_not_fit_the_heap_is_a_memory_error(raw, code: str):
    for n in (5_000_000, 110_000):
        assert raw.run(code.format(n))[1].splitlines()[-1] == TOO_MUCH.format(n)
    assert raw.run(code.format(100_000)) == ("", "")


def test_a_file_larger_than_the_heap_is_not_read_whole(raw):
    raw.run("f = open('big', 'wb')\nfor _ in range(150): f.write(bytes(1000))\nf.close()")
    for mode in ("r", "rb"):
        assert raw.run(f"open('big', '{mode}').read()")[1].splitlines()[-1].startswith("MemoryError: memory allocation")
    assert raw.run("f = open('big', 'rb')\nn = 0\nwhile b := f.read(4096): n += len(b)\nprint(n)") == ("150000\n", "")


def test_bytes_are_still_bytes(raw):
    assert raw.value("isinstance(b'', bytes), isinstance(bytearray(2)[:1] + b'x', bytearray)") == "(True, True)"
    assert raw.value("isinstance('', bytes), isinstance(b'', bytearray), bytes, bytes((65, 66)), bytearray(b'a')") == (
        "(False, False, <class 'bytes'>, b'AB', bytearray(b'a'))"
    )


def test_folders(raw):
    raw.run("import os\nos.mkdir('d')\nos.mkdir('/d/e')\nopen('d/f', 'w').close()\nos.chdir('d')")
    assert raw.value("os.getcwd(), sorted(os.listdir()), os.stat('e')[0]") == "('/d', ['e', 'f'], 16384)"
    assert raw.value("sorted(os.ilistdir('/d'))") == "[('e', 16384, 0, 0), ('f', 32768, 0, 0)]"
    assert raw.value("os.stat('/')[:7], os.stat('/d')[6]") == "((16384, 0, 0, 0, 0, 0, 0), 0)"
    raw.run("os.chdir('..')\nos.rename('d/f', 'g')\nos.rmdir('d/e')")
    assert raw.value("os.getcwd(), sorted(os.listdir())") == "('/', ['boot.py', 'd', 'g'])"
    raw.run("os.remove('g')\nos.rmdir('d')")
    assert raw.value("os.listdir('/')") == "['boot.py']"
    for code, name in (
        ("os.ilistdir('g')", "ENOENT"),
        ("os.stat('g')", "ENOENT"),
        ("os.mkdir('boot.py')", "EEXIST"),
        ("os.chdir('q')", "ENOENT"),
    ):
        assert name in raw.run(code)[1]


def test_files_outlive_a_reset(raw, start: Callable, flash: bytearray):
    write_file(raw, "kept.txt", "here")
    life = start(flash)
    life.prompt()
    life.enter_raw()
    assert life.value("open('kept.txt').read()") == "'here'"


def test_a_soft_reset_closes_files_and_ends_tasks_without_running_them(raw):
    code = """
    import asyncio
    f = open('left.txt', 'w')
    f.write('written')
    async def task():
        g = open('task.txt', 'w')
        g.write('too')
        try:
            await asyncio.sleep(100)
        finally:
            print('NEVER')
    asyncio.create_task(task())
    asyncio.run(asyncio.sleep_ms(5))
    """
    assert raw.run(textwrap.dedent(code)) == ("", "")
    assert raw.soft_reset() == b"OK\r\nMPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>"
    assert raw.value("open('left.txt').read(), open('task.txt').read()") == "('written', 'too')"


def test_a_full_file_system_says_so(raw):
    _, error = raw.run("f = open('big', 'wb')\nwhile True: f.write(bytes(8192))")
    assert error.splitlines()[-1] == "OSError: 28"


def test_mounts(raw):
    raw.run(RAM_DISK)
    raw.run("vfs.mount(disk, '/ram')\nopen('/ram/a.py', 'w').write('x = 5')")
    assert raw.value("sorted(os.listdir('/')), os.listdir('/ram'), os.statvfs('/ram')[:3]") == (
        "(['boot.py', 'ram'], ['a.py'], (512, 512, 64))"
    )
    assert (
        raw.value("[(type(fs).__name__, path) for fs, path in vfs.mount()]")
        == "[('VfsLfs2', '/ram'), ('VfsLfs2', '/')]"
    )
    raw.run("os.chdir('/ram')")
    assert raw.value("os.getcwd(), __import__('a').x, open('a.py').read()") == "('/ram', 5, 'x = 5')"
    assert "EPERM" in raw.run("vfs.mount(disk, '/ram')")[1]
    assert "EPERM" in raw.run("os.rename('/ram/a.py', '/a.py')")[1]
    raw.run("vfs.umount('/ram')")
    assert raw.value("os.getcwd(), os.listdir('/')") == "('/', ['boot.py'])"
    assert "EINVAL" in raw.run("vfs.umount('/ram')")[1]
    assert "ENODEV" in raw.run("vfs.mount(Disk(bytearray(8192)), '/x')")[1]


def test_a_read_only_mount_refuses_writes(raw):
    raw.run(RAM_DISK)
    raw.run(
        "vfs.mount(disk, '/app')\nopen('/app/main.py', 'w').write('y = 1')\nvfs.umount('/app')\ncopy = bytes(disk.data)"
    )
    raw.run("vfs.mount(disk, '/app', readonly=True)")
    assert raw.value("open('/app/main.py').read()") == "'y = 1'"
    for code in (
        "f = open('/app/new', 'w'); f.write('z' * 600); f.close()",
        "os.remove('/app/main.py')",
        "os.mkdir('/app/d')",
    ):
        assert raw.run(code)[1].splitlines()[-1] == "OSError: 30"
    assert raw.value("copy == bytes(disk.data)") == "True"


def test_an_error_of_a_block_device_reaches_the_caller(raw):
    raw.run(RAM_DISK)
    raw.run("vfs.mount(disk, '/ram')\nf = open('/ram/a', 'w'); f.write('q' * 2000); f.close()")
    raw.run("def broken(*a): raise OSError(5)\ndisk.readblocks = broken")
    assert raw.run("open('/ram/a').read()")[1].splitlines()[-1] == "OSError: [Errno 5] EIO"


def test_a_flash_that_fails_reaches_the_caller(raw):
    raw.fail_writes = True
    error = raw.run("open('x', 'w').close()")[1]
    assert error.splitlines()[-1] == "OSError: (-24577, 'ESP_ERR_FLASH_OP_FAIL')"
    raw.fail_writes = False
    assert raw.value("__import__('os').listdir()") == "['boot.py']"


# imports


def test_import_rules(raw):
    raw.run("import os\nos.mkdir('lib')\nos.mkdir('pack')\nos.mkdir('bare')")
    write_file(raw, "pack/__init__.py", "from . import inner\nfrom .inner import name\nprint('once')")
    write_file(raw, "pack/inner.py", "name = __name__")
    write_file(raw, "lib/deep.py", "here = __file__")
    write_file(raw, "bare/leaf.py", "v = 3")
    write_file(raw, "random.py", "choice = 'mine'")
    write_file(raw, "esp32.py", "Partition = 'mine'")
    write_file(raw, "asyncio.py", "run = 'mine'")
    assert raw.run("import pack, pack.inner\nprint(pack.name, pack.__path__)") == ("once\npack.inner pack\n", "")
    assert raw.run("import pack\nfrom pack import inner\nprint(inner.name)") == ("pack.inner\n", "")
    assert raw.run("from deep import here\nimport bare.leaf\nprint(here, bare.leaf.v)") == ("/lib/deep.py 3\n", "")
    # a file stands in for an extensible or frozen module, not for one like esp32
    assert raw.value("[__import__(name) for name in ('random', 'asyncio')][0].choice") == "'mine'"
    assert raw.value("__import__('asyncio').run, __import__('esp32').Partition != 'mine'") == "('mine', True)"


@pytest.mark.parametrize(
    "name", ["inspect", "pathlib", "typing", "threading", "subprocess", "_chip", "_nvs", "zlib", "ctypes"]
)
def test_what_the_chip_lacks_is_lacking(raw, name: str):
    assert raw.run(f"import {name}")[1].splitlines()[-1] == f"ImportError: no module named '{name}'"


def test_names_that_the_chip_lacks_are_lacking(raw):
    for name in ("breakpoint", "ConnectionError", "TimeoutError", "vars", "exit"):
        assert "isn't defined" in raw.run(name)[1]
    assert raw.run("import hashlib\nhashlib.sha256().hexdigest()")[1].splitlines()[-1].startswith("AttributeError")
    assert raw.run("import hashlib\nh = hashlib.sha256(b'')\nh.digest()\nh.digest()")[1].endswith(
        "ValueError: hash is final\n"
    )


@pytest.mark.parametrize("code", ["sys.stdout.flush()", "collections.deque()", "collections.deque([])"])
def test_what_only_a_larger_python_has_fails(raw, code: str):
    assert raw.run(f"import collections, sys\n{code}")[1].splitlines()[-1].startswith(("AttributeError", "TypeError"))
    assert raw.value("collections.deque((1, 2, 3), 2)[0]") == "2"


def test_a_compiled_file_names_the_reason(raw):
    raw.run("open('c.mpy', 'wb').write(b'M\\x06')")
    assert "ImportError: c.mpy is compiled for a chip" in raw.run("import c")[1]


def test_a_module_that_fails_can_be_imported_again(raw):
    write_file(raw, "m.py", "1/0")
    assert 'File "m.py", line 1, in <module>\nZeroDivisionError' in raw.run("import m")[1]
    write_file(raw, "m.py", "v = 1")
    assert raw.value("__import__('m').v") == "1"


def test_annotations_are_not_evaluated(raw):
    assert raw.run("def f(a: Nothing) -> Nowhere:\n  b: Never = 1\n  return b\nc: Neither = f(0)\nprint(c)") == (
        "1\n",
        "",
    )


# time, timers, pins


def test_time_starts_at_2000(raw):
    assert raw.value("__import__('time').gmtime(0)") == "(2000, 1, 1, 0, 0, 0, 5, 1)"
    assert raw.value("__import__('time').mktime((2025, 8, 9, 0, 0, 0, 0, 0))") == "808012800"
    assert int(raw.value("__import__('time').time()")) < 60
    assert raw.value("__import__('time').ticks_diff(5, (1 << 30) - 5)") == "10"


def test_timers_run_between_steps_and_stop_at_a_soft_reset(raw):
    setup = "from machine import Timer\nimport time\ncalls = []\n"
    setup += "t = Timer(0, mode=Timer.PERIODIC, period=5, callback=calls.append)\n"
    assert raw.run(setup + "while len(calls) < 3: pass\nprint(calls[0] is t)") == ("True\n", "")
    once = "done = []\none = Timer(1, mode=Timer.ONE_SHOT, period=1, callback=lambda t: done.append(1) or 1/0)\n"
    assert raw.run(once + "while not done: pass")[0].endswith("ZeroDivisionError: divide by zero\n")
    raw.soft_reset()
    assert raw.run("import time\ntime.sleep_ms(30)\nprint('quiet')") == ("quiet\n", "")
    assert "ValueError: invalid Timer number" in raw.run("import machine; machine.Timer(4)")[1]


def test_nothing_of_the_host_shows(raw):
    assert raw.run("x = '\\d'\nasync def f(): pass\nf()\ndef g(): g()") == ("", "")
    assert raw.run("g()")[1].splitlines()[-1].startswith("RuntimeError: maximum recursion depth exceeded")


def test_a_timer_runs_at_the_prompt(raw):
    raw.run("from machine import Timer\nTimer(2, mode=0, period=20, callback=lambda t: print('later'))")
    raw.until(b"later\r\n")


def test_a_timer_that_is_stopped_does_not_fire(raw):
    code = "from machine import Timer\nimport time\ncalls = []\n"
    code += "t = Timer(0, mode=0, period=20, callback=calls.append)\nt.deinit()\n"
    code += "Timer(1, mode=0, period=60, callback=lambda t: calls.append('last'))\n"
    assert raw.run(code + "while not calls: time.sleep_ms(1)\nprint(calls)") == ("['last']\n", "")


def test_a_timer_that_is_too_fast_leaves_time_for_the_program(raw):
    code = "from machine import Timer\nimport time\n"
    code += "t = Timer(0, period=1, callback=lambda t: time.sleep_ms(5))\nfor i in range(20): time.sleep_ms(1)\n"
    assert raw.run(code + "print('through')") == ("through\n", "")
    raw.send(b"print('GO')\nwhile True: pass" + CTRL_D)
    raw.until(b"GO")
    raw.send(CTRL_C)
    raw.until(b"KeyboardInterrupt: \r\n\x04>")


@pytest.mark.parametrize("body", ["while True: pass", "time.sleep(100)", "asyncio.run(asyncio.sleep(100))", ""])
def test_the_watchdog_bites_whatever_the_program_does(raw, body: str):
    raw.send(f"import asyncio, machine, time\nmachine.WDT(timeout=50)\n{body}".encode() + CTRL_D)
    assert raw.wait_for_reset() == 3
    said = raw.until(b"did not reset the watchdog in time:\r\n")
    assert re.search(
        rb"^E \(\d+\) task_wdt: Task watchdog got triggered\. The following tasks/users ", said, re.MULTILINE
    )


def test_a_watchdog_that_is_fed_does_not_bite(raw):
    code = "import machine, time\nwdt = machine.WDT(timeout=2000)\nend = time.ticks_ms() + 3000\n"
    code += "while time.ticks_ms() < end:\n  wdt.feed()\n  time.sleep_ms(10)\nprint('fed')"
    assert raw.run(code) == ("fed\n", "")
    assert raw.reset_cause is None


def test_the_watchdog_goes_on_through_a_soft_reset(raw):
    raw.run("import machine\nmachine.WDT(timeout=1000)")
    raw.soft_reset()
    assert raw.reset_cause is None
    assert raw.wait_for_reset() == 3


def test_a_watchdog_wants_a_timeout(raw):
    for arguments, error in (("timeout=0", "ValueError: WDT timeout too short"), ("1", "ValueError: ")):
        assert raw.run(f"import machine\nmachine.WDT({arguments})")[1].splitlines()[-1] == error
    assert "AttributeError" in raw.run("machine.WDT.deinit")[1]


def test_pins_are_reported(raw):
    raw.run(
        "from machine import Pin\nled = Pin(2, Pin.OUT)\nled.on()\nled.value(0)\nled.toggle()\n"
        "b = Pin(0, Pin.IN, Pin.PULL_UP)"
    )
    assert raw.pins == [(2, 3, 0), (2, 3, 1), (2, 3, 0), (2, 3, 1), (0, 1, 0)]
    assert raw.value("led.value(), b.value(), led") == "(1, 1, Pin(2))"
    for code, message in (("Pin(24)", "invalid pin"), ("Pin(34, Pin.OUT)", "pin can only be input")):
        assert f"ValueError: {message}" in raw.run(code)[1]


def test_a_button_holds_an_input_low(raw):
    raw.run("from machine import Pin\nb = Pin(18, Pin.IN, Pin.PULL_UP)\nled = Pin(19, Pin.OUT, value=1)")
    raw.press(18, True)
    raw.press(19, True)  # a pin that is driven is stronger
    assert raw.value("b.value(), led.value()") == "(0, 1)"
    raw.press(18, False)
    assert raw.value("b.value()") == "1"


def test_a_button_that_was_held_before_the_start(start: Callable, flash: bytearray):
    life = start(flash, held=[18])
    life.prompt()
    life.enter_raw()
    life.run("from machine import Pin\nb = Pin(18, Pin.IN, Pin.PULL_UP)")
    assert life.value("b()") == "0"
    life.soft_reset()
    life.run("from machine import Pin\nb = Pin(18, Pin.IN, Pin.PULL_UP)")
    assert life.value("b()") == "0"


def test_pwm(raw):
    raw.run("from machine import Pin, PWM\np = PWM(Pin(25), freq=1000, duty_u16=32768)")
    assert raw.value("p, p.freq(), p.duty_u16()") == "(PWM(Pin(25), freq=1000, duty_u16=32768), 1000, 32768)"
    raw.run("p.duty_u16(16384)\np.freq(5000)")
    assert raw.value("p") == "PWM(Pin(25), freq=5000, duty_u16=16384)"
    raw.run("p.duty_u16(65535)")
    assert raw.value("p") == "PWM(Pin(25), freq=5000, duty_u16=65535)"
    raw.run("p.duty_u16(0)\np.deinit()\np.deinit()")
    assert raw.value("p") == "PWM(Pin(25))"
    assert raw.pins == [(25, 0, level) for level in (32768, 16384, 16384, 65535, 0, 0, 0)]
    assert raw.value("PWM(Pin(2))") == "PWM(Pin(2), freq=5000, duty_u16=32768)"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("PWM(2)", "ValueError: expecting a pin"),
        ("PWM(Pin(34))", "OSError: (-258, 'ESP_ERR_INVALID_ARG')"),
        ("PWM(Pin(2), freq=0)", "ValueError: frequency must be from 1Hz to 40MHz"),
        ("PWM(Pin(2), freq=40_000_001)", "ValueError: frequency must be from 1Hz to 40MHz"),
        ("p.freq(-1)", "ValueError: frequency must be from 1Hz to 40MHz"),
        ("p.freq(0.5)", "TypeError: "),
        ("p.duty(512)", "AttributeError: "),  # the virtual board knows duty_u16 only
        ("PWM(Pin(2), duty=512)", "TypeError: "),
        ("p.duty_u16(0.5)", "TypeError: "),
        ("p.duty_u16(65536)", "ValueError: duty_u16 must be from 0 to 65536"),
        ("p.duty_u16(-1)", "ValueError: duty_u16 must be from 0 to 65536"),
        ("p.deinit(); p.duty_u16()", "RuntimeError: PWM is inactive"),
        ("p.deinit(); p.duty_u16(1)", "RuntimeError: PWM is inactive"),
        ("p.deinit(); p.freq()", "RuntimeError: PWM is inactive"),
        ("p.deinit(); p.freq(50)", "RuntimeError: PWM is inactive"),
    ],
)
def test_pwm_refuses(raw, code: str, message: str):
    raw.run("from machine import Pin, PWM\np = PWM(Pin(25), freq=1000, duty_u16=32768)")
    assert message in raw.run(code)[1]
    if "deinit" not in code:
        assert raw.value("p") == "PWM(Pin(25), freq=1000, duty_u16=32768)"


def test_reset(raw):
    raw.send(b"import machine; machine.reset()" + CTRL_D)
    assert raw.wait_for_reset() == 2


# network


def test_wifi(raw):
    assert raw.value("__import__('network').WLAN(0).status()") == "1000"
    assert "OSError: Wifi Not Started" in raw.run("import network\nw = network.WLAN()\nw.connect('a', 'b')")[1]
    for name, password, status in (
        ("no-such", "x", 201),
        ("virtual-wifi", "wrong", 202),
        ("virtual-wifi", "virtual-password", 1010),
    ):
        code = f"w.active(True)\nw.disconnect()\nw.connect({name!r}, {password!r})\nprint(w.status())\n"
        code += "import time\nwhile w.status() == 1001: time.sleep_ms(10)\nprint(w.status(), w.isconnected())"
        assert raw.run(code) == (f"1001\n{status} {status == 1010}\n", "")
        if status != 1010:
            assert "OSError: Wifi Internal State Error" in raw.run("w.connect('virtual-wifi', 'virtual-password')")[1]
    assert (
        raw.value("w.ifconfig()[0], w.ipconfig('addr4')[0], w.status('rssi') < 0") == "('127.0.0.1', '127.0.0.1', True)"
    )
    raw.soft_reset()
    assert raw.value("__import__('network').WLAN().isconnected()") == "True"


def test_the_hostname_of_the_first_connection_is_the_name_until_a_reset(raw):
    raw.run("import network\nnetwork.hostname('first')\n" + CONNECT)
    raw.run("network.hostname('second')\nwlan.isconnected()\nwlan.disconnect()")
    raw.run("wlan.connect()\nwhile not wlan.isconnected(): pass\nwlan.active(False)")
    assert raw.value("network.hostname()") == "'second'"
    assert raw.names == ["first", "", "first", ""]


def test_eleven_sockets_are_one_too_many(raw):
    raw.run(
        CONNECT
        + "import socket\ns = socket.socket()\ns.bind(('0.0.0.0', 80))\ns.listen(5)\n"
        + "k = [socket.socket() for _ in range(8)]"
    )
    with (
        socket.create_connection(("127.0.0.1", raw.http)) as kept,
        socket.create_connection(("127.0.0.1", raw.http)) as refused,
    ):
        raw.run("c = s.accept()[0]\nc.send(b'hello')")
        assert kept.recv(5) == b"hello"
        assert raw.run("s.accept()")[1].endswith("OSError: 23\n")
        refused.settimeout(10)
        with pytest.raises(ConnectionResetError):
            refused.recv(1)
        assert raw.run("socket.socket()")[1].endswith("OSError: 23\n")
        raw.run("c.close()\nnew = socket.socket()")
        assert kept.recv(1) == b""
    raw.soft_reset()
    assert raw.run("import socket\nk = [socket.socket() for _ in range(10)]") == ("", "")


def test_little_waits_for_a_program_that_does_not_read(raw):
    """A sender must notice soon: of a chip's 5,760 bytes, Linux makes some more (socket(7))."""
    raw.run(CONNECT + "import socket\ns = socket.socket()\ns.bind(('', 80))\ns.listen(1)")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.connect(("127.0.0.1", raw.http))
        raw.run("c = s.accept()[0]")
        client.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 40_000:
                sent += client.send(bytes(1024))
    assert 5760 <= sent < 40_000


def test_a_board_without_wifi_is_not_reachable(raw):
    raw.run("import socket\ns = socket.socket()\ns.bind(('', 80))\ns.listen(1)\ns.settimeout(10)")
    with socket.create_connection(("127.0.0.1", raw.http)) as client, contextlib.suppress(ConnectionError):
        client.settimeout(10)
        assert "ECONNABORTED" in raw.run("s.accept()")[1]
        assert client.recv(1) == b""
    assert "EHOSTUNREACH" in raw.run("socket.socket().connect(('127.0.0.1', 80))")[1]
    assert raw.run("socket.getaddrinfo('example.org', 80)")[1].endswith("OSError: -202\n")


def test_socket_errors_have_the_chips_numbers(raw):
    raw.run(CONNECT + "import socket\ndef t(f, *a):\n  try: return f(*a)\n  except OSError as e: return e")
    raw.run("s = socket.socket()\ns.bind(('', 80))\ns.listen(1)\ns.setblocking(False)")
    assert raw.value("t(s.accept)") == "OSError(11,)"
    assert raw.value("t(socket.socket().bind, ('', 80))") == "OSError(112,)"
    assert raw.value("s.settimeout(0.01), t(s.accept)") == "(None, OSError(116,))"
    assert (
        raw.value("s.close(), t(s.accept), t(socket.socket().connect, ('127.0.0.1', 80))")
        == "(None, OSError(9,), OSError(111,))"
    )


def test_a_socket_that_does_not_block_reads_what_is_there(raw):
    raw.run(CONNECT + "import socket\ns = socket.socket()\ns.bind(('', 80))\ns.listen(1)")
    with socket.create_connection(("127.0.0.1", raw.http)) as client:
        raw.run("c = s.accept()[0]\nc.setblocking(False)\nbuf = bytearray(4)")
        assert raw.value("c.read(5), c.readinto(buf), c.readline(), c.read()") == "(None, None, None, None)"
        client.sendall(b"line\nrest")
        raw.run("c.setblocking(True)\nline = c.readline()\nrest = c.read(4)\nc.setblocking(False)")
        assert raw.value("line, rest, c.read(1)") == r"(b'line\n', b'rest', None)"
        assert raw.run("c.read(5_000_000)")[1].splitlines()[-1] == TOO_MUCH.format(5_000_000)


def test_a_body_larger_than_the_heap_is_not_read_whole(raw):
    code = """
    import asyncio
    async def serve(reader, writer):
        try: await reader.read()
        except MemoryError as error: print(error)
        done.set()
    async def main():
        await asyncio.start_server(serve, '', 80)
        print('READY')
        await done.wait()
    done = asyncio.Event()
    asyncio.run(main())
    """
    raw.run(CONNECT)
    raw.send(textwrap.dedent(code).encode() + CTRL_D)
    raw.until(b"READY")
    with socket.create_connection(("127.0.0.1", raw.http), timeout=20) as client:
        client.sendall(bytes(200_000))
        raw.until(b"memory allocation failed, allocating ")


def test_asyncio(raw):
    code = """
    import asyncio
    log = []
    async def work(n):
        await asyncio.sleep_ms(n)
        log.append(n)
        return n
    async def fail(): raise ValueError('broken')
    async def main():
        print(await asyncio.gather(work(20), work(1)), log)
        try: await asyncio.wait_for(work(5000), 0.01)
        except asyncio.TimeoutError: print('late')
        task = asyncio.create_task(work(5000))
        await asyncio.sleep(0)
        task.cancel()
        try: await task
        except asyncio.CancelledError: print('cancelled', task.done())
        event, lock = asyncio.Event(), asyncio.Lock()
        async def setter():
            async with lock: event.set()
        asyncio.create_task(setter())
        await asyncio.wait_for_ms(event.wait(), 1000)
        asyncio.create_task(fail())
        for _ in range(3): await asyncio.sleep(0)
        print(asyncio.current_task() is not None)
        asyncio.get_event_loop().set_exception_handler(lambda loop, context: print(context['exception']))
        asyncio.create_task(fail())
        for _ in range(3): await asyncio.sleep(0)
        return 'done'
    print(asyncio.run(main()))
    """
    output, error = raw.run(textwrap.dedent(code))
    assert error == ""
    assert output.startswith("[20, 1] [1, 20]\nlate\ncancelled True\nTask exception wasn't retrieved\nfuture: ")
    assert 'Traceback (most recent call last):\n  File "<stdin>", line 8, in fail\nValueError: broken\n' in output
    assert output.endswith("True\nbroken\ndone\n")


def test_tasks_that_are_left_go_on_with_the_next_run(raw):
    code = """
    import asyncio
    n = 0
    async def count():
        global n
        while True:
            n += 1
            await asyncio.sleep_ms(1)
    async def main():
        asyncio.create_task(count())
        await asyncio.sleep_ms(10)
    asyncio.run(main())
    first = n
    asyncio.run(asyncio.sleep_ms(10))
    print(0 < first < n)
    """
    assert raw.run(textwrap.dedent(code)) == ("True\n", "")


def test_streams(raw):
    code = """
    import asyncio
    async def serve(reader, writer):
        line = await reader.readline()
        body = await reader.readexactly(4)
        buf = bytearray(3)
        n = await reader.readinto(buf)
        writer.write(line + body + buf[:n] + b' from ' + reader.get_extra_info('peername')[0].encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    async def main():
        server = await asyncio.start_server(serve, '0.0.0.0', 80)
        reader, writer = await asyncio.open_connection('127.0.0.1', 80)
        writer.write(b'line\\nbodyend')
        await writer.drain()
        print(await reader.read(), reader is writer)
        server.close()
        await server.wait_closed()
    asyncio.run(main())
    """
    assert raw.run(CONNECT + textwrap.dedent(code)) == ("b'line\\nbodyend from 127.0.0.1' True\n", "")


def test_a_lot_of_data_passes(raw):
    code = """
    import asyncio
    buf = bytearray(4096)
    done = asyncio.Event()
    async def serve(reader, writer):
        total = 0
        while (n := await reader.readinto(buf)) != 0:  # at the end 0, and nothing that is only false
            total += n
        writer.write(b'%d' % total)
        await writer.drain()
        await writer.wait_closed()
        done.set()
    async def main():
        await asyncio.start_server(serve, '', 80)
        print('READY')
        await done.wait()
    asyncio.run(main())
    """
    raw.run(CONNECT)
    raw.send(textwrap.dedent(code).encode() + CTRL_D)
    raw.until(b"READY")
    with socket.create_connection(("127.0.0.1", raw.http), timeout=20) as client:
        client.sendall(bytes(1_500_000))
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100) == b"1500000"
    raw.until(b"\x04\x04>")


SERVER = """
import asyncio

async def greet(reader, writer):
    asked = await reader.readline()
    writer.write(b"HTTP/1.0 200 OK\\r\\n\\r\\nHello, " + asked.split()[1])
    await writer.drain()
    writer.close()
    await writer.wait_closed()

async def serve():
    await asyncio.start_server(greet, "0.0.0.0", 80)
    print("READY")
    while True:
        await asyncio.sleep(1)

asyncio.run(serve())
"""


def test_asyncio_serves_until_it_is_interrupted(raw):
    raw.send((CONNECT + SERVER).encode() + CTRL_D)
    raw.until(b"READY")
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", raw.http), timeout=10) as client:
            client.sendall(b"GET /board HTTP/1.0\r\n")
            assert b"".join(iter(lambda: client.recv(1000), b"")) == b"HTTP/1.0 200 OK\r\n\r\nHello, /board"
    raw.send(CTRL_C)
    assert b'File "<stdin>", line ' in raw.until(b"KeyboardInterrupt: \r\n\x04>")
