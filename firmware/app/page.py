"""The pages that a browser sees. They work without JavaScript."""

COLOUR = "#1d4ed8"  # of the heading. Change it, send the new version, and look

_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>ESP32 OTA Update</title>
<style>
body {{ font-family: sans-serif; max-width: 24em; margin: 2em auto; padding: 0 1em }}
h1 {{ background: {colour}; color: white; padding: .5em }}
</style>
<h1>ESP32 OTA Update</h1>
{content}
"""

_INFO = """<table>
<tr><td>Version<td>{version}
<tr><td>Build<td>{build}
<tr><td>IP address<td>{ip}
<tr><td>Signal strength<td>{rssi} dBm
</table>
"""

_LOGIN = """<form method="post" action="/login">
<p><label>Password <input type="password" name="password" autofocus required></label>
<button>Log in</button></p>
</form>"""

_UPLOAD = """<form method="post" action="/update" enctype="multipart/form-data">
<p><label>Update image <input type="file" name="image" accept=".bin" required></label>
<button>Upload</button></p>
</form>
<p>Do not disconnect the power meanwhile.</p>"""

_MESSAGE = """<p><strong>{message}</strong></p>
<p>{advice}</p>
<p><a href="/">Back</a></p>"""


def _page(content, **texts):
    escaped = {key: str(value).replace("&", "&amp;").replace("<", "&lt;") for key, value in texts.items()}
    return _PAGE.format(colour=COLOUR, content=content.format(**escaped))


def index(info, is_logged_in):
    """Return the HTML of the first page, to log in or to upload; `info` is what GET /info answers."""
    return _page(_INFO + (_UPLOAD if is_logged_in else _LOGIN), **info)


def message(message, advice):
    """Return the HTML of a page with one sentence of what happened, and one of what to do."""
    return _page(_MESSAGE, message=message, advice=advice)
