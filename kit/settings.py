"""Wi-Fi, OTA and other secrets: from the environment or lab.toml, never from a notebook cell."""

import hashlib
import os
import re
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
OPTIONAL = {
    "github_token": ("KIT_GITHUB_TOKEN", "ota", "github_token", "GitHub token"),
    "mqtt_password": ("KIT_MQTT_PASSWORD", "mqtt", "password", "MQTT password"),
}
WEBHOOK = {"webhook_key": ("KIT_WEBHOOK_KEY", "webhook", "key", "webhook key")}  # where a board has one
NOTIFY = ("KIT_NOTIFY", "notify", "urls")
TOKEN = "[!-~]{1,100}"  # what a board keeps


@dataclass(frozen=True)
class Settings:
    """What a board needs to know to join the network and to take updates; its repr keeps the passwords to itself."""

    wifi_ssid: str
    wifi_password: str = field(repr=False)
    password: str = field(repr=False)


# Published on purpose: a virtual board listens on this computer only.
DEMO = Settings(wifi_ssid="virtual-wifi", wifi_password="virtual-password", password="virtual-ota")
DEMO_WEBHOOK_KEY = "virtual-webhook-key"


_PLACES = PLACES | WEBHOOK | OPTIONAL
_DEMO = vars(DEMO) | {"webhook_key": DEMO_WEBHOOK_KEY}


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


def github_token(virtual: bool) -> str | None:
    """Return the token with which a board reads a repository on GitHub; None where none is set, as for a public one.

    Raises:
        SettingsError: it cannot be one, or lab.toml cannot be read.
    """
    found = _find(virtual, "github_token")
    if re.fullmatch(TOKEN, found["github_token"] or "none"):
        return found["github_token"]
    found.clear()  # a traceback can show what variables hold
    raise SettingsError(
        "The GitHub token has characters that none has, or is too long.",
        f"Copy it again to KIT_GITHUB_TOKEN or {FILE}.",
    )


def webhook_key(virtual: bool) -> str:
    """Return the key by which a board signs what it posts; see `settings`."""
    return _find(virtual, "webhook_key")["webhook_key"]


def mqtt_password(virtual: bool) -> str | None:
    """Return the password of the MQTT broker, None where none is set; see `settings`."""
    return _find(virtual, "mqtt_password")["mqtt_password"]


def notify_urls() -> list[str]:
    """Return the addresses of apprise in force: those in KIT_NOTIFY, parted by blanks, else those in lab.toml.

    Raises:
        SettingsError: they are no list of texts, no UTF-8, or lab.toml cannot be read.
    """
    variable, table, key = NOTIFY
    written = os.environ.get(variable, "").split()
    if not written:
        inside = _lab_toml().get(table, {})
        written = inside.get(key, []) if isinstance(inside, dict) else None
    is_list = isinstance(written, list) and all(isinstance(url, str) for url in written)
    if is_list and not any(map(_is_broken, written)):
        return written
    written = inside = None  # a traceback can show what variables hold
    if is_list:
        raise SettingsError(f"{variable} is not UTF-8.", "Set it in a terminal that uses UTF-8.")
    raise SettingsError(f"{FILE}: {key} in [{table}] is no list of texts.", f'Write it so: {key} = ["…"].')


def _find(virtual: bool, *names: str) -> dict[str, str | None]:
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
        variable, table, key, _ = _PLACES[name]
        inside = tables.get(table, {})
        written = inside.get(key) if isinstance(inside, dict) else ()
        values = (os.environ.get(variable), _DEMO.get(name) if virtual else written)
        not_set = (None,) if name == "wifi_password" else (None, "")
        found[name] = next((value for value in values if value not in not_set), None)
    return found


def _problem(found: dict[str, object]) -> tuple[str, str] | None:
    """Return what is wrong with settings, and what to do."""
    for name, value in found.items():
        variable, table, key, _ = _PLACES[name]
        if not isinstance(value, str | None):
            return f"{FILE}: {key} in [{table}] is not a text.", f'Write it in quotes: {key} = "…".'
        if value and _is_broken(value):
            return f"{variable} is not UTF-8.", f"Set it in a terminal that uses UTF-8, or write it into {FILE}."
    needed = [_PLACES[name] for name, value in found.items() if value is None and name not in OPTIONAL]
    if missing := [f"{what} ({variable})" for variable, *_, what in needed]:
        cause = f"A real board needs settings that are not set: {', '.join(missing)}."
        return cause, f"Fill in {FILE}, a copy of lab.example.toml, or set the environment variables."


def _is_broken(text: str) -> bool:
    """Tell whether there is in it what Python makes of bytes that are not UTF-8 (PEP 383)."""
    return any("\ud7ff" < char < "\ue000" for char in text)


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
