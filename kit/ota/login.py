"""Logging in: the OTA password of the settings for a token."""

import json

from kit.errors import BoardError
from kit.ota.answer import read
from kit.ota.devices import HEADER, keep_mark, mark_for
from kit.ota.info import Info
from kit.ota.web import JSON, Web
from kit.settings import ota_password


def login(web: Web, info: Info, virtual: bool) -> int:
    """Get a token, which the web server's requests then carry; return for how many seconds it is good.

    Args:
        info: what the board says of itself.
        virtual: whose password is meant, a virtual board's or a real one's.

    Raises:
        BoardError: the board does not know this password, has locked the door, or takes none by plain HTTP.
        SettingsError: no password is set.
    """
    if info.get("https") is True and web.url.startswith("http:"):  # it would refuse, once the password had gone there
        raise BoardError("The board takes a password by HTTPS only.", "board.reset() shows its https address.")
    board = str(info.get("hostname"))
    mark = mark_for(board)
    headers = JSON | ({HEADER: mark} if mark else {})
    body = json.dumps({"password": ota_password(virtual)}).encode()
    answer = web.request("POST", "/login", body=body, headers=headers)
    if answer.status == 401:
        raise BoardError(
            "Invalid password!", "It comes from KIT_PASSWORD or lab.toml; board.install() writes it to the board."
        )
    said = read(answer, {"token": str, "expires_in": int})
    web.token = said["token"]
    keep_mark(board, said.get("device"))
    return said["expires_in"]
