# Runs on CPython and on MicroPython.
"""The audit log, in a folder beside the flash file."""

import json
import os
import sys

import audit
import boot_files
import events
import slot
import starts
from esp32 import NVS

FOLDER = slot.LOG[:-1]
ADDRESS = "192.168.1.7"
V = (("version", "1.0.0"),)


class OurTime:
    now = (2000, 1, 1, 0, 0, 5, 5, 1)

    def time(self):
        return 0

    def gmtime(self, seconds):
        return self.now[:5] + (self.now[5] + seconds,)


audit.time = OurTime()
quietly = starts.quietly


def with_our_time(module, *arguments):
    """starts.quietly loads the file anew each time."""
    sys.modules["audit"] = audit
    return quietly(module, *arguments)


starts.quietly = with_our_time


def write(uptime, event, address=None, facts=()):
    """As the application does, with the loop's next turn; as if nothing of the kind had come before."""
    events._counted.clear()
    add(uptime, event, address, facts)


def add(uptime, event, address=None, facts=()):
    events.add(uptime, event, address, facts)
    events.flush(uptime)


def lines():
    """What GET /log would send of what is written."""
    with audit.Log() as file:
        length = file.seek(0, 2)
        file.seek(0)
        data = b""
        while piece := file.read(100):
            assert len(piece) <= 100
            data += piece
    assert len(data) == length, (len(data), length)
    return [json.loads(line) for line in data.split(b"\n") if line]


def size():
    return sum([os.stat(slot.LOG + name)[6] for name in os.listdir(FOLDER)])


def test_an_empty_log():
    assert lines() == []
    assert boot_files.read_log().seek(0, 2) == 0


def test_a_line():
    NVS("kit").set_i32("step", 7 << 12)
    write(34, "UPDATE_START", ADDRESS, (("bytes", 5), ("version", '1.0.0"\n{\u20ac')))
    wanted = {"boot": 7, "uptime": 34, "event": "UPDATE_START", "address": ADDRESS, "bytes": 5}
    assert lines() == [dict(wanted, version='1.0.0"\n{\u20ac')]
    write(35, "PASSWORD")
    assert lines()[1] == {"boot": 7, "uptime": 35, "event": "PASSWORD"}


def test_the_clock_where_it_is_known():
    write(1, "CONFIRMED")
    OurTime.now = (2026, 11, 3, 4, 5, 6, 5, 1)
    write(2, "CONFIRMED")
    assert [line.get("time") for line in lines()] == [None, "2026-11-03T04:05:06Z"]


def test_both_rings_in_their_order():
    nvs = NVS("kit")
    for boot in (9, 10):
        nvs.set_i32("step", boot << 12)
        for uptime in (0, 9, 10, 600):
            for event, facts in (("LOGIN_SUCCESS", ()), ("UPDATE_START", V), ("PASSWORD", ()), ("CONFIRMED", V)):
                write(uptime, event, None, facts)
    found = [(line["boot"], line["uptime"]) for line in lines()]
    assert found == sorted(found)
    assert len(found) == 32


def test_rings_are_bounded():
    """Whatever comes, the newest lines are there, and each ring leaves the other one alone."""
    write(0, "UPDATE_START", ADDRESS, (("version", "0.0.1"),))
    for number in range(600):
        write(number, "RESTART", ADDRESS, (("number", number),))
        assert size() <= 8192 + 100
    found = lines()
    assert found[0]["version"] == "0.0.1"
    numbers = [line["number"] for line in found[1:]]
    assert numbers == list(range(numbers[0], 600))
    assert len(numbers) > 60
    for number in range(600):
        write(1000 + number, "UPDATE_START", ADDRESS, (("version", "1.0.%d" % number),))
    assert size() <= 16384
    assert lines()[-1]["version"] == "1.0.599"
    assert numbers[-1] in [line.get("number") for line in lines()]


