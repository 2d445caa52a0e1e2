# Runs on CPython and on MicroPython.
"""Settings over the air: what a start takes, what a power cut leaves, and the button."""

import asyncio
import hashlib
import json

import _chip
import _nvs
import _otadata
import _pins
import auth
import config
import machine
import networks
import password as passwords
import settings
import trial
from _expect import error_of
from esp32 import NVS

OFFSET, SIZE = 0x9000, 0x4000  # of NVS
OTADATA = 0xD000
SOFT = 5  # reset cause
WIFI = {"wifi_ssid": "another", "wifi_password": "another-password"}


def install(name=b"virtual-wifi", password=b"virtual-password"):
    nvs = NVS("kit")
    nvs.set_blob("wifi_ssid", name)
    nvs.set_blob("wifi_password", password)
    nvs.set_i32("starts", 5)
    nvs.set_blob("cert1", bytes(2))  # https wants a certificate; it is looked at when it is used
    nvs.set_i32("cert", 1)


def put(**asked):
    return config.put(asked, "192.168.1.7", False)


async def good(chosen):
    """A start that succeeds."""


async def bad(chosen):
    """A start that does not."""
    raise OSError("no such network")


def try_out(start=good):
    asyncio.run(config.try_out(config.choose(), start))


def view():
    """What a start takes, and the confirmed Wi-Fi."""
    chosen = config.choose()
    is_trial = chosen.pop("trial", 0) > 0
    return json.dumps([sorted(chosen.items()), is_trial]), settings.blob("wifi_ssid"), settings.blob("wifi_password")


def image():
    return _chip.read(OFFSET, SIZE)


def restart(data=None):
    """Start the chip anew, with other contents of NVS if they are given."""
    if data:
        _chip._put(OFFSET, data)
    _nvs.open_partition(OFFSET, SIZE)
    _chip.operations, _chip.cut_at = 0, None


def cut(data, number, function):
    """Do something, with a power cut at an operation; tell whether it came to that."""
    restart(data)
    _chip.cut_at = number
    try:
        function()
    except _chip.PowerCut:
        return True
    except _chip.Reset:
        pass
    return False


def cut_everywhere(function, again=False):
    """Cut the power at each operation: the start that follows finds the old settings or the new ones.

    again: at each operation of that start too.
    """
    before = image()
    old = view()
    restart(before)
    assert not cut(before, None, function)
    restart()
    new = view()
    assert new != old
    number, seen = 0, set()
    while cut(before, number, function):
        restart()
        after = image()
        if again:
            second = 0
            while cut(after, second, view):
                restart()
                assert view() in (old, new), (number, second)
                second += 1
        restart(after)
        found = view()
        assert found in (old, new), number
        assert found == new or new not in seen, number  # never back
        seen.add(found)
        number += 1
    assert seen == {old, new}, number
    restart(before)


def change():
    put(hostname="new", pins={"led": 4}, **WIFI)


def test_defaults():
    install()
    assert config.choose() == {
        "wifi_ssid": "virtual-wifi",
        "wifi_password": "virtual-password",
        "hostname": "esp32-ota-0110",
        "static": None,
        "pins": {"led": 2, "progress": None, "button": 18},
        "hosts": [],
        "allow": [],
        "https": False,
    }


def test_cut_while_storing():
    install()
    for number in range(8):  # the last word written then lies where half of a write counts
        NVS("kit").set_i32("more%d" % number, 1)
    cut_everywhere(change)


def test_cut_while_storing_over_an_earlier_trial():
    install()
    put(hostname="first", wifi_ssid="first", ip="127.0.0.1", netmask="255.0.0.0", gateway="127.0.0.2", dns="127.0.0.3")
    cut_everywhere(change)


def test_cut_while_storing_over_confirmed_settings():
    install()
    put(hostname="first", wifi_ssid="first")
    try_out()
    cut_everywhere(change)


def test_cut_while_storing_pins():
    install()
    put(hostname="first")
    cut_everywhere(lambda: put(pins={"led": None, "progress": 25}))


