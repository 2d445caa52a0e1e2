"""An imitation of GitHub's releases, as far as a board meets them, for tests without the internet.

What it answers is written after GitHub's own documentation of its REST API: releases and their assets, rate limits,
conditional requests, and user agents (docs.github.com/en/rest, 2022-11-28). Assets redirect to an address that is
signed, good for 300 s, and elsewhere, where an Authorization header is refused as the store behind it refuses it.
"""

import base64
import hashlib
import json
import re
import secrets
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from urllib.parse import parse_qs, quote, urlsplit

EXPIRES = 300  # seconds that the address of an asset is good for
HOURLY = 60  # requests of who has no token
HOURLY_WITH_TOKEN = 5000
RESET = 3600  # seconds until there are as many again
DATE = "2026-11-30T10:15:00Z"
BINARY = "application/octet-stream"
JSON = "application/json; charset=utf-8"
USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
RANGE = re.compile(r"bytes=([0-9]+)-([0-9]*)")


@dataclass(frozen=True)
class Asked:
    """A request that came: `host` is "api" or "assets"; the names of headers are in small letters."""

    host: str
    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    status: int


class GitHub:
    """One repository with releases, on two ports of this computer: its API, and where the assets lie.

    Attributes:
        url: of the repository, as a board is told it: http://127.0.0.1:PORT/repos/octo-team/esp32-lamp.
        asked: every request so far.
        now: seconds of its clock, which stands still unless a test moves it.
        left: requests that who has no token still has; None: as many as wanted.
        limit_status: 403 or 429, with which it answers who has used them up; it does either.
        retry_after: seconds that such an answer names.
        token: what opens a private repository; "" where it is a public one.

    Args:
        files: name and content of each asset of the latest release, or a folder of them.
        tag: of the latest release.
        break_after: bytes of the next asset that has more, after which the connection ends; None: all.
        context: with which both ports speak TLS.
    """

    def __init__(
        self,
        files: Mapping[str, bytes] | Path,
        tag: str = "1.1.0",
        *,
        token: str = "",
        left: int | None = None,
        limit_status: int = 403,
        retry_after: int = 60,
        break_after: int | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.token, self.left, self.limit_status, self.retry_after = token, left, limit_status, retry_after
        self.break_after = break_after
        self.now = 0
        self.asked: list[Asked] = []
        self._releases: dict[str, dict[str, bytes]] = {}
        self._latest = ""
        self._secret = secrets.token_bytes(32)
        self._api = _Server(self, "api", self._answer, context)
        self._store = _Server(self, "assets", self._answer_asset, context)
        self.url = f"{self._api.origin}/repos/octo-team/esp32-lamp"
        self.add(files, tag)

    def __enter__(self) -> "GitHub":
        for server in (self._api, self._store):
            threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._api, self._store):
            server.shutdown()
            server.server_close()

    def add(self, files: Mapping[str, bytes] | Path, tag: str, *, latest: bool = True) -> None:
        """Publish a release; one that is not the latest is a pre-release."""
        if isinstance(files, Path):
            files = {path.name: path.read_bytes() for path in sorted(files.glob("[!.]*"))}
        self._releases[tag] = dict(files)
        self._latest = tag if latest else self._latest

    def release(self, tag: str) -> dict:
        """What the API says of a release, 2 kB and 2 kB more for each asset."""
        number = 1 + list(self._releases).index(tag)
        page = self.url.replace(self._api.origin + "/repos", "https://github.com")
        here = f"{self.url}/releases/{number}"
        return {
            "url": here,
            "assets_url": f"{here}/assets",
            "upload_url": f"{here.replace('api', 'uploads')}/assets{{?name,label}}",
            "html_url": f"{page}/releases/tag/{tag}",
            "id": 180_000_000 + number,
            "author": self._user("octo-maintainer", 5_832_347),
            "node_id": f"RE_kwDOKx{number:08}",
            "tag_name": tag,
            "target_commitish": "main",
            "name": f"Lamp {tag}",
            "draft": False,
            "immutable": False,
            "prerelease": tag != self._latest,
            "created_at": DATE,
            "updated_at": DATE,
            "published_at": DATE,
            "assets": [self._asset(tag, name) for name in self._releases[tag]],
            "tarball_url": f"{self.url}/tarball/{tag}",
            "zipball_url": f"{self.url}/zipball/{tag}",
            "body": "## What is new\r\n\r\n- A green LED\r\n" + "- The door is told when the lamp is on\r\n" * 20,
            "mentions_count": 1,
        }

    def _asset(self, tag: str, name: str) -> dict:
        data = self._releases[tag][name]
        number = self._number(tag, name)
        page = self.url.replace(self._api.origin + "/repos", "https://github.com")
        return {
            "url": f"{self.url}/releases/assets/{number}",
            "id": number,
            "node_id": f"RA_kwDOKx{number:08}",
            "name": name,
            "label": "",
            "uploader": self._user("github-actions[bot]", 41_898_282),
            "content_type": "application/json" if name.endswith(".json") else BINARY,
            "state": "uploaded",
            "size": len(data),
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
            "download_count": 3,
            "created_at": DATE,
            "updated_at": DATE,
            "browser_download_url": f"{page}/releases/download/{tag}/{name}",
        }

    def _user(self, login: str, number: int) -> dict:
        url = f"https://api.github.com/users/{quote(login)}"
        return {
            "login": login,
            "id": number,
            "node_id": base64.b64encode(f"04:User{number}".encode()).decode(),
            "avatar_url": f"https://avatars.githubusercontent.com/u/{number}?v=4",
            "gravatar_id": "",
            "url": url,
            "html_url": f"https://github.com/{quote(login)}",
            **{name: url + path for name, path in USER_LINKS.items()},
            "type": "Bot" if "[bot]" in login else "User",
            "user_view_type": "public",
            "site_admin": False,
        }

    def _number(self, tag: str, name: str) -> int:
        return 300_000_000 + 100 * list(self._releases).index(tag) + list(self._releases[tag]).index(name)

    def _find(self, number: int) -> bytes | None:
        found = ((tag, name) for tag, files in self._releases.items() for name in files)
        return next((self._releases[tag][name] for tag, name in found if self._number(tag, name) == number), None)

    def _answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """The API."""
        if not headers.get("user-agent"):
            cause = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header"
            return 403, {"Content-Type": "text/html"}, f"{cause} (https://docs.github.com).\r\n".encode()
        given = headers.get("authorization", "")
        has_token = bool(self.token) and given in (f"Bearer {self.token}", f"token {self.token}")
        if given and not has_token:
            return self._say(401, "Bad credentials")
        if not has_token and self.left is not None:
            if not self.left:
                return self._say(self.limit_status, "API rate limit exceeded for 127.0.0.1.")
            self.left -= 1
        if self.token and not has_token:
            return self._say(404, "Not Found")
        inside = path.removeprefix(urlsplit(self.url).path)
        if asset := re.fullmatch(r"/releases/assets/([0-9]+)", inside):
            return self._redirect(int(asset[1]), headers)
        tag = inside.removeprefix("/releases/tags/") if inside.startswith("/releases/tags/") else self._latest
        is_known = inside in ("/releases/latest", f"/releases/tags/{tag}") and tag in self._releases
        return self._whole(self.release(tag), headers) if is_known else self._say(404, "Not Found")

    def _redirect(self, number: int, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if self._find(number) is None:
            return self._say(404, "Not Found")
        if headers.get("accept") != BINARY:
            found = ((tag, name) for tag, files in self._releases.items() for name in files)
            return self._whole(next(self._asset(*one) for one in found if self._number(*one) == number), headers)
        return 302, self._rate() | {"Location": self._sign(number), "Content-Type": "text/html;charset=utf-8"}, b""

    def _sign(self, number: int) -> str:
        """The address of an asset, good for a while; as long as those of GitHub are."""
        until = self.now + EXPIRES
        query = {
            "sp": "r",
            "sv": "2018-11-09",
            "sr": "b",
            "spr": "https",
            "se": until,
            "rscd": f"attachment; filename={number}.bin",
            "rsct": BINARY,
            "skoid": "96c2d410-5711-43a1-aedd-ab1947aa7ab0",
            "sktid": "398a6654-997b-47e9-b12b-9515b896b4de",
            "sig": self._signature(number, until),
            "jwt": base64.urlsafe_b64encode(hashlib.shake_256(self._secret).digest(240)).decode(),
            "response-content-disposition": f"attachment; filename={number}.bin",
            "response-content-type": BINARY,
        }
        path = f"/github-production-release-asset/{number}/4e2c1a3b-6f6f-4f7e-9b7a-0d7e2a1c9f10"
        return f"{self._store.origin}{path}?" + "&".join(f"{name}={quote(str(text))}" for name, text in query.items())

    def _signature(self, number: int, until: int) -> str:
        return hashlib.sha256(self._secret + f"{number} {until}".encode()).hexdigest()

    def _answer_asset(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Where assets lie: another host, which knows signed addresses and no tokens."""
        if "authorization" in headers:
            return 400, {"Content-Type": "application/xml"}, b"<Error><Code>InvalidArgument</Code></Error>"
        parts = urlsplit(path)
        number = int(parts.path.split("/")[2]) if parts.path.count("/") == 3 else 0
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        until = int(query.get("se", 0))
        if query.get("sig") != self._signature(number, until) or self.now >= until:
            return 403, {"Content-Type": "application/xml"}, b"<Error><Code>AuthenticationFailed</Code></Error>"
        data = self._find(number)
        known = {"Content-Type": BINARY, "Accept-Ranges": "bytes", "ETag": f'"0x{hashlib.md5(data).hexdigest()[:15]}"'}
        part = RANGE.fullmatch(headers.get("range", ""))
        if not part or headers.get("if-range", known["ETag"]) != known["ETag"]:
            return 200, known, data
        first, last = int(part[1]), min(len(data) - 1, int(part[2] or len(data)))
        if first >= len(data):
            return 416, {"Content-Range": f"bytes */{len(data)}"}, b""
        return 206, known | {"Content-Range": f"bytes {first}-{last}/{len(data)}"}, data[first : last + 1]

    def _whole(self, value: object, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """JSON with a weak tag, as it is; who knows it already gets 304."""
        body = json.dumps(value, separators=(",", ":")).encode()
        tag = f'W/"{hashlib.sha256(body).hexdigest()}"'
        more = self._rate() | {"ETag": tag, "Cache-Control": "public, max-age=60, s-maxage=60", "Content-Type": JSON}
        if headers.get("if-none-match", "").removeprefix("W/") == tag.removeprefix("W/"):
            return 304, more, b""
        return 200, more, body

    def _say(self, status: int, message: str) -> tuple[int, dict[str, str], bytes]:
        more = {"Content-Type": JSON} | self._rate()
        if "rate limit" in message:
            more["Retry-After"] = str(self.retry_after)
        body = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
        return status, more, json.dumps(body).encode()

    def _rate(self) -> dict[str, str]:
        left = HOURLY if self.left is None else self.left
        limit = HOURLY_WITH_TOKEN if self.token else HOURLY
        rate = {"Limit": limit, "Remaining": left, "Reset": self.now + RESET, "Used": limit - left}
        return {f"X-RateLimit-{name}": str(number) for name, number in rate.items()} | {
            "X-GitHub-Media-Type": "github.v3"
        }


class _Server(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, github: GitHub, name: str, answer: Callable, context: ssl.SSLContext | None) -> None:
        self.github, self.name, self.answer, self.context = github, name, answer, context
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.origin = f"{'https' if context else 'http'}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what tests do."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Server

    def setup(self) -> None:
        self.request.settimeout(self.timeout)
        if self.server.context:  # here, so that a client that says nothing keeps nobody else waiting
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        github, headers = self.server.github, {name.lower(): text for name, text in self.headers.items()}
        with self.server.lock:
            status, more, body = self.server.answer(self.path, headers)
            github.asked.append(Asked(self.server.name, self.command, self.path, headers, status))
            count = len(body)
            is_broken = github.break_after is not None and count > github.break_after
            if self.server.name == "assets" and is_broken and status in (200, 206):
                count, github.break_after = github.break_after, None
        self.send_response(status)
        for name, text in more.items():
            self.send_header(name, text)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:count])
            self.close_connection |= count < len(body)

    do_GET = do_HEAD = _answer  # noqa: N815
