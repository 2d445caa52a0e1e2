import hashlib
import os
import traceback
from pathlib import Path

import pytest

from kit.errors import SettingsError
from kit.settings import (
    DEMO,
    DEMO_WEBHOOK_KEY,
    OPTIONAL,
    PLACES,
    WEBHOOK,
    github_token,
    hash_password,
    mqtt_password,
    notify_urls,
    ota_password,
    settings,
    webhook_key,
)

LAB = '[wifi]\nssid = "home"\npassword = "wifi-secret"\n\n[ota]\npassword = "ota-secret"\n'
EXAMPLE = Path(__file__).parents[2] / "lab.example.toml"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    for variable, *_ in (PLACES | OPTIONAL | WEBHOOK).values():
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "lab" / "notebooks"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def test_virtual_board_needs_no_settings():
    assert settings(virtual=True) == DEMO


def test_real_board_names_each_missing_setting():
    with pytest.raises(SettingsError) as caught:
        settings(virtual=False)
    for words in ("Wi-Fi name (KIT_WIFI_SSID)", "Wi-Fi password (KIT_WIFI_PASSWORD)", "OTA password (KIT_PASSWORD)"):
        assert words in caught.value.cause
    assert "lab.toml" in caught.value.advice


def test_lab_toml_of_a_parent_folder(here):
    (here.parent / "lab.toml").write_text(LAB)
    found = settings(virtual=False)
    assert (found.wifi_ssid, found.wifi_password, found.password) == ("home", "wifi-secret", "ota-secret")


def test_nearest_lab_toml_wins(here):
    (here.parent / "lab.toml").write_text(LAB)
    (here / "lab.toml").write_text(LAB.replace("home", "school"))
    assert settings(virtual=False).wifi_ssid == "school"


def test_environment_wins_value_by_value(here, monkeypatch):
    (here / "lab.toml").write_text(LAB)
    monkeypatch.setenv("KIT_PASSWORD", "from-environment")
    monkeypatch.setenv("KIT_WIFI_SSID", "")  # empty: not set
    found = settings(virtual=False)
    assert (found.wifi_ssid, found.password) == ("home", "from-environment")


@pytest.mark.parametrize(
    ("lab", "variable", "password"),
    [
        (LAB, "", ""),
        (LAB, None, "wifi-secret"),
        (LAB.replace("wifi-secret", ""), None, ""),
        (LAB.replace("wifi-secret", ""), "from-environment", "from-environment"),
        (LAB.replace('password = "wifi-secret"', ""), "", ""),
        (LAB.replace('password = "wifi-secret"', ""), None, None),
    ],
)
def test_open_network_has_an_empty_password(here, monkeypatch, lab, variable, password):
    (here / "lab.toml").write_text(lab)
    if variable is not None:
        monkeypatch.setenv("KIT_WIFI_PASSWORD", variable)
    if password is None:
        with pytest.raises(SettingsError, match=r"not set: Wi-Fi password \(KIT_WIFI_PASSWORD\)\."):
            settings(virtual=False)
    else:
        assert settings(virtual=False).wifi_password == password


def test_open_network_of_a_virtual_board(monkeypatch):
    monkeypatch.setenv("KIT_WIFI_PASSWORD", "")
    assert settings(virtual=True).wifi_password == ""


@pytest.mark.parametrize(
    "lab", ['[ota]\npassword = "ota-secret"\n', '[wifi]\nssid = 5\n[ota]\npassword = "ota-secret"\n']
)
def test_ota_password_needs_no_wifi(here, lab):
    (here / "lab.toml").write_text(lab)
    assert ota_password(virtual=False) == "ota-secret"


def test_ota_password_that_is_missing(here):
    (here / "lab.toml").write_text('[ota]\npassword = ""\n')
    with pytest.raises(SettingsError, match=r"not set: OTA password \(KIT_PASSWORD\)\."):
        ota_password(virtual=False)
    assert ota_password(virtual=True) == DEMO.password


TELLING = '[mqtt]\npassword = "mqtt-secret"\n[webhook]\nkey = "webhook-secret-1"\n'


