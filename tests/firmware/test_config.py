"""Settings over the air: validation, trial, power cuts, the button, on both interpreters."""

import contextlib
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.board.installation import STORE_SETTINGS
from kit.image import otadata

BODY = (Path(__file__).parent / "bodies/configs.py").read_text()
NVS, NVS_SIZE = 0x9000, 0x4000
OTA_0 = 0x10000
PASSWORD = "a password of our own"
STATIC = {"ip": "127.0.0.1", "netmask": "255.0.0.0", "gateway": "127.0.0.2", "dns": "9.9.9.9"}


@pytest.mark.parametrize("function", re.findall(r"^def (test_\w+)", BODY, re.M))
def test_settings(function: str, interpreter, make_flash: Callable[..., Path]) -> None:
    done = interpreter.run("configs", function, make_flash())
    assert done.code == 0, done.output
    assert done.output.endswith("PASSED\n")


def test_install_leaves_no_trial(interpreter, make_flash: Callable[..., Path], tmp_path: Path) -> None:
    code = tmp_path / "store.py"
    code.write_text(STORE_SETTINGS.format(blobs={"wifi_ssid": b"by-cable", "wifi_password": b"12345678"}))
    done = interpreter.run("configs", "installing_leaves_no_trial", make_flash(), code)
    assert done.code == 0, done.output


def test_the_board_takes_what_the_kit_takes(interpreter, make_flash: Callable[..., Path]) -> None:
    cases = Path(__file__).parents[1] / "settings.json"
    done = interpreter.run("configs", "takes_what_the_kit_takes", make_flash(), cases)
    assert done.code == 0, done.output


def nvs(board) -> bytes:
    with board.flash.open("rb") as file:
        file.seek(NVS)
        return file.read(NVS_SIZE)


def put(board, **settings: object) -> None:
    board.log_in(PASSWORD)
    answer = board.put("/config", json=settings, headers=board.bearer)
    assert answer.status_code == 200, answer.text
    assert "next restart" in answer.json()["message"]


def config(board) -> dict:
    return board.get("/config", headers=board.bearer).json()


def test_get(board) -> None:
    board.log_in(PASSWORD)
    answer = board.get("/config", headers=board.bearer)
    assert answer.json() == {
        "wifi_ssid": "virtual-wifi",
        "hostname": "esp32-ota-0110",
        "ip": None,
        "netmask": None,
        "gateway": None,
        "dns": None,
        "hosts": [],
        "allow": [],
        "https": False,
        "pins": {"led": 2, "progress": None, "button": 18},
    }


def test_secrets_are_never_read_back(interpreter, make_flash, serve) -> None:
    board = serve(interpreter, make_flash(), password=PASSWORD)
    put(board, wifi_password="a new secret")
    for answer in (board.get("/config", headers=board.bearer), board.get("/info"), board.get("/")):
        assert "virtual-password" not in answer.text
        assert "a new secret" not in answer.text
    board.post("/restart", headers=board.bearer)
    board.wait()
    again = serve(interpreter, board.flash, install=0, trial=0.5, until="RESET")
    for output in (board.output(), again.output()):
        assert "a new secret" not in output


def test_strangers(board, assert_refused) -> None:
    board.log_in(PASSWORD)  # the first login of a board makes the key of its tokens
    before = nvs(board)
    for headers in ({}, {"Authorization": "Bearer " + "0" * 32}):
        assert_refused(board.get("/config", headers=headers), 401, "UNAUTHORIZED")
        assert_refused(board.put("/config", json={"hostname": "x"}, headers=headers), 401, "UNAUTHORIZED")
    board.log_in(PASSWORD)
    foreign = board.bearer | {"Origin": "http://example.org"}
    assert_refused(board.put("/config", json={"hostname": "x"}, headers=foreign), 403, "FOREIGN_ORIGIN")
    assert nvs(board) == before


# Controls, ends of lines, changes of direction, and half of a pair: none of it may stand in a line of the serial port
NOT_PLAIN = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x200F, *range(0x2028, 0x202F))]
NOT_PLAIN += [chr(code) for code in (*range(0x2066, 0x206A), 0xD800, 0xDBFF, 0xDC00, 0xDFFF)]

