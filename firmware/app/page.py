"""The pages that a browser sees, made of the templates in www/. They work without the script, which shows more."""

import binascii
import hashlib

COLOUR = "#1d4ed8"  # of the heading. Change it, send the new version, and look

_TYPES = {"/style.css": "text/css", "/ota.js": "text/javascript"}

# Nothing but the board's own files, and of inline styles only that of the heading.
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self' 'sha256-{}'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_MESSAGE = '<div id="said" role="status" class="{kind}"><strong>{message}</strong> {advice}</div>\n'
_BACK = '<p><a href="./">Back</a></p>\n'


def _open(path, mode="r"):
    return open(__file__.rpartition("/")[0] + "/www" + path, mode)


def _read(path):
    with _open(path) as template:
        return template.read()


def _page(content, status=200, headers=(), **texts):
    escaped = {key: str(value).replace("&", "&amp;").replace("<", "&lt;") for key, value in texts.items()}
    heading = f"\nh1 {{ background: {COLOUR}; color: white; padding: .5em }}\n"
    digest = binascii.b2a_base64(hashlib.sha256(heading.encode()).digest()).decode().strip()
    headers = dict(headers)
    headers["Content-Type"] = "text/html; charset=UTF-8"
    headers["Content-Security-Policy"] = _POLICY.format(digest)
    headers["Cache-Control"] = "no-store"  # it shows what is so now
    return _read("/page.html").format(heading=heading, content=content.format(**escaped)), status, headers


def index(info, is_logged_in):
    """Return the first page, to log in or to upload; `info` is what GET /info answers.

    Like the other two functions it returns an answer: body, status, headers.
    """
    last = info["last_update"]
    if last:  # as in ota.js
        last = "{version}: {outcome}".format(**last) + (", " + last["cause"] if last["cause"] else "")
    info["last_update"] = last or "none"
    return _page(_read("/info.html") + _read("/upload.html" if is_logged_in else "/login.html"), **info)


def message(message, advice, status=200, headers=()):
    """Return a page with one sentence of what happened, and one of what to do; where that is to log in, the form."""
    if status == 401:
        return _page(_MESSAGE + _read("/login.html"), 401, headers, kind="bad", message=message, advice="")
    kind = "good" if status == 200 else "bad"
    return _page(_MESSAGE + _BACK, status, headers, kind=kind, message=message, advice=advice)


def file(path):
    """Return the style or the script, an open file that the server sends in pieces. No other file has a path."""
    # no-cache: after an update a browser must not keep the old one.
    headers = {"Content-Type": _TYPES[path] + "; charset=UTF-8", "Cache-Control": "no-cache"}
    headers["Content-Encoding"] = "gzip"  # kit.build() packs them
    return _open(path + ".gz", "rb"), 200, headers