def test_secrets_of_who_is_told(here, monkeypatch):
    (here / "lab.toml").write_text(TELLING)
    assert (mqtt_password(virtual=False), webhook_key(virtual=False)) == ("mqtt-secret", "webhook-secret-1")
    assert (mqtt_password(virtual=True), webhook_key(virtual=True)) == (None, DEMO_WEBHOOK_KEY)
    monkeypatch.setenv("KIT_MQTT_PASSWORD", "another")
    monkeypatch.setenv("KIT_WEBHOOK_KEY", "another-key-of-16")
    for virtual in (True, False):
        assert (mqtt_password(virtual), webhook_key(virtual)) == ("another", "another-key-of-16")


def test_a_broker_may_want_no_password_but_a_webhook_has_a_key(here):
    assert mqtt_password(virtual=False) is None
    with pytest.raises(SettingsError, match=r"not set: webhook key \(KIT_WEBHOOK_KEY\)\."):
        webhook_key(virtual=False)


def test_addresses_of_apprise(here, monkeypatch):
    assert notify_urls() == []
    (here / "lab.toml").write_text('[notify]\nurls = ["json://a", "json://b"]\n')
    assert notify_urls() == ["json://a", "json://b"]
    monkeypatch.setenv("KIT_NOTIFY", " json://c\njson://d ")
    assert notify_urls() == ["json://c", "json://d"]


SECRET = "s3cr3t-of-a-learner"


def everything(error: BaseException) -> str:
    """Whatever can be shown of an error: its texts, those of what it came from, and the variables of every frame."""
    chain = traceback.TracebackException.from_exception(error, capture_locals=True)
    texts = [*chain.format(chain=True), str(chain.__dict__), repr(error)]
    for other in (error.__cause__, error.__context__):
        texts += [repr(vars(other)), repr(other.args), everything(other)] if other else []
    return "".join(texts)


@pytest.mark.parametrize("variable", [variable for variable, *_ in PLACES.values()])
@pytest.mark.parametrize("tail", [b"\xff", b"\xed\xa0\x80", "\u00e4".encode("latin-1")])
@pytest.mark.parametrize("virtual", [False, True])
def test_secret_that_is_not_utf_8_is_not_shown(here, monkeypatch, variable, tail, virtual):
    (here / "lab.toml").write_text(LAB)
    monkeypatch.setenv(variable, os.fsdecode(SECRET.encode() + tail))
    with pytest.raises(SettingsError, match=f"{variable} is not UTF-8") as caught:
        settings(virtual)
    assert_hidden(caught.value)


@pytest.mark.parametrize(("name", "find"), [("mqtt_password", mqtt_password), ("webhook_key", webhook_key)])
def test_such_a_secret_is_not_shown_either(here, monkeypatch, name, find):
    variable, table, key, _ = (OPTIONAL | WEBHOOK)[name]
    (here / "lab.toml").write_text(f'[{table}]\n{key} = ["{SECRET}"]\n')
    with pytest.raises(SettingsError, match=rf"{key} in \[{table}\] is not a text") as caught:
        find(virtual=False)
    assert_hidden(caught.value)
    monkeypatch.setenv(variable, f"{SECRET}\udcff")
    with pytest.raises(SettingsError, match=f"{variable} is not UTF-8") as caught:
        find(virtual=True)
    assert_hidden(caught.value)


def assert_hidden(error: SettingsError) -> None:
    error.__traceback__ = error.__traceback__.tb_next  # without the test's own variables
    assert SECRET not in everything(error)


@pytest.mark.parametrize(
    "lab",
    [
        f'[ota]\npassword = "{SECRET}\n'.encode(),
        f'[ota]\npassword = "{SECRET}'.encode() + b'\xff"\n',
        f'[ota]\npassword = "{SECRET}\\ud800"\n'.encode(),
        f"[ota]\npassword = {SECRET}\n".encode(),
        f'[ota]\npassword = ["{SECRET}"]\n'.encode(),
        f'[ota]\npassword = "{SECRET}"\npassword = "{SECRET}"\n'.encode(),
        f'[wifi]\npassword = "{SECRET}"\n'.encode(),
        f'wifi = "{SECRET}"\n'.encode(),
        f'[ota]\npassword = "{SECRET}"\n[wifi]\nssid = '.encode() + b"[" * 10_000,
    ],
)
def test_secret_in_a_bad_file_is_not_shown(here, lab):
    (here / "lab.toml").write_bytes(lab)
    with pytest.raises(SettingsError) as caught:
        settings(virtual=False)
    assert_hidden(caught.value)