def test_cut_while_confirming():
    install()
    change()
    cut_everywhere(try_out, again=True)


def test_cut_while_confirming_once_more():
    install()
    change()
    try_out()
    put(wifi_ssid="third", hostname="third")
    cut_everywhere(try_out, again=True)


def test_cut_while_giving_up():
    install()
    change()
    cut_everywhere(lambda: try_out(bad))


def test_cut_at_the_end_of_a_page():
    """NVS then copies what counts to another page."""
    for fill in range(0, 110, 11):
        restart(b"\xff" * SIZE)
        install()
        for number in range(fill):
            NVS("other").set_i32("counter", number)
        change()
        cut_everywhere(try_out)
        try_out()
        cut_everywhere(lambda: put(hostname="third", wifi_ssid="third"))


class Instant:
    def sleep(self, seconds):
        assert 0 < seconds < 0.25


def press(released=True):
    """Hold the button during a start; `released`: the start before has seen it so."""
    config.time = Instant()
    if released:
        config.choose()
    _pins.held = 18
    try:
        config.choose()
    finally:
        _pins.held = None


def test_cut_while_resetting():
    """Also where a confirmed Wi-Fi was not copied yet."""
    machine.Pin = _pins.HeldPin
    install()
    change()
    config.choose()  # it is released
    cut_everywhere(lambda: press(released=False), again=True)
    config._commit(*[config._state()[1]] * 2)
    NVS("kit").set_blob("password", b"x")
    press()
    assert gone()


def gone():
    """Whether nothing is left in NVS but the boot counter."""
    keys = ["wifi_ssid", "wifi_password", "password", "password2", "trying", "set1", "set2", "set3", "set4"]
    error_of(OSError, NVS("kit").get_i32, "button")
    return not any([settings.blob(key) for key in keys]) and NVS("kit").get_i32("starts") == 5  # noqa: C419


def test_reset_by_the_button():
    machine.Pin = _pins.HeldPin
    install()
    NVS("kit").set_blob("password", b"x")
    NVS("kit").set_blob("password2", b"y")  # as a power cut leaves it
    put(hostname="first", pins={"button": 4})
    guard()
    come()
    put(hostname="second")
    press()  # 18, which is no button any more
    assert config.choose()["hostname"] == "second"  # and sees the one at 4 released
    _pins.held = 4
    assert not config.choose()["wifi_ssid"]
    assert gone()
    _pins.held = None
    assert config.choose()["hostname"] == "esp32-ota-0110"
    assert config.choose()["pins"]["button"] == 18


def test_a_button_that_was_never_seen_released():
    """As a pin that nothing pulls up: it is none. Nor is it after another one was released, or after it has counted."""
    machine.Pin = _pins.HeldPin
    install()
    for _ in range(3):
        press(released=False)
        assert settings.blob("wifi_ssid")
    press()
    assert gone()
    install()
    for _ in range(3):
        press(released=False)
        assert settings.blob("wifi_ssid")
    config.choose()  # 18 is released
    put(pins={"button": 4})
    _pins.held = 4
    assert config.choose()["wifi_ssid"]
    _pins.held = None
    config.choose()
    _pins.held = 4
    assert not config.choose()["wifi_ssid"]


def test_seeing_a_button_released_is_written_once():
    machine.Pin = _pins.HeldPin
    install()
    config.choose()
    _chip.operations = 0
    for _ in range(10):
        config.choose()
    assert _chip.operations == 0


def test_button_and_nvs_that_is_full():
    machine.Pin = _pins.HeldPin
    install()
    _chip.fail_at = _chip.operations
    assert config.choose()["wifi_ssid"]
    assert _chip.operations == _chip.fail_at + 1
    press(released=False)
    assert settings.blob("wifi_ssid")


def test_button_must_be_held():
    """For a second: one sample that says otherwise is enough."""

    class Bouncing(_pins.HeldPin):
        samples = 0

        def value(self):
            Bouncing.samples += 1
            return int(Bouncing.samples == 15)

    install()
    config.choose()
    machine.Pin = Bouncing
    assert config.choose()["wifi_ssid"] == "virtual-wifi"
    assert Bouncing.samples == 15
    put(pins={"button": None})
    assert config.choose()["wifi_ssid"] == "virtual-wifi"
    assert Bouncing.samples == 15


