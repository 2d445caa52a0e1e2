"""The control side of a virtual board: who uses it, and how it is found again. Only the kit speaks to it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from kit.peers import is_own
from kit.virtual.ports import HOST, reserve

UNUSED_GRACE = 2.0  # s; a kernel that is restarted asks for its board again within this time
POLL = 0.05  # s; as long as `stop` may take


class Control(ThreadingHTTPServer):
    """An HTTP server whose addresses carry a key; without the key it answers nothing but 404.

    `GET /<key>/lease` is answered at once and then stays open: while it does, somebody uses the board. The system
    closes it when that process ends, however it ends. `POST /<key>/<command>` runs a command; its arguments and its
    answer are JSON.

    Args:
        on_unused: called when the last lease has ended.
        commands: functions by name. A ValueError is answered as such.
        last: the TCP port that it had before, taken where it is free.
    """

    def __init__(
        self, on_unused: Callable[[], None], commands: Mapping[str, Callable[..., object]], last: int = 0
    ) -> None:
        self._reserved, port = reserve(0, last)
        super().__init__((HOST, port), Request)
        self.commands = commands
        self.key = secrets.token_urlsafe(16)
        self.url = f"http://{HOST}:{self.server_port}/{self.key}"
        self._on_unused = on_unused
        self._leases = 0
        self._closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self.serve_forever, args=[POLL], name="control", daemon=True).start()

    def stop(self) -> None:
        """Take no more requests, and give the port back."""
        self.shutdown()
        self.server_close()
        self._reserved.close()

    def verify_request(self, request: socket.socket, client_address: tuple[str, int]) -> bool:
        """Let in this user only."""
        return is_own(request)

    def lease(self, request: Request) -> None:
        """Count somebody as a user until the connection ends."""
        with self._changed:
            if self._closed:
                return request.send_error(404)
            self._leases += 1
            self._changed.notify_all()
        with contextlib.suppress(OSError):
            request.send_response(200)
            request.end_headers()
            request.rfile.read(1)  # nothing is ever sent: this returns when the other side is gone
        request.close_connection = True
        with self._changed:
            self._leases -= 1
            if not self._leases and not self._changed.wait_for(lambda: self._leases, UNUSED_GRACE):
                self._closed = True
                self._on_unused()

    def handle_error(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        """Say nothing of a client that went away before its answer."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Request(BaseHTTPRequestHandler):
    """One request."""

    server: Control

    def do_GET(self) -> None:
        if self._asks_for() == "lease":
            self.server.lease(self)
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        command = self.server.commands.get(self._asks_for())
        if not command:
            return self.send_error(404)
        try:
            arguments = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            status, answer = 200, command(**arguments)
        except (ValueError, TypeError) as error:
            status, answer = 400, str(error)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _asks_for(self) -> str:
        """Return what the path has behind the key, nothing where the key is wrong."""
        key, _, asked = self.path.removeprefix("/").partition("/")
        return asked if secrets.compare_digest(key.encode(), self.server.key.encode()) else ""

    def log_message(self, format: str, *args: object) -> None:
        pass  # the addresses hold the key


def register_path(flash: Path) -> Path:
    """Return the file in which a running board writes where it is reached."""
    return flash.with_name(flash.name + ".board")


def register(flash: Path, addresses: dict[str, str]) -> None:
    """Write where the board of a flash file is reached, readable for this user only, whole or not at all."""
    path = register_path(flash)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.touch(0o600)
        draft.write_text(json.dumps(addresses))
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
