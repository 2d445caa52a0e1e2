"""The probes of an audit against what is no board of ours: whatever answers, an open door is called open."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from kit.attacks import probes
from kit.attacks.case import Case, Flash
from kit.ota.web import Web
from kit.security.audit import MET, OPEN
from kit.settings import DEMO, hash_password

ANSWERS = {
    "everything is allowed": b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"token": "x"}',
    "everything fails": b"HTTP/1.1 500 INTERNAL\r\nContent-Length: 0\r\n\r\n",
    "everything is forbidden": b"HTTP/1.1 403 UPDATE_ERROR_PASSWORD\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "nothing": b"",
}
BY_AIR = [probe for probe in probes.PROBES if probe.__name__ not in ("hashed", "stored", "hardcoded", "restarted")]


@pytest.fixture
def serve() -> Iterator[Callable[[bytes], str]]:
    """Function that starts a server which answers everything alike, and returns its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run(answer: bytes) -> None:
            with suppress(OSError):
                while True:
                    line, _ = server.accept()
                    with line, suppress(OSError):
                        line.settimeout(10)
                        head = b""
                        while b"\r\n\r\n" not in head and (piece := line.recv(4096)):
                            head += piece
                        line.sendall(answer)
                        line.shutdown(socket.SHUT_WR)
                        while line.recv(65536):
                            pass

        def start(answer: bytes) -> str:
            threading.Thread(target=run, args=[answer], daemon=True).start()
            return f"http://127.0.0.1:{server.getsockname()[1]}"

        yield start
        server.shutdown(socket.SHUT_RDWR)


def case_of(url: str, flash: Flash | None = None) -> Case:
    case = Case.__new__(Case)
    case.stranger, case.owner, case.plain = Web(url), Web(url), url
    case.password, case.wifi_password, case.info = DEMO.password, DEMO.wifi_password, {}
    case.flash = flash or Flash(b"", bytes(4096), b"")
    return case


# No answer is what a list of addresses asks for.
CASES = [(probe, answer) for probe in BY_AIR for answer in ANSWERS if (probe, answer) != (probes.allow, "nothing")]


@pytest.mark.parametrize(("probe", "answer"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_what_is_no_board_ticks_no_box(serve: Callable[[bytes], str], probe: Callable, answer: str):
    case = case_of(serve(ANSWERS[answer]))
    found = probes.run(probe, case)
    assert found.state == OPEN
    assert str(urlsplit(case.plain).port) not in found.tried  # else the table would change from run to run


def by_cable(nvs: bytes = b"", application: bytes = b"") -> Case:
    return case_of("http://127.0.0.1:9", Flash(nvs, bytes(4096), application))


def entry(key: bytes, size: int) -> bytes:
    """As NVS begins a blob: nvs_page.hpp."""
    return b"\x02\x42\x01\x00" + bytes(4) + key.ljust(16, b"\0") + size.to_bytes(2, "little") + bytes(6)


@pytest.mark.parametrize(
    ("nvs", "names"),
    [
        (b"", "no secret"),
        (entry(b"wifi_password", 0), "no secret"),  # an open network
        (entry(b"wifi_password", 12), "Wi-Fi password"),  # another one than that of the settings
        (entry(b"wifi_password", 0) + entry(b"wifi_password", 8), "Wi-Fi password"),
        (b"\xff" * 9 + DEMO.password.encode(), "OTA password"),
        (b"-----BEGIN EC PRIVATE KEY-----", "private key"),
        (entry(b"token_key", 32) + b"\x30\x77\x02\x01\x01\x04\x20", "private key, token key"),
        (entry(b"wifi_password", 16) + DEMO.wifi_password.encode(), "Wi-Fi password"),  # once
        (b"wifi_password", "no secret"),
        (b"wifi_password\0", "no secret"),
    ],
)
def test_secrets_in_nvs(nvs: bytes, names: str):
    found = probes.stored(by_cable(nvs))
    assert found.tried == f"NVS by cable: {names} in clear"
    assert found.state == (MET if names == "no secret" else OPEN)


def test_a_digest_counts_only_if_it_is_that_of_the_password():
    salt = bytes(range(16))
    kept = salt + hash_password(DEMO.password, salt)
    assert probes.hashed(by_cable(bytes(64) + kept)).state == MET
    for nvs in (b"", bytes(64), bytes(64) + kept[:-1], salt + hash_password("another password", salt)):
        assert probes.hashed(by_cable(nvs)).state == OPEN


def test_a_secret_in_the_application():
    assert probes.hardcoded(by_cable(application=b"admin123")).state == MET
    found = probes.hardcoded(by_cable(application=f'PASSWORD = "{DEMO.wifi_password}"'.encode()))
    assert (found.state, found.tried) == (OPEN, "the application by cable: Wi-Fi password in it")
