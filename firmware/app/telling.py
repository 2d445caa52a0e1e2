"""What the board tells to whom: GET and PUT /tell, and the setting "tell" in NVS. Loaded when it is needed.

{"mqtt": {"host", "port", "tls", "certificate", "user", "password", "prefix"},
"webhook": {"url", "key", "certificate"}}, null for either where the board tells nothing that way. What is secret is
stored and never shown.
"""

import asyncio
import json
import sys

import boot_files
import pair
import web
from errors import HttpError
from micropython import const
from plain import is_plain

_SPACE = const(512)  # bytes of all of it
_HEX = const("0123456789abcdefABCDEF")
_NAME = const("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-.")
_MOST, _LEAST_KEY, _MOST_URL = const(64), const(16), const(200)  # characters
_SECRETS = const(("password", "key"))
_WHERE = ("host", "port", "tls", "certificate")


def read():
    """Return what is stored, nobody to tell where that is damaged."""
    places = {"mqtt": None, "webhook": None}
    try:
        places.update(json.loads(pair.read("tell") or b"{}"))
    except (ValueError, TypeError):
        pass
    return places


async def answer(request):
    """Return the answer to a request. Raises HttpError."""
    if request.method == "GET":
        return show()
    message = put(await request.fields(only_json=True))
    boot_files.log("CONFIG", request.client.address, settings="tell")
    start()
    return {"message": message}


def start():
    """Begin to tell, with what is stored now. From then on tell.py stays: nobody loads it who is not told anything."""
    import tell

    tell.is_stale = True
    if not tell.watching:
        tell.watching = asyncio.create_task(tell.watch(web.places, web.snapshot))


def show():
    """Return it without what is secret, and as "problem" what went wrong last, None where all is well."""
    shown = read()
    for place in shown.values():
        for name in _SECRETS:
            if place and name in place:
                place["has_" + name] = place.pop(name) is not None
    problems = getattr(sys.modules.get("tell"), "problems", {})
    shown["problem"] = "; ".join([f"{way}: {text}" for way, text in problems.items()]) or None
    return shown


def put(asked):
    """Store what is asked for, which applies at once; return what to tell the client. Raises HttpError: nothing has."""
    _need(type(asked) is dict and asked, "body", "Send a JSON object of up to 1 kB, with mqtt or webhook in it.")
    places = read()
    for way, place in asked.items():
        _need(way in _KINDS, way, "There are mqtt and webhook.")
        _need(place is None or type(place) is dict, way, "Send an object, or null.")
        places[way] = None if place is None else _taken(way, places[way], place)
    data = json.dumps(places).encode()
    _need(len(data) <= _SPACE, "body", "Send shorter texts.")
    try:
        pair.write("tell", data)
    except OSError:
        raise HttpError(500, "NOT_STORED", "The flash does not take them.", "Restart the board, and try again.")
    return "The board tells what changes." if any(places.values()) else "The board tells nobody."


def _need(is_right, name, advice):
    if not is_right:
        name = name if is_plain(name) else "setting"
        raise HttpError(400, "BAD_SETTING", f"The board cannot take this {name}.", advice)


def _taken(way, old, asked):
    """Return a place with what is asked for in it."""
    kinds = _KINDS[way]
    place = dict.fromkeys(kinds)
    place.update(old or {})
    for name, value in asked.items():
        _need(name in kinds, f"{way}.{name}", "GET /tell shows which settings there are.")
        is_right, advice = kinds[name]
        _need(value is None or is_right(value), f"{way}.{name}", advice)
        place[name] = value
    if way == "webhook":
        is_tls = (place["url"] or "").startswith("https:")
        needed = ("url", "key")
    else:
        is_tls = place["tls"] = bool(place["tls"])
        place["port"] = place["port"] or (8883 if is_tls else 1883)
        place["prefix"] = place["prefix"] or "esp32-ota"
        needed = ("host",)
        # Else who has a token could have the password sent to himself.
        if old and "password" not in asked and any([old[name] != place[name] for name in _WHERE]):  # noqa: C419
            place["password"] = None
        _need(place["user"] or not place["password"], "mqtt.password", "Send user and password, or only a user.")
    for name in needed:
        _need(place[name], f"{way}.{name}", kinds[name][1])
    _need(is_tls or not place["certificate"], f"{way}.certificate", "It needs TLS, as only a TLS server shows one.")
    return place


# What may be asked for


def _is_text(value):
    return isinstance(value, str) and 0 < len(value) <= _MOST and is_plain(value)


def _is_host(value):
    return _is_text(value) and not value.strip(_NAME)


def _is_port(value):
    return type(value) is int and 0 < value <= 0xFFFF


def _is_bool(value):
    return type(value) is bool


def _is_pin(value):
    return isinstance(value, str) and len(value) == 64 and not value.strip(_HEX)


def _is_prefix(value):
    return _is_text(value) and value == value.strip("/") and "+" not in value and "#" not in value


def _is_key(value):
    return _is_text(value) and len(value) >= _LEAST_KEY


# It is shown, so that no password may stand in it.
def _is_url(value):
    if not isinstance(value, str) or len(value) > _MOST_URL or min(value or " ") <= " " or max(value) > "~":
        return False
    scheme, _, rest = value.partition("://")
    host = rest.partition("/")[0].partition("?")[0]
    return scheme in ("http", "https") and bool(host) and "@" not in host


_CERTIFICATE = (_is_pin, "Send 64 hex digits, the SHA-256 of the server's certificate, or null.")
_KINDS = {
    "mqtt": {
        "host": (_is_host, "Send the name or the address of the broker, such as broker.example.org."),
        "port": (_is_port, "Send a number from 1 to 65535, or null for 1883 and with TLS 8883."),
        "tls": (_is_bool, "Send true or false."),
        "certificate": _CERTIFICATE,
        "user": (_is_text, "Send 1 to 64 characters, or null."),
        "password": (_is_text, "Send 1 to 64 characters, or null."),
        "prefix": (_is_prefix, "Send 1 to 64 characters without + and #, no / at an end."),
    },
    "webhook": {
        "url": (_is_url, "Send an address such as https://example.org/hook, up to 200 characters."),
        "key": (_is_key, "Send a text of 16 to 64 characters that the receiver knows, too."),
        "certificate": _CERTIFICATE,
    },
}
