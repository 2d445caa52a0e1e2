"""The control side of a running board; tests/kit/test_board.py has its leases."""

import http.client
import socket
import struct
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest


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
