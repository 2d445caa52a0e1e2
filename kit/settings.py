"""Wi-Fi and OTA secrets: from the environment or lab.toml, never from a notebook cell."""

import hashlib
import os
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from kit.errors import SettingsError

FILE = "lab.toml"
PLACES = {  # field: environment variable, table and key in lab.toml, what it is called
    "wifi_ssid": ("KIT_WIFI_SSID", "wifi", "ssid", "Wi-Fi name"),
    "wifi_password": ("KIT_WIFI_PASSWORD", "wifi", "password", "Wi-Fi password"),
    "password": ("KIT_PASSWORD", "ota", "password", "OTA password"),
}


@dataclass(frozen=True)
class Settings:
    """What a board needs to know to join the network and to take updates; its repr keeps the passwords to itself."""

    wifi_ssid: str
    wifi_password: str = field(repr=False)
    password: str = field(repr=False)


# Published on purpose: a virtual board listens on this computer only.
DEMO = Settings(wifi_ssid="virtual-wifi", wifi_password="virtual-password", password="virtual-ota")


def settings(virtual: bool) -> Settings:
    """Return the settings in force: each value from the environment, else from lab.toml here or in a parent.

    An empty value counts as not set, but for the Wi-Fi password: an open network has none. A virtual board takes the
    demo values where no variable is set: lab.toml speaks of a real network, which a virtual board cannot join.

    Raises:
        SettingsError: a value for a real board is missing or no text, or lab.toml cannot be read.
    """
    return Settings(**_find(virtual, *PLACES))


def ota_password(virtual: bool) -> str:
    """Return the OTA password in force, for which no other setting is needed; see `settings`."""
    return _find(virtual, "password")["password"]


def _find(virtual: bool, *names: str) -> dict[str, str]:
    found = _look_up(names, virtual)
    if problem := _problem(found):
        found.clear()  # a traceback can show what variables hold
        raise SettingsError(*problem)
    return found


def _look_up(names: Iterable[str], virtual: bool) -> dict[str, object]:
    """Return what is set, or not: None is for what is not there."""
    tables = {} if virtual else _lab_toml()
    found = {}
    for name in names:
        variable, table, key, _ = PLACES[name]
        inside = tables.get(table, {})
        written = inside.get(key) if isinstance(inside, dict) else ()
        values = (os.environ.get(variable), getattr(DEMO, name) if virtual else written)
        not_set = (None,) if name == "wifi_password" else (None, "")
        found[name] = next((value for value in values if value not in not_set), None)
    return found


def _problem(found: dict[str, object]) -> tuple[str, str] | None:
    """Return what is wrong with settings, and what to do."""
    for name, value in found.items():
        variable, table, key, _ = PLACES[name]
        if not isinstance(value, str | None):
            return f"{FILE}: {key} in [{table}] is not a text.", f'Write it in quotes: {key} = "…".'
        if value and any("\ud7ff" < char < "\ue000" for char in value):  # what Python makes of other bytes (PEP 383)
            return f"{variable} is not UTF-8.", f"Set it in a terminal that uses UTF-8, or write it into {FILE}."
    if missing := [f"{PLACES[name][3]} ({PLACES[name][0]})" for name, value in found.items() if value is None]:
        cause = f"A real board needs settings that are not set: {', '.join(missing)}."
        return cause, f"Fill in {FILE}, a copy of lab.example.toml, or set the environment variables."


def hash_password(password: str, salt: bytes) -> bytes:
    """Return the 32 bytes that a board keeps in place of the password, behind the 16-byte salt."""
    digest = password.encode()
    for _ in range(1000):  # as firmware/app/password.py does at each login
        digest = hashlib.sha256(salt + digest).digest()
    return digest


def _lab_toml() -> dict:
    paths = (folder / FILE for folder in (Path.cwd(), *Path.cwd().parents))
    path = next(filter(Path.is_file, paths), None)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig")) if path else {}  # Notepad may put a BOM in front
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, or not TOML
        reason = str(error)
    # Not above: what the error holds, as the whole file, would stay in its context.
    raise SettingsError(f"{path} cannot be read: {reason}.", "Compare it with lab.example.toml.")
