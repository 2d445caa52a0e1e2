"""OtaClient.tell and telling: what goes to the board, and what it says."""

import json
from types import SimpleNamespace

import pytest

from kit.errors import BoardError, SettingsError
from kit.ota.exchange import Answer
from kit.ota.telling import Telling, read_telling, write_telling
from kit.settings import DEMO_WEBHOOK_KEY

BROKER = {"host": "broker", "port": 1883, "tls": False, "certificate": None, "user": None, "has_password": False}
HOOK = {"url": "http://127.0.0.1:5000/", "certificate": None, "has_key": True}


@pytest.fixture(autouse=True)
def no_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in ("KIT_MQTT_PASSWORD", "KIT_WEBHOOK_KEY"):
        monkeypatch.delenv(variable, raising=False)


def web_that_says(found: object, status: int = 200) -> SimpleNamespace:
    """A board that answers so, and keeps what it was asked."""
    asked = []

    def request(method: str, path: str, body: bytes = b"", headers: object = None) -> Answer:
        asked.append((method, path, json.loads(body or b"null"), headers))
        return Answer(path, status, "", {}, json.dumps(found).encode())

    return SimpleNamespace(request=request, asked=asked)


def sent(mqtt: object = None, webhook: object = None, virtual: bool = True) -> dict:
    web = web_that_says({"message": "The board tells what changes."})
    assert write_telling(web, mqtt, webhook, virtual) == "The board tells what changes."
    [(method, path, body, headers)] = web.asked
    assert (method, path, headers["Content-Type"]) == ("PUT", "/tell", "application/json")
    return body


def test_nobody_is_told():
    assert sent() == {"mqtt": None, "webhook": None}


def test_a_text_is_the_whole_place(monkeypatch):
    """Nothing is left of what was before, and a password goes only where there is a user."""
    monkeypatch.setenv("KIT_MQTT_PASSWORD", "mqtt-secret")
    rest = dict.fromkeys(("port", "tls", "certificate", "user", "prefix", "password"))
    assert sent("broker")["mqtt"] == rest | {"host": "broker"}
    hook = {"url": "http://127.0.0.1:5000/", "certificate": None, "key": DEMO_WEBHOOK_KEY}
    assert sent(webhook="http://127.0.0.1:5000/")["webhook"] == hook


def test_a_dict_has_more(monkeypatch):
    monkeypatch.setenv("KIT_MQTT_PASSWORD", "mqtt-secret")
    monkeypatch.setenv("KIT_WEBHOOK_KEY", "webhook-secret-1")
    body = sent({"host": "broker", "tls": True, "user": "me"}, {"url": "https://a/", "certificate": "ab"}, False)
    assert body["mqtt"]["password"] == "mqtt-secret"
    assert (body["mqtt"]["tls"], body["mqtt"]["user"]) == (True, "me")
    assert body["webhook"] == {"url": "https://a/", "certificate": "ab", "key": "webhook-secret-1"}


def test_a_real_board_needs_a_key_of_its_own():
    with pytest.raises(SettingsError, match="KIT_WEBHOOK_KEY"):
        sent(webhook="http://192.168.1.5/", virtual=False)


@pytest.mark.parametrize("places", [({"host": "a", "password": "s3cret"}, None), (None, {"url": "b", "key": "s3cret"})])
def test_no_secret_comes_from_a_cell(places):
    with pytest.raises(SettingsError, match="KIT_MQTT_PASSWORD and KIT_WEBHOOK_KEY"):
        sent(*places)


@pytest.mark.parametrize("place", [{"host": object()}, {"host": float("nan")}])
def test_what_is_no_json(place):
    with pytest.raises(BoardError, match="no JSON"):
        sent(place)


@pytest.mark.parametrize("place", [5, ["host"], b"host"])
def test_what_is_no_place(place):
    with pytest.raises(BoardError, match="is nobody whom a board could tell"):
        sent(place)


def test_what_the_board_refuses():
    web = web_that_says(
        {"error": "BAD_SETTING", "message": "The board cannot take this mqtt.host.", "advice": "A."}, 400
    )
    with pytest.raises(BoardError, match=r"cannot take this mqtt\.host\. A\."):
        write_telling(web, "a b", None, True)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Telling(None, None, None), "tells nobody"),
        (Telling(BROKER, None, None), "tells an MQTT broker"),
        (Telling(BROKER, HOOK, "mqtt: x"), "tells an MQTT broker and a webhook; mqtt: x"),
    ],
)
def test_text(found: Telling, text: str):
    assert repr(found) == text
    web = web_that_says({"mqtt": found.mqtt, "webhook": found.webhook, "problem": found.problem})
    assert read_telling(web) == found


def test_html(cells):
    rows = cells(Telling(BROKER, HOOK, None)._repr_html_())
    assert ["mqtt host", "broker"] in rows
    assert ["webhook has_key", "True"] in rows
    assert rows[-1] == ["problem", "none"]


@pytest.mark.parametrize("found", [{"mqtt": 1}, {"webhook": []}, {"problem": 5}, [], None])
def test_an_answer_of_somebody_else(found):
    with pytest.raises(BoardError, match="not as our firmware does"):
        read_telling(web_that_says(found))


def test_older_firmware():
    with pytest.raises(BoardError, match="firmware of the board tells nobody"):
        read_telling(web_that_says({}, 404))
    with pytest.raises(BoardError, match="firmware of the board tells nobody"):
        write_telling(web_that_says({}, 404), None, None, True)


def test_nobody_is_logged_in():
    with pytest.raises(BoardError, match=r"ota\.login\(\)"):
        read_telling(web_that_says({}, 401))
