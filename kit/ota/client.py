"""The client of the board's web server: log in, send an update, watch it arrive, see it confirmed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from kit.errors import BoardError, Interrupted, interruptible
from kit.ota.answer import log_in
from kit.ota.history import History, updates_in
from kit.ota.info import VIRTUAL_CHIP, Info, read_info
from kit.ota.log import Log, read_log
from kit.ota.login import login
from kit.ota.parcel import entire
from kit.ota.result import UploadResult
from kit.ota.upload import digest_header, image_bytes, send_until_taken
from kit.ota.waiting import PROGRESS, await_confirmation, await_restart, what_runs
from kit.ota.web import JSON, Web
from kit.progress import Progress
from kit.shown import html_link
from kit.uploads import uploading

if TYPE_CHECKING:
    from kit.image.update_image import UpdateImage


@interruptible
class OtaClient:
    """The web server of one board.

    Args:
        url: where it is reached, as `board.url` has it.
        virtual: whether the board is virtual; None asks it.
        pin: by what certificate the board is known over HTTPS: its SHA-256 as 64 hex digits, or a PEM file of it. None
            for what board.install() or board.reset() has kept.

    Raises:
        AddressError: no web server can be there.
        SecurityError: there is no such pin.
    """

    def __init__(self, url: str, *, virtual: bool | None = None, pin: object = None) -> None:
        self._web = Web(url, pin)
        self.url = self._web.url
        self._virtual = virtual

    def __repr__(self) -> str:
        return "the board's web page"

    def _repr_html_(self) -> str:
        return html_link(self.url, repr(self))

    def info(self) -> Info:
        """Return what the board says of itself.

        Raises:
            BoardError: nothing answers at this address, or something that is no board of ours.
        """
        return read_info(self._web)

    def login(self) -> None:
        """Get a token with the OTA password from the settings, and print for how long it is good.

        Raises:
            BoardError: the board does not know this password, or has locked the door; it says for how long.
            SettingsError: no password is set.
        """
        info = self.info()
        seconds = login(self._web, info, self._is_virtual(info))
        print(f"Logged in for {seconds // 60} minutes.")

    def progress(self) -> dict:
        """Return the phase of the running update, bytes received and written, its size, and the last error."""
        return self._web.ask("GET", "/progress", PROGRESS)

    def log(self) -> Log:
        """Return what the board has written down: who logged in, what was sent, and what became of it. Log in first.

        Raises:
            BoardError: nobody is logged in, or the firmware of the board keeps no log.
        """
        return Log(read_log(self._web), self._is_virtual(self.info()))

    def history(self) -> History:
        """Return the updates of which the board's log tells, and what became of each. Log in first.

        Raises:
            BoardError: nobody is logged in, or the firmware of the board keeps no log.
        """
        return History(updates_in(read_log(self._web)), self._is_virtual(self.info()))

    def restart(self) -> Info:
        """Restart the board, and return what it says of itself once it answers again.

        Raises:
            BoardError: nobody is logged in, an update runs, or the board does not come back.
        """
        self._web.ask("POST", "/restart")
        self._web.token = None
        return await_restart(self._web)

    def rollback(self) -> Info:
        """Go back to the version in the other slot, and return what the board says of itself once it confirmed that.

        Raises:
            UpdateError: there is no version to go back to, or this is not the time for it.
            BoardError: nobody is logged in, or that version does not confirm itself.
        """
        said = self._web.ask("POST", "/rollback", {"version": str, "slot": str})
        self._web.token = None
        return await_confirmation(self._web, said["version"], said["slot"])[0]

    def config(self) -> dict:
        """Return the settings that can be changed over the air (Wi-Fi, name, addresses, pins), but for the password."""
        return dict(sorted(self._web.ask("GET", "/config").items()))  # MicroPython's dicts have no order

    def configure(self, **settings: object) -> None:
        """Change some of the settings that `config` names, and "wifi_password"; they apply at the next restart.

        Raises:
            BoardError: nobody is logged in, or the board refuses one of them; then none is changed.
        """
        try:
            body = json.dumps(settings, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            raise BoardError(
                "These settings are no JSON.", "Give texts, whole numbers, None, and a dict of pins."
            ) from None
        print(self._web.ask("PUT", "/config", {"message": str}, body=body, headers=JSON)["message"])

    def upload(
        self,
        image: UpdateImage | str | os.PathLike | bytes,
        wait: bool = True,
        md5: str | None = None,
        tries: int = 1,
        whole: bool = False,
    ) -> UploadResult:
        """Send an update image, and wait until the board has restarted and confirmed it.

        Only those sectors travel that the next slot lacks, as after an upload that broke; where that is about all, or
        the board's firmware is older, the whole image does. The progress bar counts what the slot has. Log in first.
        Interrupted, it breaks the upload off, waits until the board is idle, and says what runs. Meanwhile no verb of
        Board, in whatever notebook, restarts the board, unless it is forced.

        Args:
            image: what `kit.build` made, a file of it, or its bytes.
            wait: False returns when the board has accepted the image and is about to restart.
            md5: 32 hex digits to announce, as Arduino's tools do; without them it is the SHA-256 of the image.
            tries: how often to try in all, where the link breaks; each goes on where the one before has ended.
            whole: send all of it, also what the slot has.

        Raises:
            ImageError: there is no such file, or it is none.
            UpdateError: the board refuses the image.
            RollbackError: the new version was given up, and the board runs the old one again.
            BoardError: the link broke, or the new version was not confirmed in time.
        """
        data = image_bytes(image)
        if not isinstance(tries, int) or tries < 1:
            raise BoardError(f"{tries!r} is no number of tries.", "Give a whole number from 1 on.")
        if self._web.token is None:
            raise log_in()
        old = self.info()
        restart = None
        with uploading(self.url, old.get("ip")), Progress("upload", len(data)) as bar:
            try:
                everything = entire(data, digest_header(data, md5))
                is_whole = whole or md5 is not None
                taken, tried, parcel = send_until_taken(self._web, data, everything, old, bar, tries, is_whole)
                if wait:
                    _, restart = await_confirmation(self._web, taken["version"], taken["slot"])
                    bar.update(len(data), parcel.during("confirmed"))
                self._web.token = None  # the board forgets it when it restarts
            except KeyboardInterrupt:
                raise Interrupted(outcome=what_runs(self._web)) from None
        return UploadResult(
            **{name: taken[name] for name in ("version", "slot", "bytes", "seconds")},
            samples=tried[-1],
            restart_seconds=restart,
            virtual=self._is_virtual(old),
            broken=tuple(tried[:-1]),
            sectors=parcel.sectors,
        )

    def _is_virtual(self, info: Info) -> bool:
        return info.get("chip") == VIRTUAL_CHIP if self._virtual is None else self._virtual
