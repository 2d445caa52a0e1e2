"""A board under audit: what the cable reads of it, and two who speak with it, a stranger and its owner."""

import json
import re
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from kit.attacks.attack import target
from kit.board.board import Board
from kit.board.cable import disturbed
from kit.board.installation import DEFAULT_PASSWORD
from kit.board.loader import download_mode
from kit.errors import BoardError, KitError, SettingsError
from kit.image.layout import layout
from kit.image.partition import NVS, SECTOR
from kit.image.table import OFFSET, SIZE, PartitionTable
from kit.ota.answer import read
from kit.ota.devices import HEADER
from kit.ota.exchange import Answer
from kit.ota.info import Info
from kit.ota.login import login
from kit.ota.waiting import UNCONFIRMED, wait_until
from kit.ota.web import JSON
from kit.settings import ota_password, settings


class Flash(NamedTuple):
    """What the cable reads: NVS, and of the running slot the first sector and the application."""

    nvs: bytes
    head: bytes
    application: bytes


class Case:
    """A board that is tried out; `password` is the one that opens it, empty where nobody knows it.

    Raises:
        KitError: the board does not serve, is being updated, or is in no private network.
    """

    def __init__(self, board: Board) -> None:
        self.board, self.plain = board, ""
        with suppress(KitError):  # settings that wait for a login do not outlive a restart without one
            login(target(board, True), serving(board), board.is_virtual)
        self.flash = _read_flash(board, serving(board))  # it restarts: nobody is locked out any more
        self.info = serving(board)
        self.stranger, self.owner = target(board, True), target(board, True)
        self.password = self.wifi_password = ""
        with suppress(SettingsError):  # of a real board, for which not all is set
            self.wifi_password = settings(board.is_virtual).wifi_password
        try:
            login(self.owner, self.info, board.is_virtual)
            self.password = ota_password(board.is_virtual)
        except KitError:
            answer = self.log_in(DEFAULT_PASSWORD)
            if answer.is_ok:
                self.password, self.owner.token = DEFAULT_PASSWORD, read(answer, {"token": str})["token"]

    def restart(self) -> None:
        """Restart the board, and take from what it prints where its port 80 is reached: `plain`."""
        log = self.board.reset()
        serving(self.board)
        url, virtual = self.board.url, re.search(r"port 80 is reached at (http://\S+)", log)
        self.plain = virtual[1] if virtual else f"http://{urlsplit(url).hostname}" if url.startswith("https:") else url

    def log_in(self, password: str, mark: str = "") -> Answer:
        """Show a password, as a stranger or with the mark of a device."""
        body = json.dumps({"password": password}).encode()
        return self.stranger.request("POST", "/login", body=body, headers=JSON | ({HEADER: mark} if mark else {}))


def serving(board: Board) -> Info:
    """Return what a board says of itself once it serves a confirmed version; one that is silent is restarted."""
    try:
        web = target(board, True)
        is_silent = web.look("/info") is None
    except BoardError:  # it has not said its address yet
        is_silent = True
    if is_silent:
        board.reset()
    return wait_until(target(board, True), "served no confirmed version", _is_confirmed)[0]


def _is_confirmed(info: Info, seconds: float) -> bool:
    return info.get("image_state", "NEW") not in UNCONFIRMED


def _read_flash(board: Board, info: Info) -> Flash:
    with disturbed(board.address) as port, download_mode(port) as loader:
        table = PartitionTable.from_bytes(loader.read(OFFSET, SIZE))
        nvs = b"".join(loader.read(row.offset, row.size) for row in table if (row.type, row.subtype) == NVS)
        slot = table.find(info["running"])
        place = layout(lambda offset, count: loader.read(slot.offset + offset, count), slot.size).application
        head = loader.read(slot.offset, SECTOR)
        return Flash(nvs, head, loader.read(slot.offset + place.start, len(place)))