def test_unconfirmed_start():
    """It uses the confirmed settings, and neither tries others nor resets them."""
    machine.Pin = _pins.HeldPin
    install()
    change()
    _chip.erase(OTADATA, 0x1000)
    _chip.write(OTADATA, _otadata.pack(1, _otadata.PENDING_VERIFY))
    _pins.held = 4
    chosen = config.choose()
    assert (chosen["wifi_ssid"], chosen["hostname"], "trial" in chosen) == ("virtual-wifi", "esp32-ota-0110", False)
    _pins.held = None
    _chip.write(OTADATA, _otadata.pack(1, _otadata.VALID))
    _chip.erase(OTADATA, 0x1000)
    _chip.write(OTADATA, _otadata.pack(1, _otadata.VALID))
    assert config.choose()["hostname"] == "new"


def test_soft_reset_is_no_trial():
    install()
    change()
    _chip.reset_cause = SOFT
    assert config.choose()["hostname"] == "esp32-ota-0110"
    _chip.reset_cause = 1
    assert config.choose()["hostname"] == "new"


def test_pins_need_no_trial():
    install()
    change()
    error_of(_chip.Reset, try_out, bad)
    chosen = config.choose()
    assert (chosen["hostname"], chosen["pins"]["led"], "trial" in chosen) == ("esp32-ota-0110", 4, False)
    put(pins={"led": 5})
    assert "trial" not in config.choose()


def test_forgets_what_does_not_count():
    """Its password too."""
    install()
    change()
    assert b"another-password" in image()
    error_of(_chip.Reset, try_out, bad)
    live = [settings.blob("set%d" % number) for number in range(1, 8)]
    assert not any([blob and b"another" in blob for blob in live])  # noqa: C419


def test_back_to_what_was():
    """Then there is nothing to try."""
    install()
    change()
    put(hostname="esp32-ota-0110", wifi_ssid="virtual-wifi", wifi_password="virtual-password")
    assert "trial" not in config.choose()


def test_change_while_trying():
    """What was put in the place of a trial meanwhile is tried at the next start, and not confirmed by this one."""
    install()
    change()

    def confirms(end):
        async def start(chosen):
            put(hostname="newer")
            await end(chosen)

        try_out(start)

    for call in (lambda: confirms(good), lambda: error_of(_chip.Reset, confirms, bad)):
        call()
        chosen = config.choose()
        assert (chosen["hostname"], chosen["wifi_ssid"], chosen["trial"] > 0) == ("newer", "another", True)
        assert settings.blob("wifi_ssid") == b"virtual-wifi"
    try_out()
    assert settings.blob("wifi_ssid") == b"another"


# What can shut out the owner

OURS = ["192.168.1.0/24"]


def guard():
    return put(allow=OURS, hostname="guarded")


def come():
    """A start with the settings on trial, to which somebody comes."""
    chosen = config.choose()
    asyncio.run(config.try_out(chosen, good))
    assert config._state()[1] == chosen["trial"] != config._state()[0]  # it waits
    confirm = trial_of(chosen)
    confirm()
    assert auth.greet is not confirm


def trial_of(chosen):
    """Return what is called when somebody comes."""
    asyncio.run(begin(trial.watch(chosen["trial"], chosen["guarded"])))
    return auth.greet


async def begin(watching):
    task = asyncio.create_task(watching)
    await asyncio.sleep(0)
    task.cancel()


def names():
    """Name and list of the settings that a start takes."""
    chosen = config.choose()
    return chosen["hostname"], chosen["allow"], chosen.get("guarded")


BEFORE, TRIED, CONFIRMED = ("esp32-ota-0110", [], None), ("guarded", OURS, 180), ("guarded", OURS, None)