GOOD = [
    {"hostname": "x"},
    {"hostname": "A-1" + "x" * 29},
    {"wifi_ssid": "Grüße"},
    {"wifi_ssid": "ü" * 16, "wifi_password": ""},
    {"wifi_ssid": " ~\xa0\u2027\u202f\u2065\u206a\uffff"},
    {"wifi_password": "8 Zeich~"},
    {"wifi_password": "x" * 63},
    {"wifi_password": "0123456789abcdefABCDEF" + "0" * 42},
    STATIC,
    STATIC | {"netmask": "255.255.255.252"},
    STATIC | {"ip": "192.168.1.50", "netmask": "255.255.255.0", "gateway": "192.168.1.1"},
    {"ip": None},
    dict.fromkeys(STATIC),
    {"pins": {}},
    {"pins": {"led": 4, "progress": 33, "button": 0}},
    {"pins": {"led": None, "progress": 2}},
    {"pins": {"led": 18, "progress": None, "button": 2}},
    {"hosts": []},
    {"hosts": ["board.example.org", "x", "1-2.3"]},
    {"hosts": ["a" * 32 + "." + "b" * 30, "c", "d", "e"]},
    {"allow": ["127.0.0.0/8"]},
    {"allow": ["0.0.0.0/0", "127.0.0.1", "192.168.100.128/25", "127.0.0.1/32"]},
    {"allow": []},
    {"https": False},
]

BAD = {
    "body": [{}, [], None, "x", 5, True],
    "colour": [{"colour": "red"}],
    "": [{"": "x"}],
    "password": [{"password": "12345678"}],
    "<b>": [{"<b>": 1}],
    "hostname": [
        {"hostname": value}
        for value in (
            *("", "x" * 33, "-x", "x-", "-", "a.b", "a b", "a_b", "grüße", "x\n", "\u0661", "\ud800"),
            *(None, 5, True, ["x"], {"a": "b"}),
        )
    ],
    "wifi_ssid": [{"wifi_ssid": value} for value in ("", "x" * 33, "ü" * 17, None, 5, True, ["x"], {})]
    + [{"wifi_ssid": text} for bad in NOT_PLAIN for text in (bad, f"a{bad}b")],
    "hosts": [
        {"hosts": value}
        for value in (
            *("board.example.org", None, 5, {}, {"a": 1}, ["a"] * 5, [None], [5], [["a"]], [""], ["a."], [".a"]),
            *(["a..b"], ["a b"], ["a_b"], ["-a"], ["a:80"], ["http://a"], ["\u00fc"], ["a" * 33], ["a." * 31 + "ab"]),
        )
    ],
    "allow": [
        {"allow": value}
        for value in (
            *("127.0.0.1", None, 5, True, {}, {"127.0.0.1": 1}, ["127.0.0.1"] * 5, [None], [5], [["127.0.0.1"]], [{}]),
            *([""], ["/"], ["/8"], ["127.0.0.1/"], ["127.0.0.1/33"], ["127.0.0.1/-1"], ["127.0.0.1/032"]),
            *(["127.0.0.1/32/"], ["127.0.0.1/+32"], ["127.0.0.1/ 32"], ["127.0.0.1/3_2"], ["127.0.0.1/\u0663"]),
            *(["127.0.0.1/8"], ["127.0.0.0/255.0.0.0"], ["127.0.0.01"], ["127.0.0"], ["127.1"], ["::1"], ["::1/128"]),
            *(["localhost"], ["127.0.0.1\n"], ["127.0.0.1", "*"], ["0.0.0.0/" + "9" * 500]),
        )
    ],
    "https": [{"https": value} for value in (None, 0, 1, "true", "", [], {}, [True])],
    "setting": [{"\ud800": "x"}, {"a\n": "x"}, {"pins": {"\udc00": 1}}],
    "wifi_password": [
        {"wifi_password": value}
        for value in ("short", "x" * 64, "x" * 65, "f" * 65, "pässword", "pass\nword", "pass\x7fword", None, 12345678)
    ],
    "ip": [
        STATIC | {"ip": value}
        for value in (
            *("", "x", "1.2.3", "1.2.3.4.5", "256.0.0.1", "127.0.0.01", " 127.0.0.1", "127.0.0.1\n", "-1.0.0.1"),
            *(
                "127.0.0.²",
                "127.0.0.\u0661",
                "127.0.0.1_0",
                "1" * 40 + ".0.0.1",
                "::1",
                2130706433,
                None,
                ["127.0.0.1"],
            ),
            *("127.0.0.0", "127.255.255.255", "0.0.0.1", "224.0.0.1", "255.255.255.255"),
        )
    ]
    + [
        {"netmask": "255.0.0.0"},
        {"gateway": "127.0.0.1", "dns": "9.9.9.9"},
        {"dns": None},
        STATIC | {"ip": None},
        {"ip": None, "netmask": "255.0.0.0"},
    ],
    "netmask": [
        STATIC | {"netmask": value}
        for value in ("0.0.0.0", "255.255.255.255", "255.255.255.254", "255.0.255.0", "0.0.0.255", "254.0.0.0", None, 8)
    ]
    + [{"ip": "127.0.0.1"}],
    "gateway": [STATIC | {"gateway": value} for value in ("126.0.0.1", "127.0.0.0", "127.255.255.255", None, "")],
    "dns": [
        STATIC | {"dns": value}
        for value in ("dns.example", None, "9.9.9.999", "0.0.0.0", "224.0.0.1", "255.255.255.255")
    ],
    "pins": [
        {"pins": value}
        for value in (None, 2, [], "x", {"led": 18}, {"progress": 2}, {"led": 4, "progress": 4}, {"button": 2})
    ],
    "pins.led": [
        {"pins": {"led": pin}}
        for pin in (-1, 1, 3, *range(6, 12), 20, 24, *range(28, 32), *range(34, 41), 2.0, "2", True, [2], 1 << 70)
    ],
    "pins.button": [{"pins": {"led": 4, "button": 34}}],
    "pins.tail": [{"pins": {"tail": 4}}],
}


