"""The board's memory: what programs hold counts, a leak ends in MemoryError, and a full system is deaf."""

import signal
import socket
import sys
from types import SimpleNamespace

import pytest

from kit.virtual.run import space
from kit.virtual.run.interrupt import pending

CTRL_D = b"\x04"
WIFI = """
import network, time
wlan = network.WLAN()
wlan.active(True)
wlan.connect('virtual-wifi', 'virtual-password')
while not wlan.isconnected(): time.sleep_ms(10)
"""
# A web server that keeps of each query what a general framework keeps, in a board that our firmware fills as much.
FRAMEWORK = (
    WIFI
    + """
import asyncio, esp32, gc
class MultiDict(dict): pass
rest = [bytearray(1000) for _ in range(58)]
async def serve(reader, writer):
    query = (await reader.readline()).split(b'?')[-1]
    args = MultiDict()
    for field in query.decode().split('&'):
        args.setdefault(field, []).append('')
    gc.mem_free()
    print('HELD', esp32.idf_heap_info(esp32.HEAP_DATA)[-1][2])
    await reader.read(1)
    writer.write(b'BYE')
    await writer.drain()
async def main():
    await asyncio.start_server(serve, '', 80, 5)
    print('READY')
    while True: await asyncio.sleep(1)
asyncio.run(main())
"""
)
ATTACK = b"GET /login?" + b"&".join(b"%d" % n for n in range(300)) + b"\n"
LEAKS = [
    "held = []\nwhile True: held.append(bytearray(100))",
    "held = []\nwhile True: held.append([1, 2, 3])",
    "held = ''\nwhile True: held += 'x' * 10",
    "held = 'x'\nwhile True: held += held",
    "held = {}\nwhile True: held[len(held)] = 0",
    "class A:\n  def __init__(self): self.x = 1\nheld = []\nwhile True: held.append(A())",
    "def leak(held):\n  while True: held.append(object())\nleak([])",
    "held = None\nwhile True: held = (held, held)",
    "held = [n for n in range(10**8)]",
    "held = [bytearray(1000) for n in range(200)]",
    "held = 'x' * 10**9",
    "held = list(range(10**9))",
]


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_is_a_memory_error_and_the_board_goes_on(raw, leak: str):
    assert raw.run(leak)[1].splitlines()[-1].startswith("MemoryError: memory allocation failed")
    assert raw.run("held = None\nprint(bytearray(1000)[0])") == ("0\n", "")
    assert peak(raw) < 250_000


def test_a_leak_in_a_board_that_a_large_program_has_started(start, flash):
    """What that holds, as a notebook may, is nothing that the board could have."""
    ballast = b"x" * (300 << 20)
    raw = start(flash)
    del ballast
    raw.prompt()
    raw.enter_raw()
    assert raw.run("held = [n for n in range(10**8)]")[1].splitlines()[-1].startswith("MemoryError")
    assert peak(raw) < 250_000


def test_the_compiler_of_this_computer_takes_nothing_of_it(monkeypatch: pytest.MonkeyPatch):
    """Nobody looks while it works; a chip gets bytecode, and needs no compiler."""
    looks = []

    def compile_slowly(*arguments: object, **options: object) -> object:
        pending.look()  # as the thread that watches does
        assert looks == []
        return compile(*arguments, **options)

    monkeypatch.setattr(space, "compile", compile_slowly, raising=False)
    monkeypatch.setattr(pending, "on_look", looks.append)
    monkeypatch.setattr(signal, "pthread_kill", lambda *_: pending._handle(0, sys._getframe()))
    life = space.Space(SimpleNamespace(open=open), {}, {})
    life.run("value = 1", "<stdin>")
    assert life.main.value == 1
    pending.look()
    assert len(looks) == 1