def test_guarded_settings():
    install()
    assert "or nobody logs in within 180 s" in guard()
    come()
    assert names() == CONFIRMED
    assert "logs in" not in put(hostname="another")
    chosen = config.choose()
    assert (chosen["hostname"], chosen["allow"], "guarded" in chosen) == ("another", OURS, False)
    try_out()
    for asked in ({"allow": []}, {"https": True}, {"allow": ["192.168.1.7"]}):
        assert "or nobody logs in" in put(**asked)
        assert config.choose()["guarded"] == 180
        assert "guarded" not in config.choose()


def test_guarded_settings_have_one_start():
    """Whatever ends it: the next one takes those before, and so do all others."""
    install()
    guard()
    assert [names() for _ in range(3)] == [TRIED, BEFORE, BEFORE]
    assert config.show()["hostname"] == "esp32-ota-0110"
    guard()
    come()
    put(allow=["192.168.1.7"], hostname="other")
    assert [names()[0] for _ in range(3)] == ["other", "guarded", "guarded"]


def test_guarded_settings_that_do_not_connect():
    install()
    guard()
    error_of(_chip.Reset, try_out, bad)
    assert names() == BEFORE
    guard()
    assert names() == TRIED


def test_cut_while_guarded():
    """At whatever operation, of a start to which somebody comes or nobody does: nobody is shut out."""

    def nobody_comes():
        chosen = config.choose()
        config.end(chosen["trial"], "nobody came")

    for function, end in ((come, CONFIRMED), (nobody_comes, BEFORE)):
        restart(b"\xff" * SIZE)
        install()
        guard()
        before = image()
        number, seen = 0, set()
        while cut(before, number, function):
            restart()
            found = [names() for _ in range(3)]
            assert found in ([TRIED, BEFORE, BEFORE], [BEFORE] * 3, [end] * 3), (number, found)
            seen.add(json.dumps(found[0]))
            number += 1
        restart()
        assert names() == end
        assert len(seen) == 3 if end is CONFIRMED else 2


def test_cut_while_storing_guarded_settings():
    """Over a trial that had its start, too: those that replace it have one of their own."""
    new = "newer", ["192.168.0.0/16"], 180
    for tried in (False, True):
        restart(b"\xff" * SIZE)
        install()
        guard()
        if tried:
            assert names() == TRIED
        before = image()
        number = 0
        while cut(before, number, lambda: put(allow=new[1], hostname=new[0])):
            restart()
            assert [names() for _ in range(3)] in ([TRIED, BEFORE, BEFORE], [new, BEFORE, BEFORE], [BEFORE] * 3), number
            number += 1
        restart()
        assert names() == new


def test_a_note_that_was_left():
    """That a set had its start, where a power cut left it: another set with its number has one, too."""
    for number in (1, 2, 3, 4):
        restart(b"\xff" * SIZE)
        install()
        settings.store("trying", bytes([number]))
        before, operation = image(), 0
        while cut(before, operation, guard):
            restart()
            expected = TRIED if config._state()[1] else BEFORE
            assert names() == expected, (number, operation)
            operation += 1
        restart()
        assert names() == TRIED


def test_no_trial_without_a_note():
    """NVS is full, or fails: a board that hangs under such settings would never come back."""
    install()
    guard()
    NVS("kit").set_i32("button", 18)  # so that this is not written first
    before = image()
    _chip.fail_at = _chip.operations
    assert names() == BEFORE
    _chip.fail_at = None
    restart(before)
    assert names() == TRIED
    for _ in range(2):
        _chip.fail_at = _chip.operations
        assert names() == BEFORE


def test_settings_that_cannot_be_confirmed():
    """The request that came fails, and the next one tries again."""
    install()
    guard()
    chosen = config.choose()
    confirm = trial_of(chosen)
    _chip.fail_at = _chip.operations
    error_of(OSError, confirm)
    assert auth.greet is confirm
    confirm()
    assert auth.greet is not confirm
    assert names() == CONFIRMED