def test_good_settings(board) -> None:
    """What is stored is read back, the password apart; what is not asked for stays."""
    board.log_in(PASSWORD)
    expected = config(board)
    for settings in GOOD:
        put(board, **settings)
        changed = {name: value for name, value in settings.items() if name not in ("pins", "wifi_password")}
        expected |= changed | {"pins": expected["pins"] | settings.get("pins", {})}
        if settings.get("ip", "") is None:
            expected |= dict.fromkeys(STATIC)
        assert config(board) == expected, settings


def test_bad_settings(board, assert_refused) -> None:
    """Nothing of another setting changes: not one byte of NVS is written."""
    put(board, hostname="first", **STATIC)
    before, known = nvs(board), config(board)
    good = {"wifi_ssid": "other"}
    for name, bad in [(key, value) for key, values in BAD.items() for value in values]:
        is_alone = name in ("body", "wifi_ssid", "setting")
        for body in (bad,) if is_alone else (bad, good | bad, bad | good):
            headers = board.bearer | {"Content-Type": "application/json"}
            answer = board.put("/config", data=json.dumps(body), headers=headers)
            assert answer.status_code == 400, body
            assert_refused(answer, 400, "BAD_SETTING")
            assert answer.json()["message"] == f"The board cannot take this {name}.", body
    assert nvs(board) == before
    assert config(board) == known


@pytest.mark.parametrize("data", [b"", b"{", b"hostname=x", b'{"hostname": "%s"}' % (b"x" * 1024), b"[" * 1000])
def test_bad_bodies(data: bytes, board, assert_refused) -> None:
    board.log_in(PASSWORD)
    before = nvs(board)
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        answer = board.put("/config", data=data, headers=board.bearer | {"Content-Type": kind})
        assert_refused(answer, 400, "BAD_SETTING")
    assert nvs(board) == before


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; a=b"])
def test_settings_of_any_content_type(kind: str | None, board) -> None:
    """What they are is seen: curl calls everything a form, unless one tells it otherwise."""
    board.log_in(PASSWORD)
    headers = board.bearer | ({"Content-Type": kind} if kind else {})
    assert board.put("/config", data=b'{"hostname": "lab-7"}', headers=headers).status_code == 200
    assert config(board)["hostname"] == "lab-7"
    assert board.put("/config", data=b"hostname=lab-8", headers=headers).status_code == 400
    assert config(board)["hostname"] == "lab-7"


def start_again(serve, interpreter, board, **options: object):
    """POST /restart, and the start that follows."""
    assert board.post("/restart", headers=board.bearer).status_code == 200
    assert board.wait() == 42, board.output()
    return serve(interpreter, board.flash, install=0, **options)