def test_what_repeats_itself_is_counted():
    for uptime in range(500):
        add(uptime, "LOGIN_FAILED", ADDRESS)
    add(500, "LOGIN_FAILED", "192.168.1.8")
    assert [line.get("count") for line in lines()] == [None, None]
    add(700, "LOGIN_SUCCESS", ADDRESS)
    found = [(line["event"], line["uptime"], line["address"][-1], line.get("count")) for line in lines()]
    first, second = ("LOGIN_FAILED", 0, "7", None), ("LOGIN_FAILED", 500, "8", None)
    assert sorted(found[2:]) == [("LOGIN_FAILED", 700, "7", 499), ("LOGIN_SUCCESS", 700, "7", None)]
    assert found[:2] == [first, second]
    add(710, "LOGIN_FAILED", ADDRESS)
    assert len(lines()) == 5
    events.add(711, "LOGIN_FAILED", ADDRESS)
    events.flush(712)
    assert len(lines()) == 5
    events.flush(713, True)  # for who asks
    assert lines()[-1]["count"] == 1
    events.flush(5000, True)
    assert len(lines()) == 6


def test_waits_for_the_loop():
    events.add(5, "LOGIN_SUCCESS", ADDRESS)
    events.add(6, "UPDATE_START", ADDRESS, V)
    assert lines() == []
    OurTime.now = (2026, 11, 3, 4, 5, 10)
    events.flush(9)
    found = [(line["event"], line["uptime"], line["time"][-4:]) for line in lines()]
    assert found == [("LOGIN_SUCCESS", 5, ":06Z"), ("UPDATE_START", 6, ":07Z")]


def test_updates_are_not_counted():
    for event in ("UPDATE_START", "UPDATE_COMPLETE", "CONFIRMED", "ROLLED_BACK"):
        for _ in range(3):
            events.add(5, event, ADDRESS, V)
    events.flush(5)
    assert len(lines()) == 12


def test_a_flood():
    """Of 10,000 wrong passwords from as many addresses: few lines, few writes, and little memory."""
    writes = []

    def count(*arguments):
        writes.append(arguments)
        with_our_time(*arguments)

    starts.quietly = count
    for number in range(10_000):
        events.add(number // 100, "LOGIN_FAILED", "10.0.%d.%d" % divmod(number, 250))
        if number % 500 == 0:
            events.flush(number // 100)  # the loop's turn, every 5 s
        assert len(events._counted) <= 17
        assert len(events._waiting) <= 32
    events.flush(100)
    assert len(lines()) <= 17
    assert len(writes) <= 3
    events.flush(100, True)
    assert sum([line.get("count", 1) for line in lines()]) == 10_000
    print("WRITES", len(writes), "LINES", len(lines()))


def test_too_many_at_once():
    for number in range(100):
        events.add(1, "RESTART", None, (("version", str(number)),))
    events.flush(1)
    assert len(lines()) == 32


def test_other_files_in_the_folder():
    write(1, "RESTART")
    for name in ("u", "vacation.txt", "v12345678.bak", "uxxxxxxxx"):
        with open(slot.LOG + name, "w") as file:
            file.write("not ours\n")
    os.remove(slot.LOG + "uxxxxxxxx")
    write(2, "UPDATE_START", None, V)
    assert len(lines()) == 2


def test_a_line_that_is_none():
    """A learner has edited it: the rest of that file is passed over, the length is kept."""
    write(1, "RESTART")
    with open(slot.LOG + "v00000000", "a") as file:
        file.write("not ours\n")
    write(2, "UPDATE_START", None, V)
    assert [line["event"] for line in lines()] == ["RESTART", "UPDATE_START"]


def test_a_folder_that_cannot_be_written_changes_nothing():
    with open(FOLDER, "w") as file:
        file.write("a file of this name")
    boot_files.log("RESTART", ADDRESS)
    boot_files.flush()
    assert boot_files.read_log().seek(0, 2) == 0
    os.remove(FOLDER)
    boot_files.log("RESTART", ADDRESS, cause="x")
    boot_files.flush()
    assert lines()[0]["cause"] == "x"


def test_goes_on_while_it_is_read():
    """Lines that come meanwhile do not show; those that go meanwhile leave blanks."""
    for number in range(60):
        write(number, "RESTART", None, (("number", number),))
    file = audit.Log()
    length, first = file.seek(0, 2), file.read(300)
    for number in range(60, 200):
        write(number, "RESTART", None, (("number", number),))
    rest = b""
    while piece := file.read(500):
        rest += piece
    assert len(first + rest) == length
    assert boot_files.read_log().seek(0, 2) > 0