def test_unconfirmed_version_under_guarded_settings():
    """Those that are confirmed apply, with nobody there; others wait."""
    install()
    guard()
    come()
    put(allow=[], https=True)
    _chip.erase(OTADATA, 0x1000)
    _chip.write(OTADATA, _otadata.pack(1, _otadata.PENDING_VERIFY))
    assert names() == CONFIRMED
    _chip.reset_cause = SOFT
    assert names() == CONFIRMED


def test_who_leaves_itself_out():
    install()
    before = image()
    for allow in (["192.168.2.0/24"], ["192.168.1.8"], ["10.0.0.0/8", "192.168.1.128/25"]):
        error = error_of(config.HttpError, config.put, {"allow": allow, "hostname": "x"}, "192.168.1.7", False)
        assert (error.status, error.name) == (409, "NOT_ALLOWED")
        assert "192.168.1.7" in error.message and "force" in error.advice
        error = error_of(config.HttpError, config.put, {"allow": allow}, None, False)
        assert error.name == "NOT_ALLOWED"
    assert image() == before
    config.put({"allow": ["10.0.0.0/8"]}, "192.168.1.7", True)
    put(hostname="x")  # it says nothing of the list
    for allow in (["10.0.0.0/8", "192.168.1.7"], ["0.0.0.0/0"], []):
        put(allow=allow)


def test_networks():
    for network, inside, outside in (
        ("192.168.1.0/24", ("192.168.1.0", "192.168.1.255"), ("192.168.0.255", "192.168.2.0", "1.168.192.0")),
        ("192.168.1.7", ("192.168.1.7",), ("192.168.1.6", "192.168.1.8")),
        ("192.168.1.6/31", ("192.168.1.6", "192.168.1.7"), ("192.168.1.5", "192.168.1.8")),
        ("128.0.0.0/1", ("128.0.0.0", "255.255.255.255"), ("127.255.255.255",)),
        ("0.0.0.0/0", ("0.0.0.0", "255.255.255.255"), ()),
    ):
        for address in inside:
            assert networks.has([network], address), (network, address)
            assert not networks.has([], address)
        for address in outside + (None, "", "x", "::1", "192.168.1", "192.168.1.7.7"):
            assert not networks.has([network], address), (network, address)


def test_all_settings_at_once():
    """Ordinary ones: a set has room for them."""
    allow = ["192.168.100.0/24", "192.168.101.0/24", "10.100.100.0/24", "172.16.100.0/24"]
    install()
    config.put(
        {
            "wifi_ssid": "x" * 32,
            "wifi_password": "f" * 64,
            "hostname": "x" * 32,
            "ip": "192.168.100.100",
            "netmask": "255.255.255.0",
            "gateway": "192.168.100.101",
            "dns": "192.168.100.101",
            "pins": {"led": 25, "progress": 26, "button": 27},
            "hosts": ["router.example.org", "proxy.example.org"],
            "allow": allow,
        },
        "192.168.100.1",
        False,
    )
    assert config.choose()["allow"] == allow


def test_longest_settings():
    install()
    address = {
        "ip": "127.100.100.100",
        "netmask": "255.255.255.0",
        "gateway": "127.100.100.101",
        "dns": "200.255.255.255",
    }
    pins = {"led": 25, "progress": 26, "button": 27}
    hosts = ["router.example.org", "proxy.example.org"]
    for name, password in (('"' * 32, '"' * 63), ("\u00fc" * 16, "\\" * 63), ("\u20ac" * 10, "f" * 64)):
        put(wifi_ssid=name, wifi_password=password, hostname="x" * 32, pins=pins, hosts=hosts, **address)
        try_out()
        restart()
        chosen = config.choose()
        assert (chosen["wifi_ssid"], chosen["wifi_password"], chosen["pins"]) == (name, password, pins)
        assert chosen["static"] == [address[key] for key in ("ip", "netmask", "gateway", "dns")]