def peak(raw) -> int:
    """The most memory of this computer that a board ever had, in kB."""
    with open(f"/proc/{raw.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def test_a_memory_error_can_be_caught(raw):
    code = "held = []\ntry:\n  while True: held.append([])\nexcept MemoryError as error:\n  held = 0\n  print('full')"
    for _ in range(3):
        assert raw.run(code) == ("full\n", "")


@pytest.mark.parametrize(
    ("held", "least", "most"),
    [
        ("bytearray(10_000)", 10_000, 10_500),
        ("bytes(10_000)", 10_000, 10_500),
        ("'x' * 10_000", 10_000, 10_500),
        ("[bytearray(100) for _ in range(100)]", 10_000, 14_000),
        ("list(range(1_000))", 4_000, 8_300),
        ("{n: None for n in range(1_000)}", 8_000, 14_000),
        ("[[] for _ in range(100)]", 3_000, 5_300),
        ("[1.5 + n for n in range(1_000)]", 16_000, 25_000),
        ("[str(n) for n in range(1_000)]", 20_000, 40_000),
    ],
)
def test_free_memory_moves_with_what_is_held(raw, held: str, least: int, most: int):
    raw.run("import gc\ngc.collect()\nfree, used = gc.mem_free(), gc.mem_alloc()")
    raw.run(f"held = {held}")
    taken = [int(raw.value(text)) for text in ("free - gc.mem_free()", "gc.mem_alloc() - used")]
    assert least <= min(taken) <= max(taken) <= most
    raw.run("held = None\ngc.collect()")
    assert abs(int(raw.value("free - gc.mem_free()"))) < 500


def test_what_functions_and_tasks_hold_counts(raw):
    code = """
import asyncio, gc
def locally():
    buffer = bytearray(10_000)
    return gc.mem_alloc()
async def task():
    buffer = bytearray(10_000)
    await asyncio.sleep(10)
async def main():
    before = gc.mem_alloc()
    waiting = asyncio.create_task(task())
    await asyncio.sleep(0)
    print(9_500 < gc.mem_alloc() - before < 11_500)
print(9_500 < locally() - gc.mem_alloc() < 11_500)
asyncio.run(main())
"""
    assert raw.run(code) == ("True\nTrue\n", "")


def test_a_fresh_board_has_what_a_chip_has(raw):
    raw.run("import gc, esp32")
    assert 150_000 < int(raw.value("gc.mem_free()")) < 165_000
    heaps = raw.value("esp32.idf_heap_info(esp32.HEAP_DATA)")
    assert heaps.startswith("[(240, 4, 0, 4), ")  # as MicroPython 1.25 prints it after a start
    assert heaps.endswith(", (113840, 112968, 110592, 112968)]")


def test_the_heap_grows_into_the_systems_and_a_soft_reset_gives_back(raw):
    largest = "esp32.idf_heap_info(esp32.HEAP_DATA)[-1][2]"
    raw.run("import gc, esp32\nheld = bytearray(60_000)\ngc.collect()")
    assert int(raw.value(largest)) < 60_000
    raw.run("held = None\ngc.collect()")
    assert int(raw.value(largest)) < 60_000
    raw.soft_reset()
    raw.run("import esp32")
    assert int(raw.value(largest)) == 110_592
    assert int(raw.value("esp32.idf_heap_info(esp32.HEAP_DATA)[-1][3]")) < 60_000


def test_one_long_query_is_fine_and_two_make_the_board_deaf(raw):
    raw.send(FRAMEWORK.encode() + CTRL_D)
    raw.until(b"READY\r\n")
    with socket.create_connection(("127.0.0.1", raw.http)) as first:
        first.sendall(ATTACK)
        raw.until(b"HELD ")
        assert int(raw.until(b"\r\n")) > 30_000
        with socket.create_connection(("127.0.0.1", raw.http), timeout=20) as good:
            good.sendall(b"GET /\n.")
            assert good.recv(3) == b"BYE"
        with socket.create_connection(("127.0.0.1", raw.http)) as second:
            second.sendall(ATTACK)
            raw.until(b"HELD ")  # the good client's
            raw.until(b"HELD ")
            assert int(raw.until(b"\r\n")) < 1_000
            for client in (first, second):
                client.sendall(b".")
    with socket.create_connection(("127.0.0.1", raw.http), timeout=0.5) as late:
        late.sendall(b"GET /\n.")
        with pytest.raises(TimeoutError):
            late.recv(3)
    assert raw.process.poll() is None


def test_the_deaf_board_tells_its_program_nothing(raw):
    raw.run(WIFI + "import socket\ns = socket.socket()\ns.bind(('', 80))\ns.listen(1)\ns.setblocking(False)")
    with socket.create_connection(("127.0.0.1", raw.http)) as client:
        raw.run("while True:\n  try: c = s.accept()[0]\n  except OSError: continue\n  break\nc.setblocking(False)")
        raw.run("try: held = [bytearray(1000) for _ in range(200)]\nexcept MemoryError: pass")
        client.sendall(b"hello")
        raw.run("import select\np = select.poll()\np.register(c)")
        assert raw.value("c.read(5), c.write(b'x'), p.poll(50)") == "(None, None, [])"
        assert "[Errno 11] EAGAIN" in raw.run("s.accept()")[1]
        raw.run("held = None\nc.settimeout(0.1)")
        assert "[Errno 116] ETIMEDOUT" in raw.run("c.recv(5)")[1]
