"""The imitation of GitHub, by a client that nobody wrote for it."""

import ssl
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest
import requests

from kit.releases.release import Release
from kit.security.certificate import new_certificate

BINARY = {"Accept": "application/octet-stream"}


@pytest.fixture
def hub(github: ModuleType, staging: Release) -> Iterator:
    with github.GitHub(Path("staging")) as hub:
        yield hub


def get(url: str, **options: object) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=60, **options)


def asset(hub, name: str = "esp32-ota-1.1.0.bin") -> str:
    return next(one["url"] for one in get(f"{hub.url}/releases/latest").json()["assets"] if one["name"] == name)


def test_a_release_and_its_assets(hub, staging: Release):
    answer = get(f"{hub.url}/releases/latest")
    assert 8_000 < len(answer.content) < 12_000
    release = answer.json()
    assert (release["tag_name"], release["prerelease"], len(release["assets"])) == ("1.1.0", False, 4)
    image = next(one for one in release["assets"] if one["name"].endswith(".bin"))
    assert (image["size"], image["digest"]) == (staging.size, f"sha256:{staging.sha256}")
    found = get(image["url"], headers=BINARY)
    assert found.content == staging.path.read_bytes()
    (redirect,) = found.history
    assert redirect.status_code == 302
    assert urlsplit(found.url).netloc != urlsplit(image["url"]).netloc
    assert len(found.url) > 500
    assert get(image["url"]).json() == image
    assert [one.host for one in hub.asked] == ["api", "api", "assets", "api"]


def test_tags(hub):
    hub.add({"manifest.json": b"{}"}, "1.2.0-rc.1", latest=False)
    assert get(f"{hub.url}/releases/latest").json()["tag_name"] == "1.1.0"
    assert get(f"{hub.url}/releases/tags/1.2.0-rc.1").json()["prerelease"] is True
    assert get(f"{hub.url}/releases/tags/3.0.0").status_code == 404
    assert get(f"{hub.url}/releases").status_code == 404
    assert get(f"{hub.url}/releases/assets/1", headers=BINARY).status_code == 404


def test_an_address_of_an_asset_expires_and_takes_no_token(hub):
    signed = get(asset(hub), headers=BINARY, allow_redirects=False).headers["Location"]
    hub.now += 299
    assert get(signed).status_code == 200
    assert get(signed, headers={"Authorization": "Bearer secret"}).status_code == 400
    assert get(signed.replace("se=300", "se=3000")).status_code == 403
    hub.now += 1
    assert get(signed).status_code == 403
    assert get(asset(hub), headers=BINARY).status_code == 200


def test_ranges(hub, staging: Release):
    url, data = asset(hub), staging.path.read_bytes()
    tag = get(url, headers=BINARY).headers["ETag"]
    part = get(url, headers=BINARY | {"Range": "bytes=700000-", "If-Range": tag})
    assert (part.status_code, part.content) == (206, data[700_000:])
    assert part.headers["Content-Range"] == f"bytes 700000-{len(data) - 1}/{len(data)}"
    assert get(url, headers=BINARY | {"Range": "bytes=5-9"}).content == data[5:10]
    assert get(url, headers=BINARY | {"Range": "bytes=5-", "If-Range": '"other"'}).status_code == 200
    assert get(url, headers=BINARY | {"Range": f"bytes={len(data)}-"}).status_code == 416


def test_a_broken_link(hub, staging: Release):
    url = asset(hub)
    hub.break_after = 700_000
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="700000 bytes read"):
        get(url, headers=BINARY)
    assert get(url, headers=BINARY).content == staging.path.read_bytes()


def test_a_client_without_a_name(hub):
    place = urlsplit(hub.url)
    with closing(HTTPConnection(place.hostname, place.port, timeout=60)) as connection:
        connection.request("GET", f"{place.path}/releases/latest")  # http.client names none
        answer = connection.getresponse()
        assert (answer.status, b"User-Agent" in answer.read()) == (403, True)


@pytest.mark.parametrize("status", [403, 429])
def test_the_rate_is_used_up(github: ModuleType, status: int):
    with github.GitHub({}, left=2, limit_status=status, retry_after=77, token="secret") as hub:
        url, token = f"{hub.url}/releases/latest", {"Authorization": "Bearer secret"}
        assert [get(url).status_code for _ in range(2)] == [404, 404]
        answer = get(url)
        assert (answer.status_code, answer.headers["Retry-After"]) == (status, "77")
        assert answer.headers["X-RateLimit-Remaining"] == "0"
        assert get(url, headers=token).status_code == 200
        hub.left = 1
        assert get(url).status_code == 404


def test_a_private_repository(github: ModuleType):
    with github.GitHub({"manifest.json": b"{}"}, token="secret") as hub:
        url = f"{hub.url}/releases/latest"
        assert get(url).status_code == 404
        assert get(url, headers={"Authorization": "Bearer wrong"}).status_code == 401
        token = {"Authorization": "Bearer secret"}
        address = get(url, headers=token).json()["assets"][0]["url"]
        assert get(address, headers=BINARY).status_code == 404
        signed = get(address, headers=BINARY | token, allow_redirects=False).headers["Location"]
        assert get(signed).content == b"{}"
        assert "secret" not in signed


def test_what_is_known_is_not_sent_again(hub):
    url = f"{hub.url}/releases/latest"
    tag = get(url).headers["ETag"]
    assert tag.startswith('W/"')
    answer = get(url, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content) == (304, b"")
    hub.add({}, "1.2.0")
    assert get(url, headers={"If-None-Match": tag}).json()["tag_name"] == "1.2.0"


def test_https(github: ModuleType, tmp_path: Path):
    file = new_certificate("github", "127.0.0.1").save(tmp_path / "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with github.GitHub({"manifest.json": b"{}"}, context=context) as hub:
        address = get(f"{hub.url}/releases/latest", verify=file).json()["assets"][0]["url"]
        found = get(address, headers=BINARY, verify=file)
        assert (found.url[:8], found.content) == ("https://", b"{}")
