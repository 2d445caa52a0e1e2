"""Names by which clients ask for a virtual board: pages at others get nothing (DNS rebinding)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import requests


def status(url: str, host: str) -> int:
    return requests.get(f"{url}/info", headers={"Host": host}, timeout=30).status_code


def test_names_that_it_knows(installed) -> None:
    port = installed.http.rpartition(":")[2]
    for host in ("localhost", f"127.0.0.1:{port}", installed.name, f"{installed.name}.local:{port}"):
        assert status(installed.http, host) == 200
    for host in ("hub.example.org", f"{installed.name}.example.org", f":{port}"):
        assert status(installed.http, host) == 403


def test_names_given_at_its_start(installed_file: Path, tmp_path: Path, start: Callable) -> None:
    """For hubs and proxies, which ask for it by their own."""
    flash = shutil.copy(installed_file, tmp_path / "given.bin")
    virtual = start(flash, "--host", "Hub.example.org", "--host", "proxy")
    virtual.board().reset()
    for host in ("hub.example.org", "HUB.example.org:8000", "proxy", "localhost"):
        assert status(virtual.http, host) == 200
    assert status(virtual.http, "other.example.org") == 403
