"""The pages that a browser sees. They work without JavaScript; www/ has their style, and the script that shows more."""

import binascii
import hashlib

COLOUR = "#1d4ed8"  # of the heading. Change it, send the new version, and look

_TYPES = {"/style.css": "text/css", "/ota.js": "text/javascript"}

_HEADING = """
h1 {{ background: {colour}; color: white; padding: .5em }}
"""

# Nothing but the board's own files, and of inline styles only the one above.
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self' 'sha256-{digest}'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# The empty icon keeps a browser from asking for one.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>ESP32 OTA Update</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
<style>{heading}</style>
<main>
<h1>ESP32 OTA Update</h1>
{content}
</main>
"""

_INFO = """<table aria-label="This board">
<tr><th scope="row">Version<td data-info="version">{version}
<tr><th scope="row">Build<td data-info="build">{build}
<tr><th scope="row">Running slot<td data-info="running">{running}
<tr><th scope="row">IP address<td data-info="ip">{ip}
<tr><th scope="row">Signal strength<td><span data-info="rssi">{rssi}</span> dBm
</table>
"""

# The name is for password managers; it is not sent.
_LOGIN = """<form class="card" method="post" action="/login">
<input autocomplete="username" value="admin" hidden>
<label for="password">Password</label>
<input type="password" id="password" name="password" autocomplete="current-password" autofocus required>
<button>Log in</button>
</form>"""

# The script shows what is hidden.
_UPLOAD = """<form class="card" id="form" method="post" action="/update" enctype="multipart/form-data">
<label for="file">Update image, a .bin file</label>
<input type="file" id="file" name="image" accept=".bin" aria-describedby="about" required>
<p id="hint" hidden>You can also drop it on this page.</p>
<p id="about" aria-live="polite"></p>
<p id="older" hidden><label><input type="checkbox" id="force"> Install it although it is not newer</label></p>
<p>Keep the board powered until the update is over.</p>
<button id="send">Update</button>
<noscript><p>An answer comes when the update is over, after about half a minute.</p></noscript>
</form>
<section class="card" id="run" aria-label="Update" tabindex="-1" hidden>
<ol id="steps"><li>Check<li>Write<li>Verify<li>Commit<li>Restart</ol>
<progress id="bar" aria-label="Written to the board"></progress>
<p id="count"><span id="phase" aria-live="polite"></span> <span id="written"></span></p>
<p id="power">Keep the board powered until the update is over.</p>
</section>
<div id="said" role="status" aria-live="polite"></div>
<script src="/ota.js" defer></script>"""

_MESSAGE = """<div id="said" role="status" class="{kind}"><strong>{message}</strong> {advice}</div>
"""

_BACK = '<p><a href="/">Back</a></p>'


def _page(content, status=200, headers=(), **texts):
    escaped = {key: str(value).replace("&", "&amp;").replace("<", "&lt;") for key, value in texts.items()}
    heading = _HEADING.format(colour=COLOUR)
    digest = binascii.b2a_base64(hashlib.sha256(heading.encode()).digest()).decode().strip()
    headers = dict(headers)
    headers["Content-Type"] = "text/html; charset=UTF-8"
    headers["Content-Security-Policy"] = _POLICY.format(digest=digest)
    headers["Cache-Control"] = "no-store"  # it shows what is so now
    return _PAGE.format(heading=heading, content=content.format(**escaped)), status, headers


def index(info, is_logged_in):
    """Return the first page, to log in or to upload; `info` is what GET /info answers.

    Like the other two functions it returns what microdot takes for an answer: body, status, headers.
    """
    return _page(_INFO + (_UPLOAD if is_logged_in else _LOGIN), **info)


def message(message, advice, status=200, headers=()):
    """Return a page with one sentence of what happened, and one of what to do; where that is to log in, the form."""
    if status == 401:
        return _page(_MESSAGE + _LOGIN, 401, headers, kind="bad", message=message, advice="")
    kind = "good" if status == 200 else "bad"
    return _page(_MESSAGE + _BACK, status, headers, kind=kind, message=message, advice=advice)


def file(path):
    """Return the style or the script, which microdot sends in pieces of 1 kB and closes. No other file has a path."""
    # no-cache: after an update a browser must not keep the old one.
    headers = {"Content-Type": _TYPES[path] + "; charset=UTF-8", "Cache-Control": "no-cache"}
    return open(__file__.rpartition("/")[0] + "/www" + path, "rb"), 200, headers