def test_new_settings_apply_at_the_next_start(interpreter, make_flash, serve) -> None:
    first = serve(interpreter, make_flash(), password=PASSWORD)
    put(first, hostname="lab-7", pins={"led": 4}, **STATIC)
    assert first.get("/info").json()["hostname"] == "esp32-ota-0110"
    second = start_again(serve, interpreter, first)
    assert "Trying the new settings.\n" in second.output()
    assert "New settings confirmed\n" in second.output()
    assert second.get("/info").json()["hostname"] == "lab-7"
    second.log_in(PASSWORD)
    third = start_again(serve, interpreter, second)
    assert "Trying" not in third.output()
    assert third.get("/info").json()["hostname"] == "lab-7"
    third.log_in(PASSWORD)
    assert config(third) == {"wifi_ssid": "virtual-wifi", "hostname": "lab-7"} | STATIC | {
        "hosts": [],
        "allow": [],
        "https": False,
        "pins": {"led": 4, "progress": None, "button": 18},
    }


def test_more_names(interpreter, make_flash, serve) -> None:
    """Those by which a router or a proxy leads to the board; from the next start on."""
    board = serve(interpreter, make_flash(), password=PASSWORD)
    put(board, hosts=["Board.Example.org", "esp32.fritz.box"])
    assert config(board)["hosts"] == ["board.example.org", "esp32.fritz.box"]
    assert board.get("/info", headers={"Host": "board.example.org"}).status_code == 403
    board.post("/restart", headers=board.bearer)
    board.wait()
    board = serve(interpreter, board.flash, install=0)
    for host, status in (("board.example.org:8080", 200), ("ESP32.fritz.box", 200), ("fritz.box", 403)):
        assert board.get("/info", headers={"Host": host}).status_code == status
        assert board.get("/info", headers={"Host": host, "Origin": f"http://{host}"}).status_code == status
    assert board.get("/info", headers={"Host": "127.0.0.1", "Origin": "http://esp32.fritz.box"}).status_code == 403


def test_another_wifi(interpreter, make_flash, serve) -> None:
    """Once connected it stands where board.install() would have put it."""
    first = serve(interpreter, make_flash(), password=PASSWORD)
    put(first, wifi_ssid="Grüße", wifi_password="another-password")
    second = start_again(serve, interpreter, first, network="Grüße", key="another-password")
    assert "New settings confirmed\n" in second.output()
    done = interpreter.run("configs", "expect_wifi", first.flash, "Grüße", "another-password")
    assert done.code == 0, done.output


@pytest.mark.parametrize(
    "settings",
    [
        {"wifi_ssid": "elsewhere"},
        {"wifi_password": "a wrong one"},
        STATIC | {"ip": "192.168.1.50", "netmask": "255.255.255.0", "gateway": "192.168.1.1"},
    ],
    ids=["name", "password", "address"],
)
def test_settings_that_do_not_connect_are_undone(settings: dict, interpreter, make_flash, serve) -> None:
    first = serve(interpreter, make_flash(), password=PASSWORD)
    first.log_in(PASSWORD)
    before = config(first)
    put(first, hostname="lab-7", pins={"led": 4}, **settings)
    second = start_again(serve, interpreter, first, trial=1, until="RESET")
    assert second.wait() == 42
    assert "The new settings are removed: no connection within 1" in second.output()
    third = serve(interpreter, first.flash, install=0)
    assert "Trying" not in third.output()
    assert third.get("/info").json()["hostname"] == "esp32-ota-0110"
    third.log_in(PASSWORD)
    assert config(third) == before | {"pins": before["pins"] | {"led": 4}}
    done = interpreter.run("configs", "expect_wifi", first.flash, "virtual-wifi", "virtual-password")
    assert done.code == 0, done.output


def test_new_settings_wait_for_a_new_version(interpreter, make_flash, serve) -> None:
    """A version on probation is judged with the confirmed settings."""
    first = serve(interpreter, make_flash(), password=PASSWORD)
    put(first, hostname="lab-7")
    with first.flash.open("r+b") as file:
        file.seek(0xD000)
        file.write(otadata.pack(1, otadata.PENDING_VERIFY))
    second = start_again(serve, interpreter, first)
    second.wait_for("Update confirmed")
    assert "Trying" not in second.output()
    assert second.get("/info").json()["hostname"] == "esp32-ota-0110"
    second.log_in(PASSWORD)
    third = start_again(serve, interpreter, second)
    assert third.get("/info").json()["hostname"] == "lab-7"


