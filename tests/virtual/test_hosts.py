"""Names by which clients ask for a virtual board: pages at others get nothing (DNS rebinding)."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

import kit
from kit.errors import KitError
from kit.virtual import join


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


def test_names_of_a_hub(installed_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_until) -> None:
    monkeypatch.setenv("KIT_FLASH", str(shutil.copy(installed_file, tmp_path / "flash.bin")))
    monkeypatch.setenv("KIT_PROXY", "https://Hub.example.org/user/ada/proxy")
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_URL", "https://public.example.org/user/ada/")
    monkeypatch.setenv("JUPYTERHUB_HOST", "nonsense")
    board = kit.connect("virtual")

    def is_up() -> bool:
        with contextlib.suppress(KitError):
            return bool(kit.OtaClient(board.url).info())
        return False

    try:
        wait_until(is_up)
        assert status(board.url, "hub.example.org") == status(board.url, "public.example.org:8000") == 200
        assert status(board.url, "nonsense") == status(board.url, "other.example.org") == 403
    finally:
        join._leases.clear()
