"""Wi-Fi and OTA secrets: from the environment or lab.toml, never from a notebook cell."""

import hashlib
import os
import tomllib
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

    An empty value counts as not set. A virtual board takes the demo values where no variable is set: lab.toml speaks
    of a real network, which a virtual board cannot join.

    Raises:
        SettingsError: a value for a real board is missing, or lab.toml cannot be read.
    """
    tables = {} if virtual else _lab_toml()
    found = {}
    for name, (variable, table, key, _) in PLACES.items():
        found[name] = os.environ.get(variable) or (getattr(DEMO, name) if virtual else _text(tables, table, key))
    missing = [f"{what} ({variable})" for name, (variable, _, _, what) in PLACES.items() if not found[name]]
    if missing:
        raise SettingsError(
            f"A real board needs settings that are not set: {', '.join(missing)}.",
            f"Copy lab.example.toml to {FILE} and fill it in, or set the environment variables.",
        )
    return Settings(**found)


def hash_password(password: str, salt: bytes) -> bytes:
    """Return the 32 bytes that a board keeps in place of the password, behind the 16-byte salt."""
    digest = password.encode()
    for _ in range(1000):  # as firmware/app/auth.py does at each login
        digest = hashlib.sha256(salt + digest).digest()
    return digest


def _lab_toml() -> dict:
    paths = (folder / FILE for folder in (Path.cwd(), *Path.cwd().parents))
    path = next(filter(Path.is_file, paths), None)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig")) if path else {}  # Notepad may put a BOM in front
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or not TOML
        raise SettingsError(f"{path} cannot be read: {error}.", "Compare it with lab.example.toml.") from None


def _text(tables: dict, table: str, key: str) -> str:
    value = tables.get(table, {})
    value = value.get(key, "") if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise SettingsError(f"{FILE}: {key} in [{table}] is not a text.", f'Write it in quotes: {key} = "…".')
    return value