def shuts_out(board, source: str) -> bool:
    """Whether an address is sent away without a byte of an answer; True or a whole answer, nothing else."""
    with socket.create_connection(("127.0.0.1", board.port), timeout=20, source_address=(source, 0)) as connection:
        try:
            connection.sendall(b"GET /info HTTP/1.0\r\n\r\n")
            answer = connection.makefile("rb").read()
        except ConnectionError:  # it was closed with the request unread
            return True
    assert answer == b"" or b"uptime" in answer
    return not answer


def put_list(board, *networks: str) -> None:
    """A list that leaves out 127.0.0.1, which is the board's own address, and so may come all the same."""
    board.log_in(PASSWORD)
    answer = board.put("/config?force=1", json={"allow": networks}, headers=board.bearer)
    assert "or nobody logs in within 180 s" in answer.json()["message"]


def test_who_may_come(interpreter, make_flash, serve, assert_refused) -> None:
    first = serve(interpreter, make_flash(), password=PASSWORD)
    first.log_in(PASSWORD)
    before = nvs(first)
    for force in ("", "?force=0", "?force"):
        answer = first.put(f"/config{force}", json={"allow": ["127.0.0.2"]}, headers=first.bearer)
        assert_refused(answer, 409, "NOT_ALLOWED")
    assert nvs(first) == before
    put_list(first, "127.0.0.2", "127.0.0.8/29")
    assert not shuts_out(first, "127.0.0.3")
    assert "Allowed" not in first.output()
    second = start_again(serve, interpreter, first)
    assert "Allowed: 127.0.0.2, 127.0.0.8/29 and this board\n" in second.output()
    sources = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.7", "127.0.0.8", "127.0.0.15", "127.0.0.16")
    assert [shuts_out(second, source) for source in sources] == [False, False, True, True, False, False, True]
    assert "confirmed" not in second.output()
    second.log_in(PASSWORD)
    second.wait_for("New settings confirmed")
    third = start_again(serve, interpreter, second)
    assert "Trying" not in third.output()
    assert "Allowed: 127.0.0.2, 127.0.0.8/29 and this board\n" in third.output()
    assert shuts_out(third, "127.0.0.3")
    third.log_in(PASSWORD)
    assert config(third)["allow"] == ["127.0.0.2", "127.0.0.8/29"]
    put(third, allow=[])
    fourth = start_again(serve, interpreter, third)
    assert "Allowed" not in fourth.output()
    assert not shuts_out(fourth, "127.0.0.3")


def test_who_is_shut_out_takes_no_place(interpreter, make_flash, serve) -> None:
    """And what is written of it is counted."""
    board = serve(interpreter, make_flash(), password=PASSWORD)
    put_list(board, "127.0.0.2")
    board = start_again(serve, interpreter, board)
    board.log_in(PASSWORD)
    with contextlib.ExitStack() as stack:
        others = [
            stack.enter_context(
                socket.create_connection(("127.0.0.1", board.port), 20, (f"127.0.0.{number % 2 + 3}", 0))
            )
            for number in range(30)
        ]
        assert board.get("/info").status_code == 200
        assert [other.recv(1) for other in others] == [b""] * 30
    log = [json.loads(line) for line in board.get("/log", headers=board.bearer).text.splitlines()]
    found = [entry for entry in log if entry["event"] == "FORBIDDEN_ADDRESS"]
    assert sorted((entry["address"], entry.get("count", 0)) for entry in found) == [
        ("127.0.0.3", 0),
        ("127.0.0.3", 14),
        ("127.0.0.4", 0),
        ("127.0.0.4", 14),
    ]


def test_who_shows_nothing_is_nobody(interpreter, make_flash, serve) -> None:
    """Nor is who shows what is not right, or the board itself."""
    first = serve(interpreter, make_flash(), password=PASSWORD)
    put_list(first, "127.0.0.2")
    second = start_again(serve, interpreter, first, look=0.1)
    token = {"Authorization": f"Bearer {first.token}"}  # of the start before
    for answer in (
        second.get("/info"),
        second.get("/", headers=token),
        second.get("/config", headers=token),
        second.post("/login", json={"password": "guess"}),
        second.get("/progress", auth=("admin", "guess")),
        second.get("/progress", auth=("root", PASSWORD)),
    ):
        assert answer.status_code in (200, 401)
    assert "New settings confirmed" not in second.output()
    second.log_in(PASSWORD)
    second.wait_for("New settings confirmed\n")