def test_settings_to_go_back_to_that_are_too_long():
    """The set to try would fit, and the one before with the new hosts would not: a start could not read it."""
    install(b'"' * 32, b'"' * 63)
    put(allow=OURS, https=True)
    come()
    before = image()
    hosts = ["x" * 31 + "." + "x" * 31] * 4
    asked = {"hosts": hosts, "wifi_ssid": "a", "wifi_password": ""}
    error = error_of(config.HttpError, config.put, asked, "192.168.1.7", False)
    assert (error.status, error.name) == (400, "BAD_SETTING")
    assert image() == before
    restart()
    chosen = config.choose()
    assert (chosen["allow"], chosen["https"], chosen["hosts"]) == (OURS, True, [])
    asked["hosts"] = hosts[:1]  # else all that is asked for is good
    config.put(asked, "192.168.1.7", False)


def test_settings_that_cannot_be_read():
    """HTTPS stays on where it can have been on: where there is a certificate."""
    nvs = NVS("kit")
    for damage in (lambda key: nvs.erase_key(key), lambda key: nvs.set_blob(key, bytes(600))):
        install()
        put(https=True)
        come()
        damage("set%d" % config._state()[0])
        restart()
        assert config.choose()["https"]
        assert config.show()["https"]
        nvs.erase_key("cert")
        assert not config.choose()["https"]
        restart(b"\xff" * SIZE)


# The OTA password

OLD, NEW, LAST = "the old password", "a new password", "the last password"


def keep_a_password():
    """Have one as board.install() writes it, made fast: the rounds are no matter here."""
    passwords.digest = lambda password, salt: hashlib.sha256(salt + password.encode()).digest()
    settings.store("password", bytes(16) + passwords.digest(OLD, bytes(16)))


def right():
    """Those that log in, of all that a board could have here."""
    return [password for password in (OLD, NEW, LAST, "admin123") if passwords._is_right(password)]


def test_cut_while_changing_the_password():
    """Twice, at whatever operations: one password is right, never that of the tutorial, and the next change works."""
    for fill in range(0, 110, 22):  # at the end of a page, too
        restart(b"\xff" * SIZE)
        keep_a_password()
        for number in range(fill):
            NVS("other").set_i32("counter", number)
        before = image()
        first, seen = 0, []
        while cut(before, first, lambda: passwords.change(NEW)):
            restart()
            after, found = image(), right()
            assert found in ([OLD], [NEW]), (fill, first, found)
            seen += found
            second = 0 if settings.blob("password2") else None  # else it is as at the beginning
            while cut(after, second, lambda: passwords.change(LAST)):
                restart()
                assert right() in (found, [LAST]), (fill, first, second, right())
                second += 1
            restart()
            assert right() == [LAST], (fill, first)
            assert settings.blob("password2") is None, (fill, first)
            first += 1
        assert OLD in seen and NEW in seen, fill
        restart()
        assert right() == [NEW]
        assert settings.blob("password2") is None


def test_password_and_nvs_that_is_full():
    """Whatever room is left: a refusal, and the old one is right; or the new one is."""
    keep_a_password()
    nvs, number = NVS("kit"), 0
    answers = []
    try:
        while True:
            nvs.set_blob("filler%d" % number, bytes(400))
            number += 1
    except OSError:
        pass
    while answers[-1:] != [500]:
        before = image()
        answers.append(answer_to_change())
        assert right() == [OLD if answers[-1] == 500 else NEW], answers
        restart(before)
        nvs = NVS("kit")
        try:
            nvs.set_i32("small%d" % len(answers), 1)
        except OSError:
            break
    assert answers[0] == 200 and answers[-1] == 500, answers


def test_password_and_nvs_that_fails():
    keep_a_password()
    before, answers = image(), []
    while _chip.fail_at is None or _chip.operations > _chip.fail_at:
        restart(before)
        _chip.fail_at = len(answers)
        answers.append(answer_to_change())
        failed, _chip.fail_at = _chip.fail_at, None
        done = _chip.operations
        restart()
        assert right() == [OLD if answers[-1] == 500 else NEW], answers
        _chip.operations, _chip.fail_at = done, failed
    _chip.fail_at = None
    assert answers == sorted(answers, reverse=True), answers
    assert answers.count(500) > 3 and answers.count(200) > 1, answers