def test_virtual_board_takes_demo_values_where_no_variable_is_set(here, monkeypatch):
    (here / "lab.toml").write_text(LAB)  # a real network, which it could not join
    monkeypatch.setenv("KIT_PASSWORD", "mine")
    found = settings(virtual=True)
    assert (found.wifi_ssid, found.wifi_password, found.password) == (DEMO.wifi_ssid, DEMO.wifi_password, "mine")


def test_bom_of_an_editor_is_no_error(here):
    (here / "lab.toml").write_text(LAB, encoding="utf-8-sig")
    assert settings(virtual=False).wifi_ssid == "home"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[wifi\n", "line 1"),
        (b"\xff\xfe[\x00", "cannot be read"),
        (b"[wifi]\nssid = home\n", "line 2"),
        (b"[ota]\npassword = 1234\n", "password in [ota] is not a text"),
        (b'wifi = "home"\n', "ssid in [wifi] is not a text"),
        (b"[ota]\npassword = " + b"[" * 10_000, "cannot be read"),
    ],
)
def test_bad_lab_toml_says_where(here, content, words):
    (here / "lab.toml").write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        settings(virtual=False)
    assert words in str(caught.value)


def test_repr_keeps_the_passwords(here):
    (here / "lab.toml").write_text(LAB)
    assert "secret" not in repr(settings(virtual=False))


def test_example_is_empty_but_complete(here):
    (here / "lab.toml").write_bytes(EXAMPLE.read_bytes())
    with pytest.raises(SettingsError):
        settings(virtual=False)
    filled = EXAMPLE.read_text(encoding="utf-8")
    for value in ("home", "wifi-secret", "ota-secret", "pat", "mqtt-secret", "webhook-secret-1"):
        filled = filled.replace('""', f'"{value}"', 1)
    (here / "lab.toml").write_text(filled)
    found = settings(virtual=False)
    assert (found.wifi_ssid, found.wifi_password, found.password) == ("home", "wifi-secret", "ota-secret")
    assert (mqtt_password(virtual=False), webhook_key(virtual=False)) == ("mqtt-secret", "webhook-secret-1")
    assert notify_urls() == []


def test_hash_password_is_a_thousand_rounds_of_sha256():
    salt = bytes(range(16))
    digest = b"p\xc3\xa4ss"
    for _ in range(1000):
        digest = hashlib.sha256(salt + digest).digest()
    assert hash_password("päss", salt) == digest
    assert hash_password("päss", bytes(16)) != digest


@pytest.mark.parametrize(("lab", "token"), [("", None), ('github_token = ""', None), ('github_token = "pat"', "pat")])
def test_github_token_needs_nothing_else(here, monkeypatch, lab, token):
    (here / "lab.toml").write_text(f"[ota]\n{lab}\n")
    assert github_token(virtual=False) == token
    assert github_token(virtual=True) is None  # lab.toml is for real boards
    monkeypatch.setenv("KIT_GITHUB_TOKEN", "mine")
    assert github_token(virtual=False) == github_token(virtual=True) == "mine"


@pytest.mark.parametrize(
    "lab", [f'github_token = ["{SECRET}"]', f'github_token = "{SECRET} "', f"github_token = {SECRET}"]
)
def test_github_token_that_is_none_is_not_shown(here, lab):
    (here / "lab.toml").write_text(f"[ota]\n{lab}\n")
    with pytest.raises(SettingsError) as caught:
        github_token(virtual=False)
    assert_hidden(caught.value)


@pytest.mark.parametrize("tail", [b"\xff", b"\xed\xa0\x80", b" ", "\u00e4".encode()])
def test_github_token_of_a_bad_variable_is_not_shown(monkeypatch, tail):
    monkeypatch.setenv("KIT_GITHUB_TOKEN", os.fsdecode(SECRET.encode() + tail))
    with pytest.raises(SettingsError, match="KIT_GITHUB_TOKEN") as caught:
        github_token(virtual=True)
    assert_hidden(caught.value)