def test_nobody_comes(interpreter, make_flash, serve) -> None:
    first = serve(interpreter, make_flash(), password=PASSWORD)
    put_list(first, "192.168.1.0/24")
    second = start_again(serve, interpreter, first, guard=1, until="RESET")
    assert second.wait() == 42
    assert "The new settings are removed: nobody logged in within 1 s. The ones before apply.\n" in second.output()
    third = serve(interpreter, first.flash, install=0)
    assert "Trying" not in third.output()
    assert "Allowed" not in third.output()
    third.log_in(PASSWORD)
    assert config(third)["allow"] == []
    log = third.get("/log", headers=third.bearer).text
    assert '"event": "CONFIG", "cause": "the new settings did not work: the ones before apply"' in log


@pytest.mark.parametrize("way", ["login", "basic", "form"])
def test_somebody_comes(way: str, interpreter, make_flash, serve) -> None:
    first = serve(interpreter, make_flash(), password=PASSWORD)
    put_list(first, "127.0.0.2")
    second = start_again(serve, interpreter, first)
    if way == "basic":
        assert second.get("/progress", auth=("admin", PASSWORD)).status_code == 200
    else:
        form = {"headers": {"Accept": "text/html"}} if way == "form" else {}
        assert second.post("/login", data={"password": PASSWORD}, **form).ok
    second.wait_for("New settings confirmed\n")
    second.stop()
    third = serve(interpreter, first.flash, install=0)
    assert "Trying" not in third.output()
    assert shuts_out(third, "127.0.0.3")


def test_a_change_confirms_what_it_changes(interpreter, make_flash, serve) -> None:
    """Who sends it has come."""
    first = serve(interpreter, make_flash(), password=PASSWORD)
    put_list(first, "127.0.0.2")
    second = start_again(serve, interpreter, first)
    answer = second.put("/config", json={"hostname": "lab-7"}, auth=("admin", PASSWORD))
    assert answer.status_code == 401  # only who has a token may
    second.log_in(PASSWORD)
    answer = second.put("/config", json={"hostname": "lab-7"}, headers=second.bearer)
    assert "unless" not in answer.json()["message"]
    third = start_again(serve, interpreter, second, until="New settings confirmed")
    third.wait_for("URL: http://")
    assert third.get("/info").json()["hostname"] == "lab-7"
    assert shuts_out(third, "127.0.0.3")


def test_a_power_cut_ends_the_trial(interpreter, make_flash, serve) -> None:
    """The owner who is shut out can pull the plug."""
    first = serve(interpreter, make_flash(), password=PASSWORD)
    put_list(first, "192.168.1.0/24")
    second = start_again(serve, interpreter, first)
    assert "Allowed: 192.168.1.0/24 and this board\n" in second.output()
    second.stop()
    third = serve(interpreter, first.flash, install=0)
    assert (
        "The new settings are removed: the start that tried them has ended. The ones before apply.\n" in third.output()
    )
    assert "Allowed" not in third.output()
    third.log_in(PASSWORD)
    assert config(third)["allow"] == []
    log = third.get("/log", headers=third.bearer).text
    assert '"event": "CONFIG", "cause": "the new settings did not work: the ones before apply"' in log


def test_button(interpreter, make_flash, serve) -> None:
    """Held at the start it resets the settings, and the serial port says how they come back."""
    first = serve(interpreter, make_flash(), password=PASSWORD)
    put(first, hostname="lab-7")
    assert first.post("/restart", headers=first.bearer).status_code == 200
    assert first.wait() == 42
    second = serve(interpreter, first.flash, install=0, held=18, until="PASSED")
    assert second.wait() == 0
    assert "The button was held: all settings are removed, the OTA password too.\n" in second.output()
    assert "Run board.install() over USB." in second.output()
    third = serve(interpreter, first.flash)
    assert third.get("/info").json()["hostname"] == "esp32-ota-0110"
    assert "Password: the default one." in third.output()


def test_button_does_not_disturb_a_version_on_probation(interpreter, make_flash, serve) -> None:
    board = serve(interpreter, make_flash((1, otadata.PENDING_VERIFY)), held=18)
    board.wait_for("Update confirmed")
    assert "The button was held" not in board.output()
