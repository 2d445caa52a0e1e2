"""The page that a browser sees."""

COLOUR = "#1d4ed8"  # of the heading. Change it, send the new version, and look

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>ESP32 OTA Update</title>
<style>
body {{ font-family: sans-serif; max-width: 24em; margin: 2em auto; padding: 0 1em }}
h1 {{ background: {colour}; color: white; padding: .5em }}
td {{ padding: .2em 1em .2em 0 }}
</style>
</head>
<body>
<h1>ESP32 OTA Update</h1>
<table>
<tr><td>Version<td>{version}
<tr><td>Build<td>{build}
<tr><td>IP address<td>{ip}
<tr><td>Signal strength<td>{rssi} dBm
</table>
{form}
</body>
</html>
"""

_FORM = """<form method="post" action="/login">
<p><label>Password <input type="password" name="password" autofocus required></label>
<button>Log in</button></p>
</form>"""

_LOGGED_IN = "<p>You are logged in. POST /update takes an update image.</p>"


def index(info, is_logged_in):
    """Return the HTML of the first page; `info` is what GET /info answers."""
    texts = {key: str(value).replace("&", "&amp;").replace("<", "&lt;") for key, value in info.items()}
    return _PAGE.format(colour=COLOUR, form=_LOGGED_IN if is_logged_in else _FORM, **texts)