def answer_to_change():
    """Return the status of the answer."""
    try:
        passwords.change(NEW)
    except config.HttpError as error:
        assert error.name == "NOT_STORED"
        return error.status
    return 200


def test_nvs_that_fails():
    """At whatever operation: a refusal, and nothing has changed; or all is stored, but for what was to be erased."""
    install()
    put(hostname="first")
    data, before = image(), view()
    answers = []
    while _chip.fail_at is None or _chip.operations > _chip.fail_at:
        restart(data)
        _chip.fail_at = len(answers)
        try:
            put(hostname="new", pins={"led": 4}, hosts=["board.example.org"], **WIFI)
            answers.append(200)
        except config.HttpError as error:
            assert error.name == "NOT_STORED"
            answers.append(error.status)
        failed, _chip.fail_at = _chip.fail_at, None
        done = _chip.operations
        restart()
        assert (view() == before) == (answers[-1] == 500), answers
        _chip.operations, _chip.fail_at = done, failed
    _chip.fail_at = None
    assert answers == sorted(answers, reverse=True), answers
    assert answers.count(500) > 3 and answers.count(200) > 1, answers


def test_without_nvs():
    """As with a table that has no such partition: the start goes on."""
    _nvs._store = None
    assert not config.choose()["wifi_ssid"]


def installing_leaves_no_trial(path):
    """`path`: the code that board.install() runs."""
    install()
    put(hostname="first", pins={"led": 4}, ip="127.0.0.1", netmask="255.0.0.0", gateway="127.0.0.2", dns="127.0.0.3")
    try_out()
    guard()
    come()
    change()
    put(https=True)
    with open(path) as file:
        exec(file.read())
    chosen = config.choose()
    assert (chosen["wifi_ssid"], chosen["hostname"], chosen["static"]) == ("by-cable", "esp32-ota-0110", None)
    assert (chosen["allow"], chosen["https"], "trial" in chosen) == ([], False, False)


def expect_wifi(name, password):
    """For the tests of the whole application."""
    assert settings.blob("wifi_ssid") == name.encode(), settings.blob("wifi_ssid")
    assert settings.blob("wifi_password") == password.encode()


def test_static_address():
    """It replaces DHCP; the virtual board comes up with its own only."""
    import network
    import wifi

    install()
    ours = ("127.0.0.1", "255.255.255.0", "127.0.0.2", "127.0.0.3")
    put(ip=ours[0], netmask=ours[1], gateway=ours[2], dns=ours[3])
    asyncio.run(wifi.connect(config.choose()))
    assert tuple(network.WLAN().ifconfig()) == ours
    assert network.hostname() == "esp32-ota-0110"
    network.WLAN().ifconfig(("192.168.1.2",) + ours[1:])
    assert not network.WLAN().isconnected()
    network.WLAN().ifconfig("dhcp")
    assert network.WLAN().ifconfig()[1] == "255.0.0.0"
    for wrong in ("none", ours[:3]):
        error_of(ValueError, network.WLAN().ifconfig, wrong)


def test_a_real_board_has_no_loopback_address():
    _chip.machine = "Generic ESP32 module with OTA with ESP32"
    install()
    before = image()
    loopback = {"ip": "127.0.0.2", "netmask": "255.0.0.0", "gateway": "127.0.0.1", "dns": "127.0.0.2"}
    assert error_of(config.HttpError, config.put, loopback, None, False).name == "BAD_SETTING"
    assert image() == before
    put(ip="192.168.1.2", netmask="255.255.255.0", gateway="192.168.1.1", dns="9.9.9.9")


def takes_what_the_kit_takes(path):
    """`path`: settings that are right and wrong, of which `board.install()` is tested too."""
    with open(path) as file:
        cases = json.load(file)
    for name, texts in cases.items():
        store = passwords.change if name == "password" else lambda text, name=name: put(**{name: text})
        for text in texts["good"]:
            store(text)
        for text in texts["bad"]:
            assert error_of(config.HttpError, store, text).status == 400, (name, text)
