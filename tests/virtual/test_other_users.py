"""A virtual board is its user's own: what others of the same computer get of it."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.faults.link import Link
from kit.virtual.control import register_path

NOBODY = 65534
# What it imports, another user could not read.
CLIENT = """\
import os, socket, sys
"".encode("idna")
if sys.argv[1] != "me":
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
for port, request in zip(sys.argv[2::2], sys.argv[3::2]):
    try:
        with socket.create_connection(("127.0.0.1", int(port)), timeout=20) as client:
            client.sendall(request.encode("latin-1"))
            print(len(client.recv(1)))
    except ConnectionError:
        print(0)
"""
DO_ECHO = "\xff\xfd\x01"  # telnet; it is answered


def heard(user: str, *what: object) -> list[int]:
    """How many bytes a program of a user gets from (port, request)…; it reads one of each."""
    command = [sys.executable, "-c", CLIENT, user, *map(str, what)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stderr == ""
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere it cannot be told")
@pytest.mark.skipif(getattr(os, "geteuid", int)() != 0, reason="only root can be somebody else")
def test_another_user_gets_nothing(installed):
    with Link(installed.board()) as link:
        serial, http, by_link = (url.rpartition(":")[2] for url in (installed.serial, installed.http, link.url))
        control, key = installed.control.rpartition(":")[2].split("/")
        info = "GET /info HTTP/1.0\r\n\r\n"
        lease = f"GET /{key}/lease HTTP/1.0\r\n\r\n"
        what = (http, info, by_link, info, control, lease, serial, DO_ECHO)
        assert heard(str(NOBODY), *what) == [0, 0, 0, 0]
        assert heard("me", *what) == [1, 1, 1, 1]
    assert installed.client().info()["version"] == "1.0.0"


@pytest.mark.skipif(os.name == "nt", reason="files have no mode there")
def test_its_files_are_for_its_user(start: Callable, tmp_path: Path):
    folder = tmp_path / "new" / "folder"
    start(folder / "flash.bin")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in (folder / "flash.bin", register_path(folder / "flash.bin")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not [path for path in folder.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077]


@pytest.mark.skipif(os.name == "nt", reason="files have no mode there")
def test_a_flash_that_everybody_could_read_is_closed(running: Callable, tmp_path: Path):
    flash = tmp_path / "flash.bin"
    flash.touch(0o644)
    tmp_path.chmod(0o755)
    with running(flash):
        assert stat.S_IMODE(flash.stat().st_mode) == 0o600
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755  # it is the learner's
