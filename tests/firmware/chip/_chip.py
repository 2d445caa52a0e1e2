# Runs on CPython and on MicroPython.
"""The chip that the virtual board's stand-in modules talk to, over a flash file. It counts operations, and can fail."""

SECTOR = 4096
BLANK = b"\xff" * 256

running = 0x10000
reset_cause = 1
mac = b"\x24\x0a\xc4\x00\x01\x10"
flash_size = 0x400000
ssid = "virtual-wifi"
password = "virtual-password"
ip = "127.0.0.1"
http = 80
machine = "virtual board with ESP32"  # os.uname().machine

operations = 0  # erases and writes so far
log = None  # a list: it gets ("write" | "erase", address) of each operation
fail_at = None  # number of the operation that raises OSError
cut_at = None  # number of the operation in the middle of which the power goes
wrong_at = None  # number of the write that leaves a wrong byte
shown = (2000, 1, 1, 0, 0, 0)  # year to second of the RTC, which stands still

alarms = []  # [ms, whether it rings again, function] of each timer that runs
watched = []  # ms, each time that the watchdog was started or fed

_file = None


class Reset(SystemExit):
    """machine.reset()."""


class PowerCut(SystemExit):
    """The power went: nothing after this point happened."""


def open_flash(path):
    global _file
    _file = open(path, "r+b")  # noqa: SIM115


def read(address, n):
    _file.seek(address)
    return _file.read(n)


def read_into(address, view):
    _file.seek(address)
    _file.readinto(view)


def write(address, data):
    """NOR flash: a write only clears bits. In pieces, as a chip takes no memory for it."""
    torn = _count("write", address)
    end = len(data) // 2 if torn else len(data)
    for start in range(0, end, len(BLANK)):
        piece = bytes(data[start : min(start + len(BLANK), end)])
        old = read(address + start, len(piece))
        if old.count(b"\xff") != len(old):
            piece = bytes([old[index] & piece[index] for index in range(len(piece))])
        if start == 0 and operations - 1 == wrong_at:
            piece = bytes([piece[0] ^ 0xFF]) + piece[1:]
        _put(address + start, piece)
    if torn:
        raise PowerCut


def erase(address, n):
    assert address % SECTOR == n % SECTOR == 0
    torn = _count("erase", address)
    for start in range(address, address + (SECTOR // 2 if torn else n), len(BLANK)):
        _put(start, BLANK)
    if torn:
        raise PowerCut


def _count(name, address):
    global operations
    operations += 1
    if log is not None:
        log.append((name, address))
    if operations - 1 == fail_at:
        raise error(1, "ESP_FAIL")
    return operations - 1 == cut_at


def _put(address, data):
    _file.seek(address)
    _file.write(data)
    _file.flush()


def error(code, name=None):
    return OSError(code, name) if name else OSError(code)


def reset(cause):
    print("RESET", cause)
    raise Reset(42)


def sleep(ms):
    """machine.deepsleep()."""
    print("SLEEP", ms)
    raise Reset(42)


def abort(message):
    raise AssertionError("the firmware made the chip abort: " + message)


def pin(number, level, mode):
    pass


def is_held(number):
    return False


def named(hostname, is_online):
    """Nobody asks for names here."""


def clock():
    """What machine.RTC().datetime() returns; nobody looks at its weekday."""
    return shown[:3] + (0,) + shown[3:] + (0,)


def set_clock(parts):
    global shown
    shown = parts


def alarm(ms, again, call):
    """A timer that only the test lets ring."""
    entry = [ms, again, call]
    alarms.append(entry)
    return lambda: entry in alarms and alarms.remove(entry)


def watch(ms):
    """The watchdog bites nobody here."""
    watched.append(ms)


def ring():
    """Let all timers ring once."""
    for entry in list(alarms):
        if not entry[1]:
            alarms.remove(entry)
        entry[2]()
