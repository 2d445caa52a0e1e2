"""Whom a board tells what becomes of it: an MQTT broker and a webhook (`GET /tell`, `PUT /tell`)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from kit.errors import BoardError, SettingsError
from kit.ota.answer import not_ours, one_line, read
from kit.ota.exchange import Answer
from kit.ota.web import JSON, Web
from kit.settings import OPTIONAL, WEBHOOK, mqtt_password, webhook_key
from kit.shown import html_table

Place = Mapping[str, object]
KINDS = {"mqtt": dict | None, "webhook": dict | None, "problem": str | None}
WORDS = {"mqtt": "an MQTT broker", "webhook": "a webhook"}


@dataclass(frozen=True, repr=False)
class Telling:
    """Whom a board tells what becomes of it, without what is secret.

    Attributes:
        mqtt: host, port, tls, certificate, user, has_password and prefix of the topics; None where there is no broker.
        webhook: url, certificate and has_key; None where there is none.
        problem: what went wrong last, None as long as all is well.
    """

    mqtt: dict | None
    webhook: dict | None
    problem: str | None

    def __repr__(self) -> str:
        told = " and ".join(words for name, words in WORDS.items() if getattr(self, name) is not None)
        return f"tells {told or 'nobody'}" + (f"; {self.problem}" if self.problem else "")

    def _repr_html_(self) -> str:
        places = [("mqtt", self.mqtt), ("webhook", self.webhook)]
        rows = [(f"{way} {name}", value) for way, place in places for name, value in sorted((place or {}).items())]
        return html_table([*rows, ("problem", self.problem or "none")])


def read_telling(web: Web) -> Telling:
    """Return whom the board tells.

    Raises:
        BoardError: nobody is logged in, its firmware tells nobody, or it answers as no firmware of ours does.
    """
    answer = web.request("GET", "/tell")
    _check_firmware(answer)
    found = read(answer)
    if not all(name in found and isinstance(found[name], kind) for name, kind in KINDS.items()):
        raise not_ours(answer)
    mqtt, webhook, problem = map(found.get, KINDS)
    return Telling(mqtt, webhook, one_line(problem) or None)


def write_telling(web: Web, mqtt: str | Place | None, webhook: str | Place | None, virtual: bool) -> str:
    """Have the board tell these and nobody else, with secrets from the settings; return what it says.

    Raises:
        BoardError: nobody is logged in, the board refuses this, or its firmware tells nobody.
        SettingsError: a secret is missing, or stands in an argument.
    """
    broker, hook = _place(mqtt, "host"), _place(webhook, "url")
    if broker:
        broker["password"] = mqtt_password(virtual) if broker.get("user") else None
    if hook:
        hook["key"] = webhook_key(virtual)
    try:
        body = json.dumps({"mqtt": broker, "webhook": hook}, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise BoardError("This is no JSON.", "Give texts, whole numbers, True, False and None.") from None
    answer = web.request("PUT", "/tell", body=body, headers=JSON)
    _check_firmware(answer)
    return read(answer, {"message": str})["message"]


def _place(asked: str | Place | None, name: str) -> dict | None:
    """Return what is asked for as a dict in which nothing is left of what was before, None for none."""
    if asked is None:
        return None
    if not isinstance(asked, str | Mapping):
        raise BoardError(f"{asked!r} is nobody whom a board could tell.", f"Give a text, or a dict with {name!r}.")
    place = {name: asked} if isinstance(asked, str) else dict(asked)
    if {"password", "key"} & place.keys():
        names = " and ".join((OPTIONAL["mqtt_password"][0], WEBHOOK["webhook_key"][0]))
        place.clear()  # a traceback can show what variables hold
        raise SettingsError("The kit takes no secret from a notebook cell.", f"Set {names}, or fill in lab.toml.")
    rest = ("port", "tls", "certificate", "user", "prefix") if name == "host" else ("certificate",)
    return dict.fromkeys(rest) | place


def _check_firmware(answer: Answer) -> None:
    if answer.status == 404:
        raise BoardError("The firmware of the board tells nobody.", "Update it: ota.upload(kit.build(…)).")
