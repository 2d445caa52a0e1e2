"""The control side of a running board; tests/kit/board/test_board.py has its leases."""

import http.client
import socket
import struct
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
import requests

from kit.board.control import ask
from kit.board.port import open_port
from kit.errors import BoardError


@pytest.mark.parametrize("path", ["/", "/key/lease", "//lease", "/\xff\xfe/lease"])
def test_without_the_key_nothing_is_there(start: Callable, path: str):
    control = urlsplit(start().control)
    with socket.create_connection((control.hostname, control.port)) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode("latin-1"))
        assert b" 404 " in client.makefile("rb").readline()


@pytest.mark.parametrize("sent", [b"", b"GET /", b"\0\xff\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"])
def test_clients_that_vanish_do_no_harm(start: Callable, sent: bytes):
    virtual = start()  # it must not complain: see conftest
    control = urlsplit(virtual.control)
    for _ in range(5):
        client = socket.create_connection((control.hostname, control.port))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
        client.sendall(sent)
        client.close()
    connection = http.client.HTTPConnection(control.hostname, control.port)
    connection.request("GET", f"{control.path}/lease")
    assert connection.getresponse().status == 200
    connection.close()


def test_the_power_goes_and_comes(start: Callable):
    virtual = start()
    board = virtual.board()
    assert "rst:0x1 (POWERON_RESET)" in board.reset()
    ask(virtual.control, "power", on=False)
    with open_port(virtual.serial) as port:
        port.timeout = 0.2
        assert port.read(1) == b""
        ask(virtual.control, "power", on=True)
        port.timeout = 10
        assert port.read_until(b"rst:0x1 (POWERON_RESET)").endswith(b"rst:0x1 (POWERON_RESET)")


@pytest.mark.parametrize(("command", "arguments"), [("nothing", {}), ("power", {}), ("power", {"on": True, "x": 1})])
def test_a_command_that_makes_no_sense(start: Callable, command: str, arguments: dict):
    with pytest.raises(BoardError, match=r"refuses|has no command"):
        ask(start().control, command, **arguments)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff"])
def test_a_command_without_arguments_that_can_be_read(start: Callable, body: bytes):
    response = requests.post(f"{start().control}/power", data=body, timeout=10)
    assert response.status_code == 400


def test_a_real_board_has_no_control_side():
    with pytest.raises(BoardError, match="virtual"):
        ask(None, "power", on=True)


def test_a_board_that_has_ended_keeps_its_key_secret():
    with pytest.raises(BoardError) as raised:
        ask("http://127.0.0.1:1/secret-key", "power", on=True)
    assert "secret-key" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("value", [b"x", float("nan"), {1}], ids=str)
def test_arguments_that_are_no_json(value: object):
    with pytest.raises(BoardError, match="no JSON"):
        ask("http://127.0.0.1:1/key", "power", on=value)
